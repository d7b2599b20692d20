"""Thin tasks: a primary key in, one service call. A message may arrive twice or never."""

from celery import shared_task
from django.conf import settings

from collections_app.builds.build import build_collection
from collections_app.builds.verification import verify_archive
from collections_app.notices.mail import send_due_mails
from collections_app.sweep import sweep_collections


@shared_task(soft_time_limit=settings.BUILD_SOFT_LIMIT, time_limit=settings.BUILD_HARD_LIMIT)
def build_collection_task(collection_id: int) -> None:
    build_collection(collection_id=collection_id)


@shared_task(soft_time_limit=settings.BUILD_SOFT_LIMIT, time_limit=settings.BUILD_HARD_LIMIT)
def verify_archive_task(collection_id: int) -> None:
    verify_archive(collection_id=collection_id)


@shared_task(soft_time_limit=300, time_limit=330)
def send_mails_task() -> None:
    send_due_mails()


@shared_task(soft_time_limit=300, time_limit=330)
def sweep_collections_task() -> None:
    sweep_collections()
