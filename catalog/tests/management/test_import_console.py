"""The import commands at the console: progress, rejects.csv, the report, and being stopped."""

import csv
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from catalog.importers.rows import BadRow, ImageRow, LabelRow, Source, SourceError
from catalog.management.importing import ImportCommand
from catalog.management.progress import Progress
from catalog.management.rejects import Limit, parse_limit
from catalog.models import Dataset, Image
from catalog.tests.importers.idc_files import series, write_index
from vocab.models import Label
from vocab.tests.factories import ModalityFactory

PATIENCE_SECONDS = 60.0


class ListSource:
    """A source that was prepared; an exception in its rows is raised when it is reached."""

    def __init__(self, slug: str, rows: Sequence[Any], **entry: Any) -> None:
        self.entry: Mapping[str, Any] = {"slug": slug, "title": slug, **entry}
        self.num_rows: int | None = len(rows)
        self._rows = rows

    def rows(self) -> Iterator[ImageRow | BadRow]:
        for row in self._rows:
            if isinstance(row, BaseException):
                raise row
            yield row


class ListCommand(ImportCommand):
    def __init__(self, *sources: Source, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sources = sources

    def open_sources(self, options: dict[str, Any]) -> Sequence[Source]:
        return self.sources


def bad(line: int, value: str = "x", reason: str = "It is no age. Correct it.") -> BadRow:
    return BadRow(line, "age", value, reason)


def images(count: int, start: int = 0) -> list[ImageRow]:
    return [ImageRow(source_id=f"image-{n:06}") for n in range(start, start + count)]


@pytest.fixture
def rejects(tmp_path: Path) -> Path:
    return tmp_path / "rejects.csv"


def run(rejects: Path, *sources: Source, arguments: Sequence[str] = (), **more: Any) -> str:
    out = StringIO()
    command = ListCommand(*sources, stdout=out, stderr=out)
    call_command(command, "--rejects", str(rejects), *arguments, **more)
    return out.getvalue()


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


# --- The report ---
@pytest.mark.django_db
def test_the_report_names_what_asks_for_attention(rejects: Path) -> None:
    rows = [
        ImageRow("a", labels=(LabelRow("Foo bar"),), area="upper torso"),
        ImageRow("b", labels=(LabelRow("Foo bar"),), modality="hologram"),
        ImageRow("c", file_path="c.png"),
        bad(4),
    ]

    report = run(rejects, ListSource("mine", rows))

    assert "mine: 3 added, 0 changed, 0 unchanged, 0 removed, 1 rejected" in report
    assert "1 files are missing" in report
    labels = "1 labels that no vocabulary knows, hidden until a curator activates them"
    assert f"{labels}: /admin/vocab/label/?is_active" in report
    assert "Foo bar (2)" in report
    assert "area: upper torso (1)" in report
    assert "modality: hologram (1)" in report
    assert f"1 bad rows are listed in {rejects}" in report
    assert "4 rows in 00:0" in report
    assert not Label.objects.get().is_active


@pytest.mark.django_db
def test_control_characters_of_a_table_are_escaped_on_the_terminal(rejects: Path) -> None:
    report = run(rejects, ListSource("mine", [ImageRow("a", modality="\x1b[2Jholo\u202egram")]))

    assert r"modality: \x1b[2Jholo\u202egram (1)" in report
    assert "\x1b" not in report


@pytest.mark.django_db
def test_several_datasets_are_summed_up_and_a_bad_one_is_told_at_the_end(rejects: Path) -> None:
    out = StringIO()
    broken = ListSource("broken", [*images(2), SourceError("The table is torn. Get it again.")])
    command = ListCommand(
        ListSource("one", images(3)), broken, ListSource("two", images(4)), stdout=out, stderr=out
    )

    with pytest.raises(CommandError, match="1 of 3 datasets were not imported: broken") as refusal:
        call_command(command, rejects=rejects)

    report = out.getvalue()
    assert refusal.value.returncode == 1
    assert "2 datasets: 7 added" in report
    assert "broken was not imported: The table is torn. Get it again." in report
    assert set(Dataset.objects.values_list("slug", flat=True)) == {"one", "two"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("source", "says"),
    [
        (ListSource("mine", []), "has no rows; nothing was changed"),
        (ListSource("mine", [SourceError("Torn.")]), "Torn."),
        (ListSource("mine", images(1), area="torsoo"), "area “torsoo”"),
        (ListSource("mine", images(1), local_path="/etc"), "outside the dataset folders"),
        (ListSource("mine", images(1), doi="x"), "doi: A DOI looks like"),
        (ListSource("no slug", images(1)), "slug: Enter a valid “slug”"),
        (ListSource("mine", [PermissionError(13, "Permission denied", "t.csv")]), "t.csv: Perm"),
    ],
)
def test_what_stops_an_import_is_said_in_a_sentence(
    source: Source, says: str, rejects: Path
) -> None:
    with pytest.raises(CommandError, match=says):
        run(rejects, source)

    assert not Dataset.objects.exists()


@pytest.mark.django_db
def test_our_own_faults_keep_their_traceback(rejects: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run(rejects, ListSource("mine", [ZeroDivisionError()]))
    with pytest.raises(SourceError):
        run(rejects, ListSource("mine", [SourceError("Torn.")]), traceback=True)


@pytest.mark.django_db
def test_a_dry_run_says_so(rejects: Path) -> None:
    report = run(rejects, ListSource("mine", images(3)), arguments=["--dry-run"])

    assert "3 added, 0 changed, 0 unchanged, 0 removed (dry run: nothing was changed)" in report
    assert not Dataset.objects.exists()


# --- rejects.csv ---
@pytest.mark.django_db
def test_bad_rows_are_listed_for_a_spreadsheet_that_runs_none_of_them(rejects: Path) -> None:
    rows = [
        *images(1),
        bad(2, '=HYPERLINK("http://x")'),
        bad(3, "-5"),
        bad(0, "torn \udc80\nline", "+ no"),
    ]
    run(rejects, ListSource("mine", rows))

    assert read_csv(rejects) == [
        ["dataset", "line", "column", "value", "reason"],
        ["mine", "2", "age", '\'=HYPERLINK("http://x")', "It is no age. Correct it."],
        ["mine", "3", "age", "'-5", "It is no age. Correct it."],
        ["mine", "", "age", "torn \\udc80\nline", "'+ no"],
    ]
    assert not list(rejects.parent.glob(".*")), "nothing half-written stays"


@pytest.mark.django_db
def test_without_bad_rows_there_is_no_such_file(rejects: Path) -> None:
    run(rejects, ListSource("mine", images(1)))

    assert not rejects.exists()


@pytest.mark.django_db
def test_the_list_of_an_earlier_import_is_taken_away_by_a_clean_one(rejects: Path) -> None:
    run(rejects, ListSource("mine", [*images(1), bad(2)]))
    assert rejects.exists()

    assert "bad rows" not in run(rejects, ListSource("mine", images(1)))
    assert not rejects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["", "dataset,line\n", "dataset,line,column,value,reasons\n"])
def test_a_file_that_is_not_a_list_of_rejects_is_not_deleted(rejects: Path, text: str) -> None:
    rejects.write_text(text)

    run(rejects, ListSource("mine", images(1)))

    assert rejects.read_text() == text


@pytest.mark.django_db
def test_the_list_is_kept_when_too_many_rows_stop_the_import(rejects: Path) -> None:
    rows = [*images(5), *(bad(n) for n in range(6, 10))]

    with pytest.raises(CommandError, match="nothing was changed"):
        run(rejects, ListSource("mine", rows), arguments=["--max-rejected", "2"])

    assert len(read_csv(rejects)) >= 3
    assert not Dataset.objects.exists()
    run(rejects, ListSource("mine", rows), arguments=["--max-rejected", "4"])
    assert Image.objects.count() == 5


@pytest.mark.django_db
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "no" / "folder.csv"):
        with pytest.raises(CommandError, match="cannot be written; name another place"):
            run(place, ListSource("mine", [AssertionError("was read")]))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("0", Limit(0)),
        ("25", Limit(25)),
        ("5%", Limit(max_share=0.05)),
        ("2.5 %", Limit(max_share=0.025)),
        ("100%", Limit(max_share=1.0)),
        ("0%", Limit(0)),
    ],
)
def test_a_limit_is_a_number_or_a_share(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize("text", ["", "-1", "five", "101%", "%", "1e2", "nan%", "٣"])
def test_an_invalid_limit_is_refused(text: str, rejects: Path) -> None:
    with pytest.raises(CommandError, match="neither a number of rows nor a share such as 5%"):
        run(rejects, arguments=[f"--max-rejected={text}"])


# --- Progress ---
class Console(StringIO):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str, style_func: Any = None, ending: str = "\n") -> int:
        return super().write(text + ending)


def show(
    *, is_terminal: bool, steps: Sequence[int], unit: str = " rows", total: int | None = None
) -> str:
    """What progress through two datasets of the same steps writes."""
    console = Console(is_terminal=is_terminal)
    with Progress(console, total=total, unit=unit) as progress:
        for name in ("lungs", "hearts"):
            progress.start(name)
            for done in steps:
                progress.show(done)
    return console.getvalue()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show every step."""
    monkeypatch.setattr("catalog.management.progress.LINE_SECONDS", 0)
    monkeypatch.setattr("catalog.management.progress.TERMINAL_SECONDS", 0)


@pytest.mark.usefixtures("often")
def test_elsewhere_than_on_a_terminal_plain_lines_are_written() -> None:
    shown = show(is_terminal=False, total=4_000, steps=[500, 1_000])

    lines = [line.partition(" [")[0] for line in shown.splitlines() if line[0] in "lh"]
    assert lines == [
        "lungs:  12% 500/4000",
        "lungs:  25% 1000/4000",
        "hearts:  38% 1500/4000",
        "hearts:  50% 2000/4000",
    ]
    assert shown.replace("\n", "").isprintable(), "no character steers a terminal"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_is_done_at_once_is_not_shown(is_terminal: bool) -> None:
    assert not show(is_terminal=is_terminal, total=4_000, steps=[500, 1_000]).strip()


@pytest.mark.usefixtures("often")
def test_on_a_terminal_a_bar_is_drawn_over_itself_and_taken_away() -> None:
    shown = show(is_terminal=True, total=4_000, steps=[500, 2_000])

    assert "hearts: 100%|" in shown
    assert "\n" not in shown
    assert shown.rsplit("\r", 2)[1].isspace(), "nothing of it is left before the report"


@pytest.mark.usefixtures("often")
def test_bytes_are_shown_in_units_and_unknown_totals_are_left_out() -> None:
    sizes = show(is_terminal=False, total=4_000_000, steps=[1_000_000], unit="B")

    assert "lungs:  25% 1.00M/4.00M [" in sizes
    assert "lungs: 500 rows [" in show(is_terminal=False, steps=[500])


# --- As a process of its own ---
def start_import(index: Path, rejects: Path, **streams: Any) -> "subprocess.Popen[str]":
    """`manage.py import_idc` on this test's database."""
    name = connection.settings_dict["NAME"]
    server, mark, options = settings.DATABASE_URL.partition("?")
    database = f"{server.rpartition('/')[0]}/{name}{mark}{options}"
    return subprocess.Popen(
        [
            sys.executable,
            Path(settings.BASE_DIR, "manage.py"),
            "import_idc",
            f"--index={index}",
            f"--rejects={rejects}",
        ],
        env={**os.environ, "DATABASE_URL": database, "COLUMNS": "100"},
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )


def wait_until_it_imports() -> None:
    """An import holds a lock on the name of its dataset until it is over."""
    wait_for_lock(lambda kind, is_granted: kind == "advisory")


def wait_until_it_waits_for_a_lock() -> None:
    wait_for_lock(lambda kind, is_granted: not is_granted)


def wait_for_lock(is_wanted: Callable[[str, bool], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(
                "SELECT locktype, granted FROM pg_locks WHERE database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            if any(is_wanted(*lock) for lock in cursor.fetchall()):
                return
            time.sleep(0.02)
    raise TimeoutError("the import does not get so far")


@pytest.fixture
def index(tmp_path: Path, transactional_db: None) -> Path:
    ModalityFactory(code="ct")
    return write_index(tmp_path / "index", [series(n) for n in range(100)], [])


@pytest.fixture
def long_index(tmp_path: Path, transactional_db: None) -> Path:
    ModalityFactory(code="ct")
    return write_index(tmp_path / "index", [series(n) for n in range(60_000)], [])


def test_a_process_imports_and_a_second_one_at_a_terminal_finds_nothing_to_do(
    index: Path, rejects: Path
) -> None:
    process = start_import(index, rejects)
    said, progress = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 0, progress
    assert "tiny_lung: 100 added, 0 changed, 0 unchanged, 0 removed" in said
    assert "\r" not in progress

    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123 - a descriptor, no path
        process = start_import(index, rejects, stderr=theirs)
        said, _ = process.communicate(timeout=PATIENCE_SECONDS)
        os.close(theirs)
        shown = terminal.read(65_536).decode()

    assert process.returncode == 0, shown
    assert "tiny_lung: 100%|" in shown
    assert "tiny_lung: 0 added, 0 changed, 100 unchanged, 0 removed" in said
    assert Image.objects.count() == 100
    assert not rejects.exists()


def test_a_refusal_has_exit_code_1_and_no_traceback(index: Path, rejects: Path) -> None:
    (index / "idc_index.parquet").write_bytes(b"no table")

    process = start_import(index, rejects)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 1
    assert "cannot be read as a Parquet table" in errors
    assert "Traceback" not in errors


def test_ctrl_c_changes_nothing_and_says_so(long_index: Path, rejects: Path) -> None:
    process = start_import(long_index, rejects)
    wait_until_it_imports()
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 130, said + errors
    assert "tiny_lung: nothing was changed." in errors
    assert "Traceback" not in errors
    assert not Dataset.objects.exists()


def test_ctrl_c_stops_a_query_at_once(index: Path, rejects: Path) -> None:
    """Waiting for it would last hours, and psycopg2 may swallow what was raised meanwhile."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE catalog_image IN SHARE MODE")
        process = start_import(index, rejects)
        wait_until_it_waits_for_a_lock()
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 130, said + errors
    assert errors.endswith(
        "tiny_lung: nothing was changed.\nStopped. Datasets that were not finished are unchanged.\n"
    )
    assert not Image.objects.exists()


def test_a_killed_import_leaves_the_old_state_and_the_next_one_works(
    long_index: Path, rejects: Path
) -> None:
    process = start_import(long_index, rejects)
    wait_until_it_imports()
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)
    assert not Dataset.objects.exists()

    write_index(long_index, [series(n) for n in range(10)], [])
    deadline = time.monotonic() + PATIENCE_SECONDS
    again = start_import(long_index, rejects)
    # The server may need a moment to see that the killed one is gone.
    while again.wait(PATIENCE_SECONDS) and time.monotonic() < deadline:
        again = start_import(long_index, rejects)
    again.communicate()

    assert Image.objects.count() == 10


# --- Images that would be removed ---
@pytest.mark.django_db
def test_most_images_are_removed_only_when_that_is_allowed(rejects: Path) -> None:
    run(rejects, ListSource("mine", images(30)))
    half, less = ListSource("mine", images(15)), ListSource("mine", [*images(14), bad(9)])

    assert "15 removed" in run(rejects, half), "half of them are not most"
    run(rejects, ListSource("mine", images(30)), arguments=["--allow-removal"])
    with pytest.raises(CommandError) as refused:
        run(rejects, ListSource("mine", images(14)))

    assert "16 of the 30 images of “mine” are not in this source" in str(refused.value)
    assert "--allow-removal" in str(refused.value)
    assert Image.objects.count() == 30
    preview = run(rejects, ListSource("mine", images(14)), arguments=["--dry-run"])
    assert "16 of 30 images would be removed: the import will ask" in preview
    assert "0 removed" in run(rejects, less), "one of them may be that of the bad row"
    assert "16 removed" in run(
        rejects, ListSource("mine", images(14)), arguments=["--allow-removal"]
    )
    assert "10 removed" in run(rejects, ListSource("mine", images(4))), "few may go at any time"


@pytest.mark.django_db
@pytest.mark.parametrize(("answer", "left"), [("y\n", 2), ("\n", 30), ("", 30), ("no\n", 30)])
def test_at_a_terminal_it_is_asked(
    rejects: Path, answer: str, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(rejects, ListSource("mine", images(30)))
    typed, out = StringIO(answer), StringIO()
    monkeypatch.setattr(typed, "isatty", lambda: True)
    monkeypatch.setattr(out, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", typed)
    source = ListSource("mine", [*images(2), BadRow(4, "x", "y", "Bad.", source_id="gone")])
    command = ListCommand(source, stdout=out, stderr=out)

    with suppress(CommandError):
        call_command(command, "--rejects", str(rejects))

    assert "28 of the 30 images of “mine” are not in this source and would be removed." in (
        out.getvalue()
    )
    assert Image.objects.count() == left
    assert len(read_csv(rejects)) == 2, "the bad row is listed once"


# --- Values that are unknown ---
@pytest.mark.django_db
def test_values_that_are_not_understood_are_counted_with_what_to_do(rejects: Path) -> None:
    rows = [ImageRow(f"a{n}", unread=(("sex", str(n % 2)),)) for n in range(5)]
    rows += [ImageRow(f"b{n}", unread=(("age_years", f"{n}th"),)) for n in range(7)]

    report = run(rejects, ListSource("mine", [*rows, *images(1)]))

    assert "sex not understood in 5 of 13: “0” (3), “1” (2)\n" in report
    assert 'sex_words = { "0" = "…", "1" = "…" }, with F, M, O or ""' in report
    assert "age not understood in 7 of 13: “0th” (1), “1th” (1)" in report
    assert "“4th” (1) …\n" in report
    assert "age_unit" in report


@pytest.mark.django_db
def test_a_word_that_waits_for_a_curator_is_told_for_each_dataset(rejects: Path) -> None:
    run(rejects, ListSource("first", [ImageRow("a", labels=(LabelRow("Foo bar"),))]))

    report = run(rejects, ListSource("second", [ImageRow("a", labels=(LabelRow("foo-bar"),))]))

    assert "1 labels that no vocabulary knows" in report
    assert "Foo bar (1)" in report
