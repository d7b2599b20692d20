"""What can be said of a dataset, in a TOML file or by a source. Pure."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from catalog.importers.tables.toml_section import Count, Section, Text, Texts, one_of, to_tuple
from catalog.limits import FIRST_YEAR, LAST_YEAR, is_printable
from catalog.models import Access, Dimension, RelationKind, SampleUnit, Survey
from catalog.storage.addresses import check_storage, find_address_problem


def _check_year(value: Any) -> int:
    if type(value) is not int or not FIRST_YEAR <= value <= LAST_YEAR:
        raise ValueError(f"give a year from {FIRST_YEAR} to {LAST_YEAR}: year = 2024.")
    return value


def _check_address(url: str) -> str:
    if url.strip() and (problem := find_address_problem(url.strip())):
        raise ValueError(problem)
    return url


def _check_title(title: str) -> str:
    if not is_printable(title.strip()):
        raise ValueError("a title has no line breaks or other signs that cannot be seen.")
    return title


_Title = Annotated[Text, AfterValidator(_check_title)]
_Address = Annotated[Text, AfterValidator(_check_address)]
_Year = Annotated[int, PlainValidator(_check_year)]
# What ``num_images`` counts.
SampleUnitText = Annotated[Text, AfterValidator(one_of(SampleUnit.values))]
_Dimensions = Annotated[
    tuple[Annotated[Text, AfterValidator(one_of(Dimension.values))], ...], BeforeValidator(to_tuple)
]


class DatasetEntry(Section):
    """The `[dataset]` of a description; terms by code or in any spelling."""

    slug: Text = Field(min_length=1, description='the dataset\'s short name: slug = "my-dataset".')
    title: _Title = ""
    description: Text = ""
    source_url: _Address = ""
    area: Text = ""
    other_areas: Texts = ()
    license: Text = ""
    citation: Text = ""
    doi: Text = ""
    modalities: Texts = ()
    task_types: Texts = ()
    labels: Texts = ()
    tags: Texts = ()
    year: _Year | None = None
    dimensions: _Dimensions = ()
    access: Annotated[Text, AfterValidator(one_of(Access.values))] = ""
    has_labels: bool | None = None
    num_images: Count = 0
    is_num_rounded: bool = False
    sample_unit: SampleUnitText = ""
    size_mb: Count = 0
    storage: Annotated[Text, AfterValidator(check_storage)] = ""
    parts: Texts = ()
    is_synthetic: bool = False


class PublishedEntry(DatasetEntry):
    """The same with what only the catalog knows: former slugs, and where things are.

    ``imported_from`` is the description of a dataset with tables, ``idc_release`` the data release
    of the Imaging Data Commons that addresses are of. ``survey`` is the survey from
    which facts were taken, and ``rows`` are the names that the dataset and its parts have there.
    """

    formerly: Texts = ()
    is_featured: bool = False
    survey: Annotated[Text, AfterValidator(one_of(Survey.values))] = ""
    rows: Texts = ()
    # Nothing but the survey tells of it; its description says so.
    is_unconfirmed: bool = False
    local_path: Text = ""
    imported_from: Text = ""
    idc_release: Text = ""


class RelationEntry(Section):
    """One dataset is part of, a newer version of, or takes images from another; both by slug."""

    dataset: Text
    kind: Annotated[Text, AfterValidator(one_of(RelationKind.values))]
    other: Text
    source: Text = Field(min_length=1)
