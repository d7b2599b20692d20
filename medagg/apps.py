import gc
import importlib

from django.apps import AppConfig

from catalog.hooks import fetch_throttles
from medagg import GC_THRESHOLDS


class MedaggConfig(AppConfig):
    name = "medagg"
    verbose_name = "medagg"

    def ready(self) -> None:
        importlib.import_module("medagg.accounts.receivers")
        importlib.import_module("medagg.checks")
        importlib.import_module("medagg.observing.worker_heartbeat")
        fetch_throttles.append(importlib.import_module("medagg.throttling").throttle_fetch)
        # What has been loaded stays: from now on garbage is looked for among the rest.
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
