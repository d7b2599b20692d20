"""The cache of previews keeps to its size, and leaves the disk some room."""

import os
import time
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client

from catalog.models import Image
from catalog.previews import cache as preview_cache
from catalog.previews.local import cached_preview
from catalog.tasks import evict_previews_task
from catalog.tests.factories import ImageFactory, add_file, make_searchable
from catalog.tests.views.pages import png
from medagg.celery import app

pytestmark = pytest.mark.django_db

HOUR = 3600


def make_images(number: int) -> list[Image]:
    """Images with a preview in the cache; each was used an hour after the one before."""
    images: list[Image] = []
    for shade in range(number):
        image: Image = ImageFactory()
        add_file(image, png(shade), f"{shade}.png")
        images.append(image)
    make_searchable()
    for age, image in enumerate(reversed(images), start=2):
        cached_preview(image, 256)
        (picture,) = picture_files(image)
        picture.with_suffix(".txt").unlink(missing_ok=True)
        os.utime(picture, (time.time() - age * HOUR,) * 2)
    return images


def picture_files(image: Image) -> list[Path]:
    from django.conf import settings  # noqa: PLC0415 - the fixture has changed it

    return list(settings.PREVIEW_ROOT.glob(f"*/*/{image.sha256}-256.webp"))


def kept(images: list[Image]) -> list[int]:
    return [number for number, image in enumerate(images) if picture_files(image)]


def shown(client: Client, image: Image) -> int:
    return client.get(f"/images/{image.pk}/preview/").status_code


def test_the_least_recently_used_previews_go(client: Client, settings: LazySettings) -> None:
    images = make_images(6)
    settings.PREVIEW_CACHE_MAX_BYTES = 4 * preview_cache.BLOCK_BYTES
    assert shown(client, images[0]) == 200, "the oldest is used again"
    evict_previews_task()
    assert kept(images) == [0, 4, 5]
    evict_previews_task()
    assert kept(images) == [0, 4, 5], "what fits stays"
    assert shown(client, images[1]) == 200, "what is gone is rendered again"


def test_a_preview_that_is_used_again_and_again_is_written_to_once_an_hour(client: Client) -> None:
    (image,) = make_images(1)
    (picture,) = picture_files(image)
    shown(client, image)
    first = picture.stat().st_mtime
    assert time.time() - first < 60
    shown(client, image)
    assert picture.stat().st_mtime == first


def test_a_full_disk_shows_previews_and_keeps_none(client: Client, settings: LazySettings) -> None:
    """No disk of today has that much free."""
    settings.PREVIEW_RESERVE_BYTES = 2**62
    image = ImageFactory()
    add_file(image, png(), "x.png")
    make_searchable()
    assert shown(client, image) == 200
    assert not picture_files(image)
    settings.PREVIEW_RESERVE_BYTES = 0
    assert shown(client, image) == 200
    assert picture_files(image)


def test_a_cache_that_cannot_be_written_shows_previews(
    client: Client, settings: LazySettings, tmp_path: Path
) -> None:
    settings.PREVIEW_ROOT = tmp_path / "file" / "previews"
    (tmp_path / "file").write_text("a file where a folder should be")
    image = ImageFactory()
    add_file(image, png(), "x.png")
    make_searchable()
    assert shown(client, image) == 200


def test_other_versions_and_partial_files_go(settings: LazySettings) -> None:
    (image,) = make_images(1)
    (picture,) = picture_files(image)
    old = settings.PREVIEW_ROOT / "v0" / "ab" / "old.webp"
    stale, fresh = picture.with_name("stale.part"), picture.with_name("fresh.part")
    old.parent.mkdir(parents=True)
    for path in (old, stale, fresh):
        path.write_bytes(b"x")
    os.utime(stale, (time.time() - preview_cache.PARTIAL_SECONDS - 60,) * 2)
    evict_previews_task()
    assert [path.exists() for path in (old, stale, fresh, picture)] == [False, False, True, True]


def test_notes_go_with_their_picture(settings: LazySettings) -> None:
    images = make_images(3)
    (picture,) = picture_files(images[0])
    notes = picture.with_suffix(".txt")
    notes.write_text("Frame 4 of 7 is shown.")
    os.utime(notes, (picture.stat().st_mtime,) * 2)
    settings.PREVIEW_CACHE_MAX_BYTES = 2 * preview_cache.BLOCK_BYTES
    evict_previews_task()
    assert not picture.exists()
    assert not notes.exists()


def test_the_clock_calls_it_on_the_queue_of_short_tasks() -> None:
    entry = app.conf.beat_schedule["evict-previews"]
    assert entry["task"] == evict_previews_task.name
    assert entry["task"] not in app.conf.task_routes
