"""Several hosts that share PostgreSQL, Redis and a bucket, and no folder."""

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3
from django.conf import settings
from django.db import connection
from django.test import Client

from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from collections_app.builds.queue import notify_builder
from collections_app.models import Collection
from collections_app.sweep import sweep_collections
from collections_app.tests.factories import files_in_archive_root, make_collection
from collections_app.tests.faults.tools import let_lease_lapse, wait_for, wait_for_end
from collections_app.tests.storage.conftest import ArchiveBucket
from medagg.runner.embedded import database_url
from medagg.testing.environment import BASE_VARIABLE
from medagg.testing.worker import WorkerProcess
from vocab.tests.factories import LicenseFactory, ModalityFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.waits]

SLICE = 6_000_000


class Host:
    """A worker with folders of its own."""

    def __init__(self, folder: Path, bucket: ArchiveBucket) -> None:
        self.var = folder / "var"
        self.var.mkdir(parents=True)
        base, name = Path(os.environ[BASE_VARIABLE]), connection.settings_dict["NAME"]
        self.worker = WorkerProcess(log=folder / "worker.log", database=database_url(base, name))
        self._environment = {
            **bucket.environment(),
            "MEDAGG_VAR": str(self.var),
            "IDC_S3_ENDPOINT": bucket.server.endpoint,
        }

    def start(self) -> None:
        self.worker.start(**self._environment)

    def archives(self) -> list[Path]:
        return [path for path in self.var.rglob("*") if path.suffix in (".zip", ".part")]


@pytest.fixture
def hosts(bucket: ArchiveBucket, tmp_path: Path) -> Iterator[list[Host]]:
    with ExitStack() as stack:
        made = [Host(tmp_path / name, bucket) for name in ("first", "second")]
        for host in made:
            stack.callback(host.worker.kill)
        yield made


def make_fetched(bucket: ArchiveBucket) -> Collection:
    """A collection whose files lie elsewhere, so that no host has them."""
    for number in range(3):
        bucket.server.put(f"uuid-7/{number:02}.dcm", bytes([number]) * SLICE)
    ImageFactory(
        dataset=DatasetFactory(slug="lung_ct", license=LicenseFactory(code="cc-by-4.0")),
        source_id="1.2.7",
        subject_id="P7",
        modality=ModalityFactory(code="ct"),
        remote_url="s3://idc-open-data/uuid-7/*",
        size_bytes=3 * SLICE,
        metadata_json={"StudyInstanceUID": "1.9.7", "instances": 3},
    )
    make_searchable()
    return make_collection("", fetch=True, notify=False)


def test_a_host_that_dies_in_an_upload_is_replaced_by_another(
    bucket: ArchiveBucket, hosts: list[Host]
) -> None:
    first, second = hosts
    collection = make_fetched(bucket)
    bucket.server.faults.stall.add("partNumber=2")
    first.start()
    notify_builder(collection.pk)
    wait_for(
        lambda: any("partNumber=2" in each for each in bucket.server.requests), "the second part"
    )
    (left,) = bucket.uploads()
    first.worker.kill()

    second.start()
    let_lease_lapse(collection)
    sweep_collections()
    bucket.server.faults.stall.clear()
    wait_for_end(collection)
    assert (collection.status, collection.error_message) == ("ready", "")
    assert collection.builds.latest("pk").attempts == 2
    assert left != collection.archive_path
    assert (bucket.names(), bucket.uploads()) == ([collection.archive_path], [])

    # This process stands for a web server: it never had a file.
    browser = Client()
    browser.force_login(collection.user)
    response = browser.get(f"/collections/{collection.uuid}/download/")
    content = urllib3.request("GET", response["Location"]).data
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        slices = [name for name in archive.namelist() if name.endswith(".dcm")]
        assert archive.read(slices[2]) == bytes([2]) * SLICE
    wait_for(lambda: Collection.objects.filter(verified_at__isnull=False), "verification")
    assert first.archives() + second.archives() == []
    assert files_in_archive_root() == []
    assert settings.VAR_DIR not in (first.var, second.var)
