from django.urls import path

from collections_app.delivery.download import collection_download
from collections_app.views import actions, create, pages

EXCLUDED = {"is_excluded": True}
NOT_EXCLUDED = {"is_excluded": False}

urlpatterns = [
    path("", pages.collection_list, name="collection-list"),
    path("new/", create.collection_new, name="collection-new"),
    path("basket/", create.basket, name="basket"),
    path("<uuid:uuid>/", pages.collection_detail, name="collection-detail"),
    path("<uuid:uuid>/status/", pages.collection_status, name="collection-status"),
    path("<uuid:uuid>/download/", collection_download, name="collection-download"),
    path(
        "<uuid:uuid>/problems/", pages.collection_problems, NOT_EXCLUDED, name="collection-problems"
    ),
    path(
        "<uuid:uuid>/problems.csv",
        pages.collection_problems_csv,
        NOT_EXCLUDED,
        name="collection-problems-csv",
    ),
    path("<uuid:uuid>/excluded/", pages.collection_problems, EXCLUDED, name="collection-excluded"),
    path(
        "<uuid:uuid>/excluded.csv",
        pages.collection_problems_csv,
        EXCLUDED,
        name="collection-excluded-csv",
    ),
    path("<uuid:uuid>/retry/", actions.collection_retry, name="collection-retry"),
    path("<uuid:uuid>/rebuild/", actions.collection_rebuild, name="collection-rebuild"),
    path(
        "<uuid:uuid>/build-without/",
        actions.collection_build_without,
        name="collection-build-without",
    ),
    path("<uuid:uuid>/cancel/", actions.collection_cancel, name="collection-cancel"),
    path("<uuid:uuid>/extend/", actions.collection_extend, name="collection-extend"),
    path("<uuid:uuid>/expire/", actions.collection_expire, name="collection-expire"),
    path("<uuid:uuid>/delete/", actions.collection_delete, name="collection-delete"),
]
