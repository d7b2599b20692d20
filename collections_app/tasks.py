"""Thin tasks: a primary key in, one service call; each may be delivered twice or never."""

from celery import shared_task
from django.conf import settings

from collections_app.builds.build import build_collection
from collections_app.builds.verification import prove_archive
from collections_app.notices.mail import tell_due_owners
from collections_app.sweep import sweep_collections


@shared_task(soft_time_limit=settings.BUILD_SOFT_LIMIT, time_limit=settings.BUILD_HARD_LIMIT)
def build_collection_task(collection_id: int) -> None:
    build_collection(collection_id=collection_id)


@shared_task(soft_time_limit=settings.BUILD_SOFT_LIMIT, time_limit=settings.BUILD_HARD_LIMIT)
def prove_archive_task(collection_id: int) -> None:
    prove_archive(collection_id=collection_id)


@shared_task(soft_time_limit=300, time_limit=330)
def tell_owners_task() -> None:
    tell_due_owners()


@shared_task(soft_time_limit=300, time_limit=330)
def sweep_collections_task() -> None:
    sweep_collections()
