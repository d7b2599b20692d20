"""What `manage.py check` says of the settings of object storage."""

import pytest
from botocore.exceptions import ClientError
from django.conf import LazySettings
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from collections_app.storage.place import Place, parse_place
from collections_app.storage.upload import MAX_PARTS, PART_SIZE, choose_part_size
from collections_app.tests.storage.conftest import ArchiveBucket

GB = 1 << 30


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://bucket", Place("bucket", "")),
        ("s3://bucket/a/b-c", Place("bucket", "a/b-c/")),
        ("s3://b", None),
        ("s3://Bucket", None),
        ("s3://bucket//a", None),
        ("s3://bucket/../a", None),
        ("s3://bucket/ä", None),
        ("https://bucket", None),
        ("bucket/prefix", None),
    ],
)
def test_an_address_names_a_bucket_and_a_prefix(address: str, expected: Place | None) -> None:
    assert parse_place(address) == expected


@pytest.mark.parametrize("size", [0, 40 * GB, 50 * GB, 1000 * GB, 5000 * GB])
def test_an_archive_has_far_fewer_parts_than_s3_allows(size: int) -> None:
    part = choose_part_size(size)
    assert part >= PART_SIZE
    assert size / part <= MAX_PARTS / 2


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ARCHIVE_STORAGE", "s3:/archives", "ARCHIVE_STORAGE is “s3:/archives”"),
        ("ARCHIVE_S3_ACCESS_KEY_ID", "", "ARCHIVE_S3_ACCESS_KEY_ID is not set"),
        ("ARCHIVE_S3_SECRET_ACCESS_KEY", "", "ARCHIVE_S3_SECRET_ACCESS_KEY is not set"),
        ("ARCHIVE_S3_REGION", "Mars 1", "ARCHIVE_S3_REGION is “Mars 1”"),
        ("ARCHIVE_S3_ENDPOINT", "storage.example.org", "ARCHIVE_S3_ENDPOINT is"),
        ("ARCHIVE_S3_ENDPOINT", "https://storage.example.org/bucket", "ARCHIVE_S3_ENDPOINT is"),
        ("ARCHIVE_S3_PUBLIC_ENDPOINT", "https://[", "ARCHIVE_S3_PUBLIC_ENDPOINT is"),
    ],
)
def test_the_check_tells_what_cannot_be_right(
    bucket: ArchiveBucket, settings: LazySettings, name: str, value: str, said: str
) -> None:
    call_command("check")
    setattr(settings, name, value)
    with pytest.raises(SystemCheckError, match=said):
        call_command("check")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("bucket", "the bucket of archives does not exist"),
        ("keys", "refuses medagg's keys"),
        ("address", "does not answer"),
    ],
)
def test_the_deployment_check_tries_the_bucket(
    bucket: ArchiveBucket, settings: LazySettings, fault: str, said: str
) -> None:
    call_command("check", "--tag", "files", deploy=True)
    assert (bucket.names(), bucket.uploads()) == ([], [])
    if fault == "bucket":
        bucket.remove()
    elif fault == "keys":
        bucket.server.faults.refuse["medagg-check"] = 403
    else:
        settings.ARCHIVE_S3_ENDPOINT = "http://127.0.0.1:9"
    with pytest.raises(SystemCheckError, match=said):
        call_command("check", "--tag", "files", deploy=True)
    bucket.server.faults.refuse.clear()
    if fault == "bucket":
        with pytest.raises(ClientError):
            bucket.names()
