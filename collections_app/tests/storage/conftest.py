from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from botocore.exceptions import ClientError
from django.conf import LazySettings

from collections_app.storage import client, upload
from medagg.testing.s3 import S3Server

NAME, PREFIX = "archives", "kept/here"
MIN_PART = 5 << 20  # of S3


@dataclass
class ArchiveBucket:
    """The bucket of archives, looked at from outside medagg."""

    server: S3Server

    @property
    def client(self):  # type: ignore[no-untyped-def]  # noqa: ANN201
        return self.server.client

    def names(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=NAME, Prefix=f"{PREFIX}/")
        return [each["Key"].removeprefix(f"{PREFIX}/") for each in found.get("Contents", ())]

    def uploads(self) -> list[str]:
        found = self.client.list_multipart_uploads(Bucket=NAME)
        return [each["Key"].removeprefix(f"{PREFIX}/") for each in found.get("Uploads", ())]

    def read(self, name: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=NAME, Key=f"{PREFIX}/{name}")["Body"].read()
        return body

    def etag(self, name: str) -> str:
        etag: str = self.client.head_object(Bucket=NAME, Key=f"{PREFIX}/{name}")["ETag"]
        return etag

    def write(self, name: str, body: bytes) -> None:
        self.client.put_object(Bucket=NAME, Key=f"{PREFIX}/{name}", Body=body)

    def begin_upload(self, name: str) -> None:
        where = {"Bucket": NAME, "Key": f"{PREFIX}/{name}"}
        made = self.client.create_multipart_upload(**where)
        self.client.upload_part(**where, UploadId=made["UploadId"], PartNumber=1, Body=b"part")

    def remove(self) -> None:
        """The whole bucket, with what is being uploaded to it."""
        try:
            for each in self.client.list_objects_v2(Bucket=NAME).get("Contents", ()):
                self.client.delete_object(Bucket=NAME, Key=each["Key"])
            for each in self.client.list_multipart_uploads(Bucket=NAME).get("Uploads", ()):
                self.client.abort_multipart_upload(
                    Bucket=NAME, Key=each["Key"], UploadId=each["UploadId"]
                )
            self.client.delete_bucket(Bucket=NAME)
        except ClientError:
            """A test has removed it."""

    def environment(self) -> dict[str, str]:
        """What an operator sets."""
        return {
            "ARCHIVE_STORAGE": f"s3://{NAME}/{PREFIX}",
            "ARCHIVE_S3_ENDPOINT": self.server.endpoint,
            "ARCHIVE_S3_ACCESS_KEY_ID": "key-id",
            "ARCHIVE_S3_SECRET_ACCESS_KEY": "key-of-tests",
        }


@pytest.fixture
def bucket(
    s3: S3Server, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ArchiveBucket]:
    """An empty bucket, in which this process keeps archives."""
    made = ArchiveBucket(s3)
    s3.client.create_bucket(Bucket=NAME)
    for name, value in made.environment().items():
        setattr(settings, name, value)
    monkeypatch.setattr(upload, "PART_SIZE", MIN_PART)
    # Trying again takes seconds.
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    yield made
    made.remove()
