from django.urls import path

from catalog import views, vocabulary_views

urlpatterns = [
    path("", views.home, name="home"),
    path("datasets/", views.dataset_list, name="dataset-list"),
    path("datasets/<slug:slug>/", views.dataset_detail, name="dataset-detail"),
    path("vocabularies/", vocabulary_views.first_vocabulary, name="vocabulary-list"),
    path("vocabularies/<slug:name>/", vocabulary_views.vocabulary, name="vocabulary"),
    path("images/", views.image_list, name="image-list"),
    path("images/<int:pk>/", views.image_detail, name="image-detail"),
    path("images/<int:pk>/preview/", views.image_preview, name="image-preview"),
    path("images/<int:pk>/preview/notes/", views.image_preview_notes, name="image-preview-notes"),
    path("images/<int:pk>/file/", views.image_file, name="image-file"),
]
