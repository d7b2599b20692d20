"""The sections of a `dataset.toml` as models; the fields are the keys of the file. Pure."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from catalog.importers.entry_models import DatasetEntry
from catalog.importers.parsers import AGE_UNITS
from catalog.importers.tables.labels import LabelSpec, fold
from catalog.importers.tables.reading import TableFormat
from catalog.importers.tables.toml_section import (
    BirthValue,
    KeptColumns,
    OneValue,
    Pairs,
    Section,
    Text,
    Texts,
    Value,
    one_of,
)

# Each may repeat a cell, however long that is.
MAX_ADDED = 200


class FilesSpec(Section):
    """Where files lie: `path` below `folder`, or below it `anywhere`, with one of `extensions`.

    A relative folder starts in the context's `home`.
    """

    folder: Path | None = None
    path: Value = ()
    extensions: Texts = ()
    anywhere: bool = False

    @field_validator("folder", mode="before")
    @classmethod
    def _find_folder(cls, value: Any, info: ValidationInfo) -> Path | None:
        if not isinstance(value, str) or "\0" in value:
            raise ValueError('give a text in quotes, without NUL characters: "…".')
        try:
            return Path((info.context or {})["home"], Path(value).expanduser()) if value else None
        except RuntimeError:
            raise ValueError(f"“{value}” names nobody's home. Write the whole path.") from None

    @field_validator("extensions")
    @classmethod
    def _check_extensions(cls, extensions: tuple[str, ...]) -> tuple[str, ...]:
        if any(not each.startswith(".") or "/" in each for each in extensions):
            raise ValueError('write extensions with their dot: [".png", ".dcm"].')
        return extensions


# Each goes through the dataset's folders.
MAX_PATTERNS = 100


class TableSpec(TableFormat):
    """A table by alternative patterns of its path, and how it is to be read."""

    path: Texts = Field(min_length=1, description='the file\'s name: path = "labels.csv".')
    optional: bool = False

    @field_validator("path")
    @classmethod
    def _check_path(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if len(patterns) > MAX_PATTERNS:
            raise ValueError(f"give at most {MAX_PATTERNS} patterns.")
        for pattern in patterns:
            if pattern.startswith(("/", "~")) or "\\" in pattern or ".." in pattern.split("/"):
                raise ValueError(
                    f"“{pattern}” may lead elsewhere. Put the table beside the description, or "
                    "below, and name it from there with '/' between."
                )
        return patterns


class JoinSpec(TableSpec):
    """A second table; a row's `key` is what `to` gives for a row of the first."""

    key: Value = Field(min_length=1, description='a value of its rows: key = "{its column}".')
    to: Value = Field(min_length=1, description='the same of the table: to = "{the table\'s}".')


_ID = 'the column that tells images apart: id = "{file}".'


def _fold_words(words: Pairs) -> Pairs:
    if not set(words.values()) <= {"F", "M", "O", ""}:
        raise ValueError('give F, M, O or "" for each word.')
    return {fold(word): sex for word, sex in words.items()}


def _fold_keys(words: Pairs) -> Pairs:
    return {fold(word): meant for word, meant in words.items()}


# What the source's words mean: a code, or another word that the vocabulary has; '' is unknown.
MeantWords = Annotated[Pairs, AfterValidator(_fold_keys)]


class ImageSpec(Section):
    """How the fields of an image are made of a row. Ages without a unit are in `age_unit`.

    `…_words` say what the source's words mean: `modality_words = { "Röntgen" = "dx" }`.
    """

    id: Value = Field(description=_ID)
    subject: Value = ()
    sex: Value = ()
    sex_words: Annotated[Pairs, AfterValidator(_fold_words)] = {}
    age: Value = ()
    age_unit: Annotated[Text, AfterValidator(one_of(AGE_UNITS))] = "years"
    born: BirthValue = ()
    studied: Value = ()
    modality: Value = ()
    modality_words: MeantWords = {}
    area: Value = ()
    area_words: MeantWords = {}
    license: Value = ()
    license_words: MeantWords = {}
    view: Value = ()
    view_words: MeantWords = {}
    width: Value = ()
    height: Value = ()
    size: Value = ()
    url: Value = ()

    @field_validator("id")
    @classmethod
    def _check_id(cls, value: Value) -> Value:
        if not any(template.columns for template in value):
            raise ValueError(f"give {_ID}")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.born) != bool(self.studied):
            raise ValueError("born and studied make an age only together.")
        return self


class ManySpec(Section):
    """Several rows an image: their `columns` become a list `gather` in its metadata.

    Rows whose column `unless` is empty stay out of that list. `adjacent` promises that the rows of
    an image follow one another, which keeps memory flat however many images there are.
    """

    adjacent: bool = False
    gather: Text = ""
    columns: KeptColumns = ()
    unless: Text = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.gather) != bool(self.columns):
            raise ValueError("gather is the name of the list that columns go into: give both.")
        return self


class MetadataSpec(Section):
    """What is kept of a row beside the fields: all columns but those to `drop`, or `only` some.

    Columns that may identify people, and free text, are kept only if `keep` names them.
    """

    keep: KeptColumns = ()
    drop: Texts = ()
    only: KeptColumns = ()
    numbers: KeptColumns = ()
    lists: KeptColumns = ()
    add: Annotated[dict[Text, OneValue], Field(max_length=MAX_ADDED)] = {}

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, values: Any) -> Any:
        """The former name of `drop` is understood."""
        if isinstance(values, dict) and "leave_out" in values and "drop" not in values:
            return {"drop" if key == "leave_out" else key: each for key, each in values.items()}
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if both := sorted({*self.keep, *self.only} & {*self.drop}):
            raise ValueError(f"“{both[0]}” is both kept and dropped. Take it off one of the lists.")
        if self.keep and self.only:
            raise ValueError("give keep or only: only keeps its columns and no others.")
        return self


class Description(Section):
    """The whole file. Without its section, what a key needs is missed there."""

    dataset: DatasetEntry = Field(default_factory=dict, validate_default=True)
    files: FilesSpec = FilesSpec()
    table: tuple[TableSpec, ...] = Field((), validate_default=True)
    join: tuple[JoinSpec, ...] = ()
    image: ImageSpec = Field(default_factory=dict, validate_default=True)
    labels: tuple[LabelSpec, ...] = ()
    many: ManySpec | None = None
    metadata: MetadataSpec = MetadataSpec()

    @field_validator("table", "join", "labels", mode="before")
    @classmethod
    def _check_repeated(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, Iterable) or isinstance(value, str | dict):
            raise ValueError("write its name with two brackets: there may be several.")
        return tuple(value)

    @field_validator("table")
    @classmethod
    def _check_table(cls, tables: tuple[TableSpec, ...]) -> tuple[TableSpec, ...]:
        if not tables:
            raise ValueError("there is none. Name the table that lists the images.")
        return tables

    @model_validator(mode="after")
    def _check_born(self) -> Self:
        spec = self.metadata
        kept = {*spec.keep, *spec.only, *spec.numbers, *spec.lists}
        kept.update(name for template in spec.add.values() for name in template.columns)
        kept.update(self.many.columns if self.many else ())
        born = {name for template in self.image.born for name in template.columns}
        if both := sorted(kept & born):
            raise ValueError(
                f"born takes the column “{both[0]}” for a date of birth, which is never kept. Take "
                "it off [metadata] and [many]."
            )
        return self

    @model_validator(mode="after")
    def _check_gathered(self) -> Self:
        if both := sorted({*(self.many.columns if self.many else ())} & {*self.metadata.drop}):
            raise ValueError(
                f"“{both[0]}” is both gathered and dropped. Take it off [many] or [metadata]."
            )
        return self

    @property
    def entry(self) -> dict[str, Any]:
        """Only what is said; the rest stays as the shipped entry, or the catalog, has it."""
        return self.dataset.model_dump(mode="json", exclude_unset=True)
