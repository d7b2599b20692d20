"""Asks the kept process of ``child`` for previews: the only door to a decoder."""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from catalog.imaging.decoding.ending import (
    CPU_SECONDS,
    NO_MEMORY,
    NOT_READ,
    WALL_SECONDS,
    Ending,
)
from catalog.imaging.preview import Preview
from catalog.imaging.problems import CannotRender

_ROOT = Path(__file__).parents[3]
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    " from catalog.imaging.decoding.child import serve; serve(int(sys.argv[2]))"
)
# The decoders have no use for anything else, and secrets are for nobody who breaks into one.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
_START_SECONDS = 3  # of the kept process
MAX_ANSWER = 16 << 20
_MAX_NAME = 255
_MAX_NOTES, _MAX_SENTENCE = 20, 500
# Another machine, or this one on another day, may need less processor time for the same file.
SLOW_SECONDS = 86_400
# The machine was busy, or something ended the process: the file may be without fault.
UNCLEAR_SECONDS = 300
# It had little of a processor; somebody may ask again soon.
BUSY_SECONDS = 20
# Sent by a system without memory, by whoever stops the service, and as a file is cut meanwhile.
_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGBUS)


class DecoderFailed(CannotRender):
    """The picture was not decoded to its end; that holds for ``keep_seconds``, or for ever."""

    def __init__(self, reason: str, keep_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.keep_seconds = keep_seconds


class Decoder:
    """A kept process; it starts at the first picture, and again if it has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self.last_ending: Ending | None = None

    def decode(
        self, file: BinaryIO, *, name: str, max_edge: int, held: Sequence[int] = ()
    ) -> Preview:
        """The preview of ``file``, which needs a descriptor; takes at most WALL_SECONDS or so.

        ``name`` is only used in messages. The descriptors ``held`` stay open until the decoding
        has ended, even if this process ends before.

        Raises:
            CannotRender: there is none.
            OSError: the kept process cannot be started.
        """
        file.seek(0)
        words = {"name": name[-_MAX_NAME:], "max_edge": max_edge}
        answer = self._ask(json.dumps(words).encode(), file.fileno(), held)
        said, ending = Ending.split(answer)
        self.last_ending = ending
        if ending is None or ending.code or ending.is_overdue:
            raise _explain(ending)
        return _parse(said)

    def close(self) -> None:
        """End the kept process, and the pictures that it decodes."""
        with self._lock:
            self._stop()

    def forget(self) -> None:
        """After a fork: the process is the parent's."""
        self._lock = threading.Lock()
        if self._control:
            self._control.close()
        self._process = self._control = None

    def _ask(self, request: bytes, picture: int, held: Sequence[int]) -> bytes:
        pipe, answer = os.pipe2(os.O_CLOEXEC)
        with os.fdopen(pipe, "rb"):
            try:
                self._send(request, [picture, answer, *held])
            finally:
                os.close(answer)
            whole = _read_all(pipe, time.monotonic() + WALL_SECONDS + _START_SECONDS)
        if not whole:  # the kept process has ended, or does not answer
            self.close()
        return whole

    def _send(self, request: bytes, descriptors: Sequence[int]) -> None:
        with self._lock:
            try:
                socket.send_fds(self._start(), [request], descriptors)
            except (BrokenPipeError, ConnectionResetError):  # it has ended meanwhile
                self._stop()
                socket.send_fds(self._start(), [request], descriptors)

    def _start(self) -> socket.socket:
        if self._control:
            return self._control
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _START, str(_ROOT), str(other.fileno())],
                pass_fds=[other.fileno()],
                env=_ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what libraries write may have values of the file
            )
        return self._control

    def _stop(self) -> None:
        if self._control:
            self._control.close()
        if self._process:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(2)
            self._process.kill()
            self._process.wait()
        self._process = self._control = None


def _read_all(pipe: int, deadline: float) -> bytes:
    """What comes before the end; nothing if it is too much or too late."""
    parts, length = list[bytes](), 0
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0 and length <= MAX_ANSWER:
        if not poll.poll(left * 1000):
            break
        if not (part := os.read(pipe, 1 << 16)):
            return b"".join(parts)
        parts.append(part)
        length += len(part)
    return b""


def _explain(ending: Ending | None) -> DecoderFailed:
    """What is the fault of the file holds for ever; of time and of the machine, it does not."""
    if ending is None or (ending.code in _FROM_OUTSIDE and not ending.is_overdue):
        return DecoderFailed("It could not be drawn just now; try again later.", UNCLEAR_SECONDS)
    if ending.is_overdue and ending.cpu_seconds < CPU_SECONDS / 2:
        return DecoderFailed("The server was too busy to draw it just now.", BUSY_SECONDS)
    if ending.is_overdue:
        return DecoderFailed("Drawing it took too long just now.", UNCLEAR_SECONDS)
    if ending.code == -signal.SIGXCPU:
        most = f"{CPU_SECONDS} seconds of processor time"
        return DecoderFailed(f"Drawing it would take more than {most}.", SLOW_SECONDS)
    if ending.code == NOT_READ:
        return DecoderFailed("It could not be read just now; try again later.", UNCLEAR_SECONDS)
    if ending.code == NO_MEMORY:
        return DecoderFailed("Drawing it would take more memory than a preview may.")
    return DecoderFailed("The file makes its decoder fail; it is probably damaged.")


def _parse(answer: bytes) -> Preview:
    """What a process says that may have been broken into is looked at before it is believed."""
    line, _, body = answer.partition(b"\n")
    try:
        said: Any = json.loads(line)
    except ValueError as error:
        raise _explain(None) from error
    if "refused" in said:
        raise CannotRender(str(said["refused"])[:_MAX_SENTENCE])
    if not (body.startswith(b"RIFF") and body[8:12] == b"WEBP"):
        raise _explain(None)
    return Preview(body, tuple(str(note)[:_MAX_SENTENCE] for note in said["notes"][:_MAX_NOTES]))


decoder = Decoder()
atexit.register(decoder.close)
os.register_at_fork(after_in_child=decoder.forget)
