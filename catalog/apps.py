import importlib
import warnings

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    name = "catalog"
    verbose_name = "Catalog"

    def ready(self) -> None:
        # They warn of every odd file, and quote its values.
        warnings.filterwarnings("ignore", module=r"(pydicom|PIL)\.")
        importlib.import_module("catalog.receivers")
