"""gunicorn's configuration in the image: what medagg's settings decide, too."""

from medagg import settings

threads = settings.WEB_THREADS
# Each is a descriptor, of which a container may give a process 1,024; files and the database need
# some, too. Further ones wait in the queue of the socket.
worker_connections = 800
# nginx asks once on each.
keepalive = 0
worker_class = "medagg.runner.web_worker.LingeringWorker"
