"""The README.md of an archive: its contents, sources and filters, how to use and how to cite it."""

from collections.abc import Iterator
from typing import Any

from catalog.deidentification import deidentifies_on_delivery
from catalog.imaging.dicom.confidentiality import PROFILE
from catalog.search.availability import AvailabilityCounts
from catalog.wording.formats import count_of, file_size
from catalog.wording.object_counts import KindCounts, only_others, say_objects
from collections_app.contents.markdown import escape, link
from collections_app.contents.tables import count_availability, has_later_columns, has_series
from collections_app.models import Collection
from collections_app.provenance_keys import DATASETS, IDENTIFYING, KINDS, NUM_FILES, TERMS, WORDS
from collections_app.selection.provenance import licenses_of


def data_card(collection: Collection, fingerprint: str) -> bytes:
    """The card as Markdown."""
    return ("\n".join(_lines(collection, fingerprint)) + "\n").encode()


def _lines(collection: Collection, fingerprint: str) -> Iterator[str]:
    # One of which all images were left out is not among them.
    datasets = [each for each in collection.provenance[DATASETS] if each["num_images"]]
    yield f"# {escape(collection.title)}"
    yield ""
    yield (
        f"{_count_kinds(collection.kinds, 'medical image')} from "
        f"{count_of(len(datasets), 'dataset')}, chosen in a medagg catalog."
    )
    yield ""
    files = count_availability(collection)
    yield from _contents(collection, files)
    yield from _identifying(collection)
    if deidentifies_on_delivery():
        yield from _DEIDENTIFICATION
    yield from _choice(collection)
    yield from _sources(datasets)
    yield from _use(collection, files)
    yield "## Provenance"
    yield ""
    yield f"Fingerprint: `{fingerprint}`"
    yield ""
    yield (
        "The fingerprint covers every image's SHA-256 and metadata, the choice and the program "
        "that wrote the archive. An archive with this fingerprint always has the same bytes."
    )


def _contents(collection: Collection, files: AvailabilityCounts) -> Iterator[str]:
    excluded = collection.num_excluded
    noun = "object" if only_others(collection.kinds) else "image"
    size = file_size(collection.num_bytes)
    if deidentifies_on_delivery():
        size += " before their de-identification"
    yield "## What is inside"
    yield ""
    if files.here and has_series(collection):
        number = collection.provenance.get(NUM_FILES, files.here)
        yield (f"- `images/`: {count_of(files.here, noun)} in {count_of(number, 'file')}, {size}")
        yield (
            f"- `metadata.csv`: one row for each {noun}; `file_name` is its path, and that of the "
            "folder where it is a series of files. The `sha256` of a series is that of the lines "
            "that `LC_ALL=C sha256sum *` prints in its folder"
        )
        yield "- `files.csv`: one row for each file of these series, slices in their order"
    elif files.here:
        yield f"- `images/`: {count_of(files.here, 'file')}, {size}"
        yield "- `metadata.csv`: one row for each file; `file_name` is its path"
    else:
        # An alert, which GitHub and other readers of Markdown show in red.
        yield "> [!CAUTION]"
        yield "> **This archive has no image files**, only tables: none of its images is here."
        yield ""
        yield "- `metadata.csv`: no rows, as there are no files"
    if files.elsewhere:
        yield (
            f"- `remote.csv`: {count_of(files.elsewhere, noun)} elsewhere, with the address of "
            f"{'it' if files.elsewhere == 1 else 'each'}; `file_name` is the path that it gets, "
            "the folder's where it is a series of files"
        )
        yield (
            "- `fetch.py`: run `python3 fetch.py` in this folder to fetch them, as their source "
            "has them, from addresses of `s3://` and `https://`; it needs nothing but Python 3.9 "
            "or newer, checks size and MD5, and goes on where it was when it is run again. "
            "`sh fetch.sh` does it by [s5cmd](https://github.com/peak/s5cmd), for what is on S3"
        )
    if files.listed:
        yield (
            f"- `unavailable.csv`: {count_of(files.listed, noun)} listed only, without a file "
            f"and without an address{_say_where_to_ask(collection)}"
        )
    if excluded:
        yield f"- `missing.csv`: {count_of(excluded, noun)} excluded, with the reason"
    if collection.provenance.get(TERMS):
        # Collections without kinds were frozen before labels that wait for review had terms.
        codes = "every code" if KINDS in collection.provenance else "codes"
        yield f"- `terms.csv`: {codes} used in the tables, with name and description"
    yield "- `licenses.csv`: the licences and citation of each source dataset"
    yield "- `collection.json`: the same facts for programs"
    yield "- `SHA256SUMS`: run `sha256sum -c SHA256SUMS` in this folder to check every file"
    yield ""
    yield (
        "On Windows unpack the ZIP into a folder with a short path, such as `C:\\data`: many "
        "programs there open no file whose path has more than 260 characters."
    )
    yield ""
    unreviewed = (
        " `labels_unreviewed` are labels, too, which wait for review by a curator; `label_words` "
        "has the source's own words."
    )
    yield (
        "`labels` are what the source found, `uncertain_labels` what it was not sure of, "
        "`negative_labels` what it did not find."
        f"{unreviewed if has_later_columns(collection) else ''}"
    )
    yield ""
    yield (
        "`view` is from where a projection image was taken, such as `pa` or `lateral`. "
        "Columns that begin with `source.` are the source's own, in its own words; lists are JSON. "
        "An empty cell is not known."
    )
    yield ""


_PERSONAL = "Treat these files as personal data."
_OF_SOURCE = "That is what the sources carry; these files have it no longer."
_DEIDENTIFICATION = (
    "## De-identification",
    "",
    "DICOM files that did not say that the identity was removed (`PatientIdentityRemoved`) were "
    f"de-identified when this archive was written: {PROFILE}. Names, dates, descriptions and "
    "private attributes are gone, UIDs and ids are replaced, each by the same everywhere. Text "
    "that is burnt into pixels is not removed, and names of files and folders are the source's, as "
    "are ids and other words in the tables: they may tell something, too. `sha256` and "
    "`size_bytes` in `metadata.csv` and the sums in `SHA256SUMS` are those of the files in this "
    "archive; `source_sha256` is that of the file as its source published it, and differs where "
    "the file was changed.",
    "",
)


def _identifying(collection: Collection) -> Iterator[str]:
    """What is known of files that tell who somebody is; nothing where there are none."""
    counts = collection.provenance.get(IDENTIFYING)
    if not counts:
        return
    yield "## Files that may tell who somebody is"
    yield ""
    if number := counts["files"]:
        names = ", ".join(f"`{name}` ({count:,})" for name, count in counts["attributes"].items())
        names += ", and others" if counts.get("more") else ""
        yield (
            f"- {count_of(number, 'DICOM image')} {'carries' if number == 1 else 'carry'} "
            "attributes that may tell who somebody is, and did not say that the identity was "
            f"removed (`PatientIdentityRemoved`): {names}. `metadata.csv` names them in "
            f"`identifying`. {_OF_SOURCE if deidentifies_on_delivery() else _PERSONAL}"
        )
    if number := counts["burned_in"]:
        yield (
            f"- {count_of(number, 'image')} {'says' if number == 1 else 'say'} that text is "
            "burnt into the pixels (`BurnedInAnnotation` is `YES`), which may tell it as well."
        )
    if number := counts["unchecked"]:
        yield (
            f"- {count_of(number, 'DICOM image')} {'was' if number == 1 else 'were'} not checked "
            "for such attributes: the tables say `not checked` in `identifying`."
        )
    yield ""


def _say_where_to_ask(collection: Collection) -> str:
    datasets = collection.provenance[DATASETS]
    known = [bool(dataset["source_url"]) for dataset in datasets]
    words = []
    if any(known):
        where = "is the page of" if all(known) else "is the page, where one is known, of"
        words.append(f"; `source_url` {where} their dataset")
    if any(dataset.get("access") for dataset in datasets):
        words.append("; `access` is how one gets at its files, where that is known")
    return "".join(words)


def _choice(collection: Collection) -> Iterator[str]:
    yield "## How it was chosen"
    yield ""
    words = collection.provenance.get(WORDS, [])
    for word in words:
        yield f"- {escape(word['filter'])}: {escape(word['value'])}"
    if not words:
        yield "All images of the catalog."
    yield ""


def _sources(datasets: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Sources and licences"
    yield ""
    for dataset in datasets:
        yield f"### {escape(dataset['title'])}"
        yield ""
        others = only_others(dataset.get("kinds", {}))
        if others:
            yield f"- In this collection: {say_objects(dataset['kinds'])}"
        else:
            yield f"- Images in this collection: {dataset['num_images']:,}"
        licenses, noun = licenses_of(dataset), "object" if others else "image"
        for each in licenses:
            number = f" ({count_of(each['num_images'], noun)})" if len(licenses) > 1 else ""
            url = link(each["license_url"]) if each["license_url"] else ""
            yield f"- Licence: {escape(each['license_name'])} {url}".rstrip() + number
            if each["allows_commercial_use"] is False:
                whose = " of these images" if len(licenses) > 1 else ""
                yield f"- Commercial use{whose} is not permitted."
        if dataset["source_url"]:
            yield f"- Source: {link(dataset['source_url'])}"
        if dataset["doi"]:
            yield f"- DOI: {link('https://doi.org/' + dataset['doi'])}"
        if dataset["citation"]:
            yield f"- Please cite: {escape(dataset['citation'])}"
        if dataset["is_synthetic"]:
            yield "- These images are synthetic and show no patient."
        yield ""


_CODE = """\
```python
import csv
from pathlib import Path

folder = Path("{folder}")
csv.field_size_limit(2**31 - 1)  # a source's own cells may be long


def read(name):
    with (folder / name).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            # One apostrophe keeps spreadsheets from running a cell as a formula.
            yield {{key: cell.removeprefix("'") for key, cell in row.items()}}
"""
_LOOP = """\

for row in read("{table}"):
    {use}
    labels = row["labels"].split("|") if row["labels"] else []
"""


def _use(collection: Collection, files: AvailabilityCounts) -> Iterator[str]:
    uses = (
        (files.here, "metadata.csv", 'path = folder / row["file_name"]'),
        (files.elsewhere, "remote.csv", 'path, address = folder / row["file_name"], row["url"]'),
        (files.listed, "unavailable.csv", 'image = row["dataset"], row["source_id"]'),
    )
    loops = [_LOOP.format(table=table, use=use) for count, table, use in uses if count]
    yield "## How to use it"
    yield ""
    yield _CODE.format(folder=collection.slug) + "\n" + "".join(loops) + "```"
    yield ""
    yield (
        "Cells that begin with `=`, `+`, `-`, `@` or an apostrophe carry a leading apostrophe, so "
        "that no spreadsheet takes them for a formula. Split by `subject_id`, never by image: "
        "several images may show the same person. Where it is empty, the source does not say who "
        "is shown: a split of these images may have one person in both parts."
    )
    yield ""


def _count_kinds(kinds: KindCounts, noun: str) -> str:
    """The numbers of objects; the ``noun`` is for pictures alone."""
    return say_objects(kinds) if only_others(kinds) else count_of(sum(kinds.values()), noun)
