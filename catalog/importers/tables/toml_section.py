"""A section of a TOML file as a pydantic model, and what is wrong with it in sentences. Pure."""

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Annotated, Any, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
)
from pydantic_core import ErrorDetails

from catalog.importers.tables.identifying_columns import is_identifying
from catalog.importers.tables.lines import show
from catalog.importers.tables.templates import Template, parse_template

# What the database holds.
MAX_COUNT = 2**31 - 1
_MOST_ERRORS = 20
_LONGEST_SENTENCE = 1000


class Section(BaseModel):
    """One table such as `[image]`: no other keys than those of the model, and no other types.

    The `description` of a field that is needed is the end of the sentence “give …”.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# --- Types ---
def _check_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("the text has a NUL character. Take it out.")
    return text


def to_tuple(value: Any) -> Any:
    """TOML has lists; and a single text is a list of one."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """A validator for a text that is empty or one of the choices."""

    def check(text: str) -> str:
        if text and text not in choices:
            raise ValueError(f"“{text}” is none of {', '.join(choices)}.")
        return text

    return check


def _read_template(value: Any) -> Template:
    if not isinstance(value, str):
        raise ValueError(_RIGHT_FORMS["string_type"])
    return parse_template(_check_text(value))


def _refuse_identifying(template: Template) -> Template:
    for column in filter(is_identifying, template.columns):
        raise ValueError(
            f"the column “{column}” tells who somebody is, and is never taken into the catalog. "
            "Leave it out; only born may use it, for the age."
        )
    return template


def _refuse_kept(column: str) -> str:
    if is_identifying(column):
        raise ValueError(
            f"the column “{column}” tells who somebody is, and is never kept. Take it off."
        )
    return column


Text = Annotated[str, AfterValidator(_check_text)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(to_tuple)]
KeptColumns = Annotated[
    tuple[Annotated[Text, AfterValidator(_refuse_kept)], ...], BeforeValidator(to_tuple)
]
Pairs = dict[Text, Text]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]

# A value is a template, or several of which the first that is not empty counts.
_AnyTemplate = Annotated[Template, PlainValidator(_read_template)]
OneValue = Annotated[_AnyTemplate, AfterValidator(_refuse_identifying)]
Value = Annotated[tuple[OneValue, ...], BeforeValidator(to_tuple)]
BirthValue = Annotated[tuple[_AnyTemplate, ...], BeforeValidator(to_tuple)]

# --- Errors ---
_NUMBER = f"give a whole number from 0 to {MAX_COUNT}."
_LIST = 'give a list of texts: ["one", "two"].'
_RIGHT_FORMS = {
    "string_type": 'give a text in quotes: "…".',
    "bool_type": "say true or false.",
    "int_type": _NUMBER,
    "greater_than_equal": _NUMBER,
    "less_than_equal": _NUMBER,
    "tuple_type": _LIST,
    "dict_type": 'give pairs of texts: { "from" = "to" }.',
    "model_type": "is no table. Write its keys below a line of its own.",
}
# A line for each key that is often written wrongly.
_EXAMPLES = {
    "modalities": 'modalities = ["dx"]',
    "task_types": 'task_types = ["classification"]',
    "tags": 'tags = ["png"]',
    "num_images": "num_images = 1000",
    "sample_unit": 'sample_unit = "patient"',
    "size_mb": "size_mb = 250",
    "is_synthetic": "is_synthetic = true",
    "other_areas": 'other_areas = ["liver"]',
    "dimensions": 'dimensions = ["3d"]',
    "access": 'access = "registration"',
    "has_labels": "has_labels = true",
    "is_num_rounded": "is_num_rounded = true",
    "parts": 'parts = ["Task 1", "Task 2"]',
    "title": 'title = "My rays"',
    "slug": 'slug = "my-rays"',
    "license": 'license = "cc-by-4.0"',
    "doi": 'doi = "10.1234/abc"',
    "source_url": 'source_url = "https://example.org/rays"',
    "folder": 'folder = "pictures"',
    "extensions": 'extensions = [".png", ".jpg"]',
    "anywhere": "anywhere = true",
    "optional": "optional = true",
    "format": 'format = "csv"',
    "encoding": 'encoding = ["utf-8", "cp1252"]',
    "delimiter": 'delimiter = ";"',
    "header": 'header = ["id", "label"]',
    "skip": "skip = 1",
    "member": 'member = "train.csv"',
    "id": 'id = "{File}"',
    "subject": 'subject = "{Patient}"',
    "sex": 'sex = "{Sex}"',
    "sex_words": 'sex_words = { "0" = "F", "1" = "M" }',
    "age": 'age = "{Age}"',
    "age_unit": 'age_unit = "months"',
    "view": 'view = "{View}"',
    "modality": 'modality = "dx"',
    "area": 'area = "chest"',
    "words": 'words = "{Findings}"',
    "separator": 'separator = "|"',
    "list": "list = true",
    "finding": 'finding = "uncertain"',
    "confidence": 'confidence = "{score}"',
    "columns": 'columns = ["Mass", "Nodule"]',
    "positive": 'positive = ["1"]',
    "negative": 'negative = ["0"]',
    "uncertain": 'uncertain = ["-1"]',
    "rename": 'rename = { "PTX" = "Pneumothorax" }',
    "adjacent": "adjacent = true",
    "gather": 'gather = "boxes"',
    "only": 'only = ["View"]',
    "keep": 'keep = ["Report"]',
    "drop": 'drop = ["Batch"]',
    "numbers": 'numbers = ["Follow-up #"]',
    "add": 'add = { study = "{Path|part -2}" }',
}


def give_example(key: str) -> str:
    """A sentence with a line for the key; '' if there is none."""
    return f" For example: {_EXAMPLES[key]}" if key in _EXAMPLES else ""


def describe_errors(error: ValidationError, model: type[Section], where: str) -> str:
    """All that is wrong: file, section and key, and the right form. `where` names the file."""
    details = error.errors(include_url=False, include_input=False)
    sentences = [f"{where}{each}" for each in islice(_describe(details, model), _MOST_ERRORS)]
    if len(details) > _MOST_ERRORS:
        sentences.append(f"There are {len(details) - _MOST_ERRORS:,} more errors.")
    return "\n".join(sentences)


def _describe(details: Sequence[ErrorDetails], model: type[Section]) -> Iterator[str]:
    for each in details:
        section, names = _find_section(model, each["loc"])
        place = f", {' '.join(names)}" if names else ""
        yield show(f"{place}: {_say(each, section)}", _LONGEST_SENTENCE)


def _find_section(model: type[Section], place: Sequence[int | str]) -> tuple[Any, list[str]]:
    """The section in which the place is, and the names that lead to it: `[[table]]`, `path`."""
    names = [str(part) for part in place if isinstance(part, str)]
    field = model.model_fields.get(names[0]) if names else None
    if field is None:
        return model, names
    kinds = (field.annotation, *get_args(field.annotation))
    section = next((k for k in kinds if isinstance(k, type) and issubclass(k, Section)), None)
    if section is None:
        return model, names
    name = f"[[{names[0]}]]" if get_origin(field.annotation) is tuple else f"[{names[0]}]"
    index = place[1] if len(place) > 1 else 0
    name += f" no. {index + 1}" if isinstance(index, int) and index > 0 else ""
    return section, [name, *names[1:]]


def _say(error: ErrorDetails, section: type[Section]) -> str:
    fields = {each.alias or name: each for name, each in section.model_fields.items()}
    key = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        near = get_close_matches(key, fields, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(fields))}."
        return f"there is no such key; {hint}"
    if error["type"] == "value_error":
        said, example = str(error["ctx"]["error"]), _EXAMPLES.get(key, "")
        return said if not example or example in said else f"{said} For example: {example}"
    if key in fields and error["type"] in ("missing", "string_too_short", "too_short"):
        return f"give {fields[key].description}"
    said = _RIGHT_FORMS.get(error["type"], error["msg"])
    return f"{said} For example: {_EXAMPLES[key]}" if key in _EXAMPLES else said
