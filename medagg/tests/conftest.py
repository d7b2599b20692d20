from medagg.testing.nginx import nginx_server

__all__ = ["nginx_server"]
