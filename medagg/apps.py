import importlib

from django.apps import AppConfig


class MedaggConfig(AppConfig):
    name = "medagg"
    verbose_name = "medagg"

    def ready(self) -> None:
        importlib.import_module("medagg.checks")
        importlib.import_module("medagg.observing.worker_heartbeat")
