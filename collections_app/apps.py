from django.apps import AppConfig

from catalog.hooks import ImageHolder, image_holders


class CollectionsConfig(AppConfig):
    name = "collections_app"
    verbose_name = "Collections"

    def ready(self) -> None:
        image_holders.append(
            ImageHolder(name="collections", rows="collection_items", user="collection__user")
        )
