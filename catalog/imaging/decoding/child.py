"""The kept process, which forks a limited process for each picture; ``decoder`` starts it.

Importing the decoders takes half a second, a fork some milliseconds. The kept process has nothing
of the one that started it but one socket: no environment, no descriptors, no memory. It never looks
at the picture of a file itself, and is the parent of those that do: so it can end one that takes
too long, and tells how each of them ended.

A request on the socket is JSON, with the descriptors of the picture, of the pipe for the answer and
of others that stay open for as long as the picture is decoded. The answer is what the limited
process writes, and behind it an ``Ending``, which the kept process writes.
"""

import errno
import json
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.imaging.budget import MEMORY_BYTES
from catalog.imaging.decoding.confinement import confine
from catalog.imaging.decoding.ending import (
    CPU_SECONDS,
    FAILED,
    NO_MEMORY,
    NOT_READ,
    WALL_SECONDS,
    Ending,
)
from catalog.imaging.decoding.warming import warm_up
from catalog.imaging.problems import CannotRender
from catalog.imaging.rendering import render_preview

MAX_REQUEST = 16 << 10
MAX_DESCRIPTORS = 4
# Decoding needs no further file; a few descriptors are copied.
_MAX_FILES = 16


@dataclass(slots=True)
class _Running:
    answer: int  # the pipe
    deadline: float
    is_overdue: bool = False


class _Server:
    """The loop of the kept process, which has one thread."""

    def __init__(self, control: socket.socket, address_space: int) -> None:
        self.control = control
        self.address_space = address_space
        self.running: dict[int, _Running] = {}
        self.woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Serve until the other end of the socket is closed."""
        control = self.control.fileno()
        while True:
            ends = [running.deadline for running in self.running.values()]
            timeout = max(0.0, min(ends) - time.monotonic()) if ends else None
            ready, _, _ = select.select([control, self.woken], [], [], timeout)
            if self.woken in ready:
                os.read(self.woken, 4096)
            self._end_overdue()
            self._reap()
            if control in ready and not self._accept():
                break
        for pid in self.running:
            os.kill(pid, signal.SIGKILL)

    def _accept(self) -> bool:
        request, descriptors, _, _ = socket.recv_fds(self.control, MAX_REQUEST, MAX_DESCRIPTORS)
        if not request:
            return False
        if (pid := os.fork()) == 0:
            _work(request, descriptors, self.address_space)
        picture, answer, *others = descriptors
        for descriptor in (picture, *others):
            os.close(descriptor)
        self.running[pid] = _Running(answer, time.monotonic() + WALL_SECONDS)
        return True

    def _end_overdue(self) -> None:
        for pid, running in self.running.items():
            if running.deadline <= time.monotonic() and not running.is_overdue:
                running.is_overdue = True
                running.deadline += WALL_SECONDS
                os.kill(pid, signal.SIGKILL)  # not reaped yet, so the number is still its own

    def _reap(self) -> None:
        for pid in list(self.running):
            done, status, usage = os.wait4(pid, os.WNOHANG)
            if not done:
                continue
            ended = self.running.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            cpu_seconds = usage.ru_utime + usage.ru_stime
            ending = Ending(code, usage.ru_maxrss, cpu_seconds, ended.is_overdue)
            with suppress(OSError):  # nobody waits for it any more
                os.write(ended.answer, ending.pack())
            os.close(ended.answer)


def _find_address_space() -> int:
    """The RLIMIT_AS with which a process takes at most MEMORY_BYTES.

    The libraries that are mapped take addresses without taking memory, so they do not count.
    """
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
    size, resident = (int(number) * resource.getpagesize() for number in pages[:2])
    return size - resident + MEMORY_BYTES


def _work(request: bytes, descriptors: Sequence[int], address_space: int) -> None:
    """What the limited process does; it never returns."""
    code = FAILED
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _keep_only(descriptors)
        _limit(address_space)
        with open(0, "rb", closefd=False) as file:
            answer = _answer(file, **json.loads(request))
        with open(1, "wb", closefd=False) as out:
            out.write(answer)
        code = 0
    except MemoryError:
        code = NO_MEMORY
    except OSError:
        code = NOT_READ
    finally:
        os._exit(code)


def _keep_only(descriptors: Sequence[int]) -> None:
    """The picture becomes 0, the answer 1; of all others only those of the request are left."""
    picture, answer, *others = descriptors
    os.dup2(picture, 0)
    os.dup2(answer, 1)
    for place, descriptor in enumerate(sorted(others), 3):
        os.dup2(descriptor, place)
    os.closerange(3 + len(others), max(4096, *descriptors))


def _limit(address_space: int) -> None:
    for what, most in (
        (resource.RLIMIT_AS, address_space),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
    ):
        resource.setrlimit(what, (most, most))


def _answer(file: Any, *, name: str, max_edge: int) -> bytes:
    """A line of JSON with the notes and the picture behind it, or with the reason of a refusal."""
    try:
        preview = render_preview(file, name=name, max_edge=max_edge)
    except CannotRender as error:
        for cause in _list_causes(error):
            if isinstance(cause, MemoryError) or _is_of_the_system(cause):
                raise cause from None
        return json.dumps({"refused": error.reason}).encode() + b"\n"
    return json.dumps({"notes": preview.notes}).encode() + b"\n" + preview.body


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_of_the_system(error: BaseException) -> bool:
    """Whether reading failed, of a disk for example, rather than what was read is wrong.

    Libraries raise OSErrors without a number of their own; offsets that a file states wrongly give
    EINVAL.
    """
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def serve(descriptor: int) -> None:
    """Prepare all decoders, then serve requests on the socket ``descriptor``."""
    warm_up()
    address_space = _find_address_space()
    confine()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    _Server(socket.socket(fileno=descriptor), address_space).run()
