from django.urls import path

from catalog.views import dataset_exports, datasets, home, image_files, images, vocabularies

urlpatterns = [
    path("", home.home, name="home"),
    path("datasets/", datasets.dataset_list, name="dataset-list"),
    path("datasets.csv", dataset_exports.datasets_csv, name="datasets-csv"),
    path("datasets.json", dataset_exports.datasets_json, name="datasets-json"),
    path("datasets/<slug:slug>/", datasets.dataset_detail, name="dataset-detail"),
    path("vocabularies/", vocabularies.first_vocabulary, name="vocabulary-list"),
    path("vocabularies/<slug:name>/", vocabularies.vocabulary, name="vocabulary"),
    path("images/", images.image_list, name="image-list"),
    path("images/<int:pk>/", images.image_detail, name="image-detail"),
    path("images/<int:pk>/preview/", image_files.image_preview, name="image-preview"),
    path(
        "images/<int:pk>/preview/notes/",
        image_files.image_preview_notes,
        name="image-preview-notes",
    ),
    path("images/<int:pk>/file/", image_files.image_file, name="image-file"),
]
