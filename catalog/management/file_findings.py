"""Lines of an import's report on files: what is wrong with them, and which are the same."""

from collections.abc import Iterator

from catalog.importers.identifying_files import describe_identifying
from catalog.importers.rows import Examples, ImportReport, SameBytes
from catalog.importers.tables.lines import show

MAX_DATASETS = 5


def format_files(report: ImportReport) -> Iterator[str]:
    """A line on each problem, with the number of files, the first of them, and what to do."""
    for problem, files in sorted(report.file_problems.items(), key=lambda item: -item[1].count):
        lost = "" if problem.is_kept else "; their images have no file here"
        yield f"{files.count:,} {problem.plural}{lost}: {name_examples(files)}"
        yield f"  what to do: {problem.remedy}"
    if report.copies.count:
        yield (
            f"{report.copies.count:,} files are exact copies of a DICOM instance (same SOP "
            f"Instance UID, same bytes) and were left out: {name_examples(report.copies)}"
        )
    if report.shared_uids.count:
        yield (
            f"{report.shared_uids.count:,} DICOM files have the SOP Instance UID of another file "
            f"but other bytes; all were kept, and one of each may be wrong: "
            f"{name_examples(report.shared_uids)}"
        )
    if report.identifying.count:
        yield f"{describe_identifying(report)}: {name_examples(report.identifying)}"
        yield "  allowed: pages and archives say so, and the files need a signed-in user"
    if report.burned_in.count:
        yield (
            f"{report.burned_in.count:,} DICOM files say that text is burnt into their pixels, "
            f"which previews show to everybody: {name_examples(report.burned_in)}"
        )
    for reason, series in report.not_volumes.items():
        yield f"{series.count:,} series are not one volume: {reason}: {name_examples(series)}"
    for reason, masks in report.masks.items():
        yield (
            f"{masks.count:,} images are taken for masks by {reason}, and marked as “annotation” "
            f"in their metadata: {name_examples(masks)}"
        )
    yield from _format_same_bytes(report.same_bytes)


def _format_same_bytes(same: SameBytes) -> Iterator[str]:
    if same.within:
        splits = f", {same.across_splits:,} of them across splits" if same.across_splits else ""
        shown = "; ".join(map(show, same.examples))
        yield f"{same.within:,} images share their file's bytes with another image{splits}: {shown}"
    for slug, (count, example) in list(same.elsewhere.items())[:MAX_DATASETS]:
        yield f"{count:,} images have the bytes of an image of the dataset {slug}: {show(example)}"
    if len(same.elsewhere) > MAX_DATASETS:
        yield f"and copies in {len(same.elsewhere) - MAX_DATASETS:,} further datasets"


def name_examples(files: Examples) -> str:
    """The first files, and whether there are more."""
    more = ", …" if files.count > len(files.first) else ""
    return ", ".join(map(show, files.first)) + more
