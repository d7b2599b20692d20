"""What can be said of a dataset, in a TOML file or by a source. Pure."""

from typing import Annotated

from pydantic import AfterValidator, Field

from catalog.importers.tables.toml_section import Count, Section, Text, Texts, one_of
from catalog.models import SampleUnit

# What ``num_images`` counts.
SampleUnitText = Annotated[Text, AfterValidator(one_of(SampleUnit.values))]


class DatasetEntry(Section):
    """The `[dataset]` of a description; terms by code or in any spelling."""

    slug: Text = Field(min_length=1, description='the dataset\'s short name: slug = "my-dataset".')
    title: Text = ""
    description: Text = ""
    source_url: Text = ""
    area: Text = ""
    license: Text = ""
    citation: Text = ""
    doi: Text = ""
    modalities: Texts = ()
    task_types: Texts = ()
    tags: Texts = ()
    num_images: Count = 0
    sample_unit: SampleUnitText = ""
    size_mb: Count = 0
    is_synthetic: bool = False


class PublishedEntry(DatasetEntry):
    """The same with what only the catalog knows: former slugs, and where things are.

    ``imported_from`` is the description of a dataset with tables.
    """

    formerly: Texts = ()
    local_path: Text = ""
    imported_from: Text = ""
