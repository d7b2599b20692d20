"""What becomes of each column of a table: whether it is used, kept or left out, and why."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, islice

from catalog.importers.parsers import clean
from catalog.importers.tables.identifying_cells import drop_from_text
from catalog.importers.tables.identifying_columns import is_free_text, is_identifying
from catalog.importers.tables.lines import show
from catalog.importers.tables.long_form import LongForm
from catalog.importers.tables.object_texts import read_object
from catalog.importers.tables.specs import MetadataSpec
from catalog.importers.tables.templates import Cells, Header

USED, KEPT = "used", "kept"
_WORDS = "used, and kept where no vocabulary has the word"
_AGE_ALONE = "used for the age alone, as it identifies people"
_LONGEST_SAMPLE, _LONGEST_OBJECT = 60, 600
PROSE = "; it seems to be free text, which may name people: read it, or drop it"
FIRST_ROWS = 100
_LONGEST_READ = 200_000
_FEWEST_WORDS, _FEWEST_LETTERS = 10, 30
_LETTERS_OF_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_RENAME = "rename what names nobody in the table, and remove from it what else is not to be kept"


def find_fates(
    header: Header,
    spec: MetadataSpec,
    *,
    kept: Collection[str],
    excluded: Collection[str],
    used: Collection[str],
    born: Collection[str],
    words: Collection[str],
) -> dict[str, str]:
    """For each column `USED`, `KEPT`, or why it is left out.

    Of columns that are `words` of a vocabulary, those without a term are kept in any case.
    """
    fates = {}
    for name in header.index:
        if name in kept:
            fates[name] = KEPT
        elif name in excluded:
            fates[name] = f"left out: {_explain(name)}"
        elif name in used:
            fate = _WORDS if name in words else USED
            fates[name] = _AGE_ALONE if name in born or is_identifying(name) else fate
        elif name in spec.drop:
            fates[name] = "left out: drop names it"
        else:
            fates[name] = "left out: only does not name it" if spec.only else USED
    return fates


def add_samples(
    fates: Mapping[str, str],
    header: Header,
    rows: Iterable[Cells],
    *,
    keep: Collection[str],
    gathered: Collection[str],
) -> dict[str, str]:
    """The same with a value of each column that is used or kept, of one of the rows.

    The cells of columns in `keep` are kept whatever they tell; those that are `gathered` are given
    out as kept ones are.
    """
    wanted = {name: header.index[name] for name in fates if fates[name] in (USED, _WORDS, KEPT)}
    said = dict.fromkeys(wanted, ", nothing to show in the first rows")
    long_form, rows = LongForm(header, keep), iter(rows)
    first = list(islice(rows, FIRST_ROWS))
    texts = [name for name in wanted if name not in keep
             and (fates[name] == KEPT or name in gathered)]  # fmt: skip
    prose = [name for name in texts if is_prose(cells[wanted[name]] for cells in first)]
    for cells in chain(first, rows):
        told = long_form.find_told(cells)
        for name in [name for name, index in wanted.items() if clean(cells[index])]:
            text = drop_from_text(cells[wanted[name]], name, is_in_keep=name in keep)
            text = "" if name in told else text
            said[name] = say_sample(text)
            if text:
                del wanted[name]
        if not wanted:
            break
    said |= {name: said[name] + PROSE for name in prose}
    return {name: fate + said.get(name, "") for name, fate in fates.items()}


def is_prose(cells: Iterable[str]) -> bool:
    """Whether most of the cells that have something are sentences."""
    texts = [text for text in cells if text]
    return 2 * sum(map(_is_sentence, texts)) > len(texts)


def _is_sentence(text: str) -> bool:
    """Whether a text has many words, or many letters where nothing parts words.

    Of an object or a list, one of its texts.
    """
    if text.startswith(("{", "[")):
        return any(map(_is_sentence, _iter_texts(text)))
    words = [word for word in text.split() if word[-1] not in ",;|"]
    return len(words) >= _FEWEST_WORDS or len(_LETTERS_OF_CJK.findall(text)) >= _FEWEST_LETTERS


def _iter_texts(text: str) -> Iterator[str]:
    """The texts in an object or a list, at any depth; none if it cannot be read."""
    try:
        # What is longer is refused as metadata.
        left = [read_object(text, dict)] if len(text) <= _LONGEST_READ else []
    except (ValueError, RecursionError):
        return
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            left += value.values() if isinstance(value, dict) else value


def say_sample(text: str) -> str:
    """What stands in a column, behind its fate; of '' everything was left out."""
    if not text:
        return ", but for cells that tell who somebody is"
    longest = _LONGEST_OBJECT if text.startswith(("{", "[")) else _LONGEST_SAMPLE
    return f", such as “{show(text, longest)}”"


def rank_fate(fate: str) -> int:
    """Of what becomes of a column in several tables, the higher says more of what is kept."""
    if not fate.startswith(KEPT):
        return int(fate.startswith(USED))
    if fate.endswith(PROSE):
        return 5
    return 4 if "such as" in fate else 2 + ("but for" in fate)


def explain_cut(columns: Iterable[str]) -> str:
    """A sentence on the columns of whose cells some were kept in part or not at all."""
    return (
        "cells were kept without keys of objects that may identify people, or left out, as they "
        f"have nothing else, too many keys, or cannot be read: {', '.join(map(show, columns))}"
    )


def explain_bytes(columns: Iterable[str]) -> str:
    """A sentence on the columns of Parquet that have files in their cells."""
    return (
        f"bytes of files in {', '.join(map(show, columns))} were left out: write the files into a "
        "folder, and name it below [files]"
    )


def describe_excluded(columns: Iterable[str], *, is_described: bool = True) -> Iterator[str]:
    """What a report says of the columns that were left out by this rule.

    What to do is another thing for the tables of a folder, which has no description.
    """
    every = list(dict.fromkeys(columns))
    if sure := [name for name in every if is_identifying(name)]:
        yield f"columns left out, as they identify people: {', '.join(map(show, sure))}"
    if texts := [name for name in every if name not in sure and is_free_text(name)]:
        keep = ", ".join(f'"{show(name)}"' for name in texts)
        how = f"keep what names nobody: keep = [{keep}] below [metadata] in a dataset.toml"
        yield (
            f"columns left out, as free text may name people: {', '.join(map(show, texts))} (read "
            f"them, and {how if is_described else _RENAME})"
        )
    if unsure := [name for name in every if name not in {*sure, *texts}]:
        how = 'a dataset.toml that names a column uses it, as in subject = "{Patient ID}"'
        yield (
            f"columns left out, as they may identify people: {', '.join(map(show, unsure))} "
            f"({how if is_described else _RENAME})"
        )


def _explain(name: str) -> str:
    keep = "" if is_identifying(name) else f'; keep = ["{show(name)}"] below [metadata] keeps it'
    return explain_exclusion(name) + keep


def explain_exclusion(name: str) -> str:
    """Why a column was left out by its name."""
    if is_identifying(name):
        return "it identifies people, and is never kept"
    return "free text may name people" if is_free_text(name) else "it may identify people"
