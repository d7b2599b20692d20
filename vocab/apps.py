from django.apps import AppConfig


class VocabConfig(AppConfig):
    name = "vocab"
    verbose_name = "Vocabularies"
