"""An output that cannot go back: the archive in parts of one size, for an upload.

A header is written before the checksum that it holds is known. A file on the disk is patched then.
Here the part with such a header is kept until it is whole, and the parts behind it go ahead, which
uploads in parts allow. So nothing is read twice, and few parts are in memory.
"""

from collections.abc import Callable

from collections_app.archive.sink import BUFFER, Sink

_ZEROS = memoryview(bytes(BUFFER))


class PartSink(Sink):
    """Hands parts to `send(number, part)`: numbers begin with 1, all but the last have `part_size`.

    At most one is being filled, and at most two wait for their header. What `send` raises ends the
    writing.
    """

    def __init__(self, part_size: int, send: Callable[[int, bytearray], None]) -> None:
        self._size = part_size
        self._send = send
        self._part = bytearray()
        self._number = 1
        self._kept: dict[int, bytearray] = {}
        self._open = range(0)
        self._prepare(flushed=0)

    def hold(self, size: int) -> None:
        """Keep what the next `size` bytes are written into, until `release`."""
        self._open = range(self.position, self.position + size)

    def release(self) -> None:
        """Hand on what was kept."""
        self._open = range(0)
        for number in sorted(self._kept):
            self._send(number, self._kept.pop(number))

    def patch(self, offset: int, data: bytes) -> None:
        """Overwrite bytes that are held."""
        self.flush()
        for at, byte in enumerate(data, offset):
            number = at // self._size + 1
            part = self._part if number == self._number else self._kept[number]
            part[at % self._size] = byte

    def skip(self, size: int) -> None:
        """Append zeros: an upload has no holes."""
        self.flush()
        while size:
            zeros = _ZEROS[:size]
            self._write_out(zeros)
            size -= len(zeros)

    def copy_from(self, source_fd: int, offset: int, size: int) -> int:
        """The kernel cannot copy into an upload."""
        return 0

    def finish(self) -> None:
        """Hand on the last part."""
        self.flush()
        if self._part:
            self._end_part()

    def _write_out(self, view: memoryview) -> None:
        while view:
            piece = view[: self._size - len(self._part)]
            self._part += piece
            self.flushed += len(piece)
            view = view[len(piece) :]
            if len(self._part) == self._size:
                self._end_part()

    def _end_part(self) -> None:
        number, part = self._number, self._part
        self._number, self._part = number + 1, bytearray()
        start = (number - 1) * self._size
        if start < self._open.stop and self._open.start < start + self._size:
            self._kept[number] = part
        else:
            self._send(number, part)
