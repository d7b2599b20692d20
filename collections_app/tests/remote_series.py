"""Series in the bucket of the tests' S3 server, as the IDC's, and collections that fetch them."""

import csv
import io

from catalog.models import Dataset
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from collections_app.models import Collection
from collections_app.tests.factories import make_collection
from medagg.testing.s3 import S3Server
from vocab.tests.factories import LicenseFactory, ModalityFactory


def make_series(s3: S3Server, *, series: int = 2, slices: int = 3) -> Dataset:
    """A dataset whose images are series of files in the bucket, as the IDC's."""
    dataset = DatasetFactory(
        slug="lung_ct", title="Lung CT", license=LicenseFactory(code="cc-by-4.0"), citation="A."
    )
    for which in range(series):
        ImageFactory(
            dataset=dataset,
            source_id=f"1.2.{which}",
            subject_id=f"P{which}",
            modality=ModalityFactory(code="ct"),
            remote_url=s3.put_series(which, slices),
            size_bytes=5000,
            metadata_json={"StudyInstanceUID": f"1.9.{which}", "instances": slices},
        )
    make_searchable()
    return dataset


def make_fetching(query: str = "") -> Collection:
    return make_collection(query, fetch=True)


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))
