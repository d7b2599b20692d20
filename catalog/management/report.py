"""The reports of imports: added up, and as lines of text."""

from collections.abc import Iterator, Mapping, Sequence

from django.urls import reverse

from catalog.importers.folders.source import FolderSource
from catalog.importers.rows import ImportReport, Unread
from catalog.importers.tables.lines import show
from catalog.importers.tables.source import TableSource
from catalog.management.file_findings import format_files
from catalog.wording.object_counts import only_others, say_objects

SHOWN_WORDS = 20
SHOWN_EXAMPLES = 5
_FIELD_NAMES = {
    "age_years": "age",
    "subject_id": "subject",
    "size_bytes": "size",
    "remote_url": "url",
}


def add_report(total: ImportReport, report: ImportReport) -> None:
    """Add the numbers that are said of all datasets together."""
    for name in (
        "added",
        "changed",
        "unchanged",
        "removed",
        "rejected",
        "nameless",
        "missing_files",
        "series",
        "series_files",
    ):
        setattr(total, name, getattr(total, name) + getattr(report, name))
    total.kinds += report.kinds
    total.conflicts += report.conflicts
    total.new_labels += report.new_labels
    total.renamed_labels |= report.renamed_labels
    total.labels_elsewhere |= report.labels_elsewhere
    total.unknown_words += report.unknown_words


def format_counts(report: ImportReport) -> str:
    counts = [
        f"{report.added:,} added",
        f"{report.changed:,} changed",
        f"{report.unchanged:,} unchanged",
        f"{report.removed:,} removed",
    ]
    counts += [f"{report.rejected:,} rejected"] if report.rejected else []
    return ", ".join(counts)


def format_kinds(report: ImportReport) -> Iterator[str]:
    """What has been counted, unless there are only pictures."""
    if only_others(report.kinds):
        yield f"in all {say_objects(report.kinds)}"


def format_findings(report: ImportReport) -> Iterator[str]:
    """Lines on other objects, missing files, words without a term, and what can be done."""
    yield from format_kinds(report)
    if report.series:
        yield f"{report.series:,} series of {report.series_files:,} files, each series one image"
    if report.missing_files:
        yield f"{report.missing_files:,} files are missing: their images have no file here"
    yield from format_files(report)
    if report.nameless:
        yield (f"{report.nameless:,} bad rows have no image id, so no image was removed")
    for column, rejected in report.rejected_for.items():
        where = f" because of {show(column)}" if column else ""
        yield f"{rejected.num_images:,} rejected{where}: {_format_examples(rejected)}"
    yield from _format_conflicts(report)
    images = report.added + report.changed + report.unchanged
    for name, unread in report.unread.items():
        yield from _format_unread(name, unread, images)
    if report.new_labels:
        address = f"{reverse('admin:vocab_label_changelist')}?is_active__exact=0"
        count = f"{len(report.new_labels):,} labels that no vocabulary knows"
        yield f"{count}, hidden until a curator activates them: {address}"
        yield from _format_words(report.new_labels.most_common())
    if report.renamed_labels:
        yield "words read as a label of another name (where one means something else, `rename` it):"
        yield from _format_renamed(report.renamed_labels)
    if report.labels_elsewhere:
        yield (
            "words that mean a label in images of one area only, and were not read as it (if it is "
            "meant, state the `area` of the dataset or of its images, or `rename` them):"
        )
        yield from _format_renamed(report.labels_elsewhere)
    if report.unknown_words:
        yield (
            "unknown words (add them to a vocabulary as terms or aliases, or say what they mean in "
            'the description, as modality_words = { "X-ray" = "dx" } does, and import again):'
        )
        found = report.unknown_words.most_common()
        yield from _format_words([(f"{name}: {word}", count) for (name, word), count in found])


def format_columns(source: TableSource | FolderSource) -> Iterator[str]:
    """What becomes of each column, for a dry run."""
    for path, fates in source.describe_columns():
        yield f"columns of {show(path)}, and what becomes of them:"
        yield from (f"  {show(name)}: {fate}" for name, fate in fates.items())


def format_next_steps(slug: str, report: ImportReport) -> Iterator[str]:
    """Where the images can be seen and searched, and what a curator can do for them."""
    admin = reverse("admin:catalog_dataset_changelist")
    yield f"Next: see the dataset at {reverse('dataset-detail', args=[slug])}"
    yield f"  search its images at {reverse('image-list')}?dataset={slug}"
    yield f"  complete its description, licence and citation at {admin}?q={slug}"
    if report.new_labels:
        labels = reverse("admin:vocab_label_changelist")
        yield f"  activate its labels, or make aliases of them, at {labels}?is_active__exact=0"
    if report.unknown_words:
        yield "  add its unknown words as aliases (manage.py terms lists the codes), import again"


def _format_unread(name: str, unread: Unread, images: int) -> Iterator[str]:
    """What was not understood of a field, and how the description can explain it."""
    field = _FIELD_NAMES.get(name, name)
    count = f"{unread.num_images:,} of {images:,}"
    yield f"{field} not understood in {count}: {_format_examples(unread)}"
    if name == "sex":
        words = [text for text, _ in unread.examples.most_common(SHOWN_EXAMPLES)]
        pairs = ", ".join(f'"{show(word)}" = "…"' for word in words)
        yield (
            "  It is unknown there. Say what each word means below [image] in the description: "
            f'sex_words = {{ {pairs} }}, with F, M, O or "" for each.'
        )
    elif name == "age_years":
        yield (
            "  It is unknown there. Ages are such as 58, 058Y, 6 months or 50+, and 000Y is none; "
            "what a bare number counts can be said below [image] in the description: "
            'age_unit = "months".'
        )
    elif name == "confidence":
        yield "  It is unknown there. A confidence is a number from 0 to 1, or has its sign: 85%."


def _format_examples(unread: Unread) -> str:
    found = unread.examples.most_common(SHOWN_EXAMPLES)
    more = " …" if len(unread.examples) > len(found) else ""
    return ", ".join(f"“{show(text)}” ({count:,})" for text, count in found) + more


def _format_conflicts(report: ImportReport) -> Iterator[str]:
    if report.conflicts:
        fields = ", ".join(f"{name} ({count:,})" for name, count in report.conflicts.most_common())
        yield f"rows of one image contradict each other, so these are unknown there: {fields}"


def _format_renamed(renamed: Mapping[str, str]) -> Iterator[str]:
    for word, name in [*renamed.items()][:SHOWN_WORDS]:
        yield f"  {show(word)}: {show(name)}"
    if len(renamed) > SHOWN_WORDS:
        yield f"  and {len(renamed) - SHOWN_WORDS:,} more"


def _format_words(words: Sequence[tuple[str, int]]) -> Iterator[str]:
    for word, count in words[:SHOWN_WORDS]:
        yield f"  {show(word)} ({count:,})"
    if len(words) > SHOWN_WORDS:
        yield f"  and {len(words) - SHOWN_WORDS:,} more"
