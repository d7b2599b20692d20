from django.urls import path

from collections_app import views
from collections_app.download import collection_download

urlpatterns = [
    path("", views.collection_list, name="collection-list"),
    path("new/", views.collection_new, name="collection-new"),
    path("picked/", views.picked, name="picked"),
    path("<uuid:uuid>/", views.collection_detail, name="collection-detail"),
    path("<uuid:uuid>/status/", views.collection_status, name="collection-status"),
    path("<uuid:uuid>/download/", collection_download, name="collection-download"),
    path("<uuid:uuid>/retry/", views.collection_retry, name="collection-retry"),
    path("<uuid:uuid>/rebuild/", views.collection_rebuild, name="collection-rebuild"),
    path(
        "<uuid:uuid>/build-without/",
        views.collection_build_without,
        name="collection-build-without",
    ),
    path("<uuid:uuid>/delete/", views.collection_delete, name="collection-delete"),
]
