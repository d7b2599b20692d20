"""Processes that are started, watched and stopped, with small programs in their place."""

import os
import pty
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medagg.runner import supervisor as supervisor_module
from medagg.runner.embedded.logs import LARGEST_BYTES, OLD_KEPT, LogFile, rotate_logs
from medagg.runner.stop_signals import ECHO_SECONDS, StopRequested, StopSignals
from medagg.runner.supervisor import Process, ProcessDiedError, Supervisor
from medagg.tests.processes import any_alive, find_descendants, linux_only, wait_until

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
SAY_READY = "print('ready', flush=True); "
SLEEP = "import time; time.sleep(60)"
WITH_CHILD = "import subprocess; subprocess.Popen(['sleep', '60'], start_new_session=False); "


@pytest.fixture
def make_process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts a Python program as a process with a log, and ends it after the test."""
    made: list[Process] = []

    def make(
        code: str, *, name: str = "demo", patience: float = 20.0, revives: bool = False
    ) -> Process:
        process = Process(
            name=name,
            command=[sys.executable, "-c", code],
            log=LogFile(tmp_path / f"{name}.log"),
            stop_signals=[(signal.SIGTERM, patience)],
            parent_death_signal=signal.SIGKILL,
            revives=revives,
        )
        process.start(tmp_path)
        made.append(process)
        return process

    yield make
    for process in made:
        process.stop(lambda: True)


def wait_for(process: Process, text: str) -> None:
    wait_until(lambda: text in process.log.path.read_text(), what=text)


def test_a_process_works_in_its_folder_and_writes_to_its_log(
    make_process: Callable[..., Process], tmp_path: Path
) -> None:
    process = make_process("import os; print(os.getcwd()); import time; time.sleep(60)")

    wait_for(process, str(tmp_path))
    assert process.is_alive
    process.check()


def test_a_process_that_ends_by_itself_is_named_with_the_end_of_its_log(
    make_process: Callable[..., Process],
) -> None:
    process = make_process("print('the reason'); raise SystemExit(3)")
    wait_until(lambda: not process.is_alive, what="its end")

    with pytest.raises(
        ProcessDiedError, match=r"demo has ended by itself \(exit code 3\)"
    ) as caught:
        process.check()

    assert "the reason" in str(caught.value)
    assert str(process.log.path) in str(caught.value)


def test_a_process_gets_its_time_to_end(make_process: Callable[..., Process]) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_): time.sleep(0.5); print('ended well', flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('ready', flush=True); time.sleep(60)"
    )
    process = make_process(code)
    wait_for(process, "ready")

    process.stop(lambda: False)

    assert "ended well" in process.log.path.read_text()
    assert not process.is_alive
    assert process.pid is None


def test_a_process_that_does_not_listen_is_killed(make_process: Callable[..., Process]) -> None:
    process = make_process(STUBBORN + SAY_READY + SLEEP, patience=0.3)
    wait_for(process, "ready")

    process.stop(lambda: False)

    assert not process.is_alive


def test_an_urgent_stop_does_not_wait(make_process: Callable[..., Process]) -> None:
    process = make_process(STUBBORN + SAY_READY + SLEEP, patience=60)
    wait_for(process, "ready")
    before = time.monotonic()

    process.stop(lambda: True)

    assert time.monotonic() - before < 10


@linux_only
def test_children_of_a_process_are_stopped_with_it(make_process: Callable[..., Process]) -> None:
    process = make_process(WITH_CHILD + SAY_READY + SLEEP)
    wait_for(process, "ready")
    assert process.pid is not None
    children = find_descendants(process.pid)
    assert children

    process.stop(lambda: False)

    wait_until(lambda: not any_alive(children), what="the end of the child")


@linux_only
def test_children_are_stopped_even_if_the_process_has_died_before(
    make_process: Callable[..., Process],
) -> None:
    process = make_process(WITH_CHILD + SAY_READY + SLEEP)
    wait_for(process, "ready")
    assert process.pid is not None
    children = find_descendants(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not process.is_alive, what="its death")

    process.stop(lambda: False)

    wait_until(lambda: not any_alive(children), what="the end of the child")


def test_stopping_what_was_never_started_does_nothing(tmp_path: Path) -> None:
    process = Process("demo", ["/bin/true"], LogFile(tmp_path / "log"), [], signal.SIGKILL)

    process.stop(lambda: False)

    assert not process.is_alive


def test_what_may_end_is_started_again_after_growing_pauses(
    make_process: Callable[..., Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE", 0.6)
    code = "open('starts', 'a').write('x'); raise SystemExit(3)"
    process = make_process(code, name="worker", revives=True)
    said: list[str] = []
    supervisor = Supervisor([process], folder=tmp_path, say=said.append)

    def has_ended_often() -> bool:
        supervisor.check()
        return len(said) == 3

    wait_until(has_ended_often, what="three ends")
    end = "worker has ended by itself (exit code 3), and is started again in"
    where = f"Its log: {process.log.path}"
    assert said == [f"{end} {seconds} s. {where}" for seconds in (1, 1, 2)]
    assert (tmp_path / "starts").read_text() == "xxx"


def test_errors_in_the_logs_are_shown_and_the_rest_is_not(
    make_process: Callable[..., Process], tmp_path: Path
) -> None:
    code = "print('INFO fine'); print('2026 ERROR bad thing', flush=True); " + SLEEP
    process = make_process(code, name="web")
    shown: list[str] = []
    supervisor = Supervisor([process], folder=tmp_path, say=shown.append)
    wait_for(process, "bad thing")

    supervisor.check()
    supervisor.check()

    assert shown == ["web | 2026 ERROR bad thing"]


def test_quiet_checks_swallow_what_was_logged_meanwhile(
    make_process: Callable[..., Process], tmp_path: Path
) -> None:
    process = make_process("print('ERROR not ready yet', flush=True); " + SLEEP)
    shown: list[str] = []
    supervisor = Supervisor([process], folder=tmp_path, say=shown.append)
    wait_for(process, "not ready")

    supervisor.check(quiet=True)
    supervisor.check()

    assert shown == []


def test_a_group_is_stopped_together_and_before_the_next(
    make_process: Callable[..., Process], tmp_path: Path
) -> None:
    code = (
        "import signal, sys, time; from pathlib import Path\n"
        "def end(*_):\n"
        "    Path(NAME).touch()\n"
        "    while not all(Path(name).exists() for name in TOGETHER): time.sleep(0.01)\n"
        "    open('order', 'a').write(NAME); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('ready', flush=True); time.sleep(60)"
    )
    groups = [
        [make_process(f"NAME, TOGETHER = {name!r}, {names!r}; {code}", name=name) for name in names]
        for names in ("ab", "c")
    ]
    for process in groups[0] + groups[1]:
        wait_for(process, "ready")

    Supervisor(*groups, folder=tmp_path, say=print).stop(lambda: False)

    assert (tmp_path / "order").read_text() in ("abc", "bac")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_interrupts_whatever_goes_on(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    with pytest.raises(StopRequested), StopSignals():
        signal.raise_signal(number)

    assert signal.getsignal(number) is before


def test_later_signals_are_noted_and_mean_hurry() -> None:
    with StopSignals() as signals:
        signals.interrupting = False
        signal.raise_signal(signal.SIGTERM)
        assert signals.ask_to_stop()
        signals.begin_stop()
        assert not signals.is_urgent()

        time.sleep(ECHO_SECONDS + 0.1)
        signal.raise_signal(signal.SIGTERM)
        assert signals.is_urgent()


def test_the_same_signal_through_make_as_well_does_not_mean_hurry() -> None:
    with StopSignals() as signals:
        signals.interrupting = False
        signal.raise_signal(signal.SIGTERM)
        signals.begin_stop()
        signal.raise_signal(signal.SIGTERM)

        assert not signals.is_urgent()


def test_a_terminal_that_is_gone_asks_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "rb", buffering=0) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        with StopSignals() as signals:
            assert not signals.ask_to_stop()
            os.close(ours)
            assert signals.ask_to_stop()


def test_standard_input_that_ends_does_not_ask_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        with StopSignals() as signals:
            os.close(writing)
            assert not signals.ask_to_stop()


def test_a_log_says_only_what_is_of_this_run(tmp_path: Path) -> None:
    path = tmp_path / "demo.log"
    path.write_text("of yesterday\n")
    log = LogFile(path)
    with log.open() as file:
        file.write(b"of today\nhalf a li")

    assert log.new_lines() == ["of today"]
    assert log.new_lines() == []
    assert "of yesterday" not in log.describe_end()
    assert "of today" in log.describe_end()
    assert path.read_text().startswith("of yesterday")


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "demo.log"
    path.write_bytes(b"x" * (LARGEST_BYTES + 1))

    LogFile(path).open().close()

    assert path.stat().st_size == 0
    assert (tmp_path / "demo.log.1").stat().st_size > LARGEST_BYTES


def test_a_log_that_was_never_written_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "There is no log" in LogFile(tmp_path / "demo.log").describe_end()


def test_a_log_that_grows_while_it_is_written_keeps_its_last_parts(tmp_path: Path) -> None:
    path = tmp_path / "demo.log"
    log = LogFile(path)
    with log.open() as file:
        for part in range(OLD_KEPT + 2):
            file.write(b"%d" % part * (LARGEST_BYTES + 1) + b"\n")
            log.new_lines()
            rotate_logs(tmp_path)
        file.write(b"the end\n")

    assert path.read_text() == "the end\n"
    assert log.new_lines() == ["the end"]
    firsts = {old.name: old.read_bytes()[:1] for old in tmp_path.glob("demo.log.*")}
    assert firsts == {"demo.log.1": b"4", "demo.log.2": b"3", "demo.log.3": b"2"}
    assert all(old.stat().st_mode & 0o077 == 0 for old in tmp_path.glob("demo.log.*"))


def test_a_log_that_a_full_disk_keeps_from_rotating_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "demo.log"
    with LogFile(path).open() as file:
        file.write(b"x" * (LARGEST_BYTES + 1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_BYTES // 2, before[1]))
    try:
        rotate_logs(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.stat().st_size == 0
