import pytest

from catalog.models import Dataset
from catalog.tests.factories import DatasetFactory, ImageFactory, add_file, make_searchable
from catalog.tests.views.pages import png
from vocab.tests.factories import AreaFactory, LicenseFactory, ModalityFactory, TagFactory


@pytest.fixture
def rays() -> Dataset:
    """A dataset of three images, one of them with a file here."""
    dataset = DatasetFactory(
        slug="rays", title="Rays & <Co>", area=AreaFactory(code="chest"), doi="10.1234/rays",
        license=LicenseFactory(code="cc-by-nc-4.0", name="CC BY-NC 4.0"), size_mb=1500,
        source_url="https://example.org/rays", citation="Ray, A. (2020). Rays.", num_images=3,
        terms__modalities=[ModalityFactory(code="dx")], terms__tags=[TagFactory(code="png")],
    )  # fmt: skip
    dx = ModalityFactory(code="dx")
    here = ImageFactory(
        dataset=dataset,
        source_id="r-1",
        modality=dx,
        sex="F",
        age_years=61,
        labels=["nodule"],
        metadata_json={"KVP": 120, "note": "<script>"},
    )
    add_file(here, png(), "a/r-1.png")
    ImageFactory(dataset=dataset, source_id="r-2", modality=dx, sex="M", labels=["normal"])
    ImageFactory(dataset=dataset, source_id="r-3", modality=dx, remote_url="s3://b/r-3")
    make_searchable()
    return dataset
