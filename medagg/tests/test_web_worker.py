"""The threads of a web process: those for pages, and those that are away with a file."""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gunicorn.http.wsgi import FileWrapper  # type: ignore[import-untyped]

from medagg import web_worker
from medagg.tests.processes import wait_until
from medagg.web_worker import LARGE_BYTES, LargeFiles, PagePool

SECONDS = 10


@pytest.fixture
def pool() -> Iterator[PagePool]:
    made = PagePool(2, max_away=2)
    yield made
    made.shutdown()


def test_results_and_errors_reach_whoever_asked(pool: PagePool) -> None:
    assert pool.submit(divmod, 7, 2).result(SECONDS) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 7, 0).result(SECONDS)
    with pytest.raises(SystemExit):
        pool.submit(exit_thread).result(SECONDS)
    assert pool.submit(divmod, 9, 2).result(SECONDS) == (4, 1)


def exit_thread() -> None:
    raise SystemExit(1)


def test_a_job_that_was_called_off_is_not_begun(pool: PagePool) -> None:
    end = threading.Event()
    running = [pool.submit(end.wait, SECONDS) for _ in range(2)]
    waiting = pool.submit(end.clear)
    assert waiting.cancel()
    end.set()
    assert all(job.result(SECONDS) for job in running)
    assert end.is_set()


def test_another_thread_takes_the_place_of_one_that_leaves(pool: PagePool) -> None:
    end, names = threading.Event(), []

    def go_away() -> bool:
        has_left = pool.leave()
        names.append(threading.current_thread())
        end.wait(SECONDS)
        return has_left

    away = [pool.submit(go_away) for _ in range(2)]
    wait_until(lambda: len(names) == 2, what="both have left")
    assert pool.num_away == 2
    # Both places are taken again, and by others.
    both = threading.Barrier(2)

    def meet() -> threading.Thread:
        both.wait(SECONDS)
        return threading.current_thread()

    there = {job.result(SECONDS) for job in [pool.submit(meet), pool.submit(meet)]}
    assert len(there) == 2
    assert not there & set(names)
    # A third one finds no more room outside.
    third = pool.submit(pool.leave)
    assert third.result(SECONDS) is False
    end.set()
    assert all(job.result(SECONDS) for job in away)
    for thread in names:
        thread.join(SECONDS)
        assert not thread.is_alive()
    assert pool.num_away == 0


def test_all_threads_end_with_the_pool() -> None:
    pool = PagePool(3, max_away=1)
    threads = [each for each in threading.enumerate() if each.name == "page"]
    left = threading.Event()

    def go_away() -> None:
        pool.leave()
        left.wait(SECONDS)

    running = pool.submit(go_away)
    wait_until(lambda: pool.num_away == 1, what="one has left")
    pool.shutdown()
    assert not running.done()
    left.set()
    running.result(SECONDS)
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def client_and_server() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        yield client, server


class Away:
    """Counts how often a thread has been told to leave."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> bool:
        self.count += 1
        return True


def answer(
    body: object, length: int, server: socket.socket, *, method: str = "GET"
) -> tuple[Iterable[bytes], int]:
    """What LargeFiles gives for an application that answers so, and how many threads left."""

    def application(environ: dict[str, Any], start: Callable[..., object]) -> Any:
        start("200 OK", [("content-length", str(length)), ("X-Other", "1")])
        return body

    away, started = Away(), []
    environ = {
        "wsgi.file_wrapper": FileWrapper,
        "gunicorn.socket": server,
        "REQUEST_METHOD": method,
    }
    given = LargeFiles(application, away)(environ, lambda *head: started.append(head))
    assert [head[0] for head in started] == ["200 OK"]
    return given, away.count


def test_only_large_files_send_their_thread_away(
    tmp_path: Path, client_and_server: tuple[socket.socket, socket.socket]
) -> None:
    _, server = client_and_server
    (tmp_path / "file").write_bytes(b"x")
    with (tmp_path / "file").open("rb") as file:
        wrapped = FileWrapper(file)
        assert answer(wrapped, LARGE_BYTES, server) == (wrapped, 1)
        assert answer(wrapped, LARGE_BYTES - 1, server) == (wrapped, 0)
        assert answer(wrapped, LARGE_BYTES, server, method="HEAD") == (wrapped, 0)
    page = [b"a long page"]
    assert answer(page, LARGE_BYTES, server) == (page, 0)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this kernel cannot")
def test_a_client_that_takes_nothing_any_more_is_given_up(
    tmp_path: Path,
    client_and_server: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, server = client_and_server
    monkeypatch.setattr(web_worker, "STALL_SECONDS", 1.0)
    (tmp_path / "file").write_bytes(b"x" * 20_000_000)
    with (tmp_path / "file").open("rb") as file:
        answer(FileWrapper(file), 20_000_000, server)
        start = time.monotonic()
        # gunicorn takes both for a client that has hung up.
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            server.sendfile(file)
        assert time.monotonic() - start < 3 * SECONDS
    assert client.recv(1)
