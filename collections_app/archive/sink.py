"""The output file: small writes are buffered, large files are copied by the kernel.

An OSError from this module means that the archive cannot be written (disk full, quota, size
limit). Errors of a source file are never raised here.
"""

import errno
import os

# Measured on ext4, Linux 6: with larger writes the page cache allocates larger blocks of memory,
# which takes twice as long.
BUFFER = 256 << 10
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Sink:
    """Writes a file from its beginning. Nothing else may use the descriptor meanwhile.

    `flushed` bytes are written. The first `used` bytes of `view` follow them at the next flush.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._prepare(flushed=os.lseek(fd, 0, os.SEEK_SET))

    def _prepare(self, *, flushed: int) -> None:
        self.view = memoryview(bytearray(BUFFER))
        self.used = 0
        self.flushed = flushed

    @property
    def position(self) -> int:
        """The offset of the next byte in the file."""
        return self.flushed + self.used

    def write(self, data: bytes) -> None:
        """Append `data`."""
        if self.used + len(data) > BUFFER:
            self.flush()
        if len(data) > BUFFER:
            self._write_out(memoryview(data))
            return
        self.view[self.used : self.used + len(data)] = data
        self.used += len(data)

    def room(self, size: int) -> memoryview:
        """Free space in the buffer for the caller to fill, of `size` bytes or fewer."""
        end = self.used + size
        if end > BUFFER:
            self.flush()
            end = min(size, BUFFER)
        return self.view[self.used : end]

    def advance(self, size: int) -> None:
        """Append the first `size` bytes of the space that `room` returned."""
        self.used += size

    def hold(self, size: int) -> None:
        """The next `size` bytes may be patched until `release`; those of a file always can be."""

    def release(self) -> None:
        """They will not be patched any more."""

    def patch(self, offset: int, data: bytes) -> None:
        """Overwrite bytes that were appended before and are held."""
        if offset >= self.flushed:
            start = offset - self.flushed
            self.view[start : start + len(data)] = data
            return
        self.flush()
        # A few bytes inside the file need no new space: the kernel writes all of them or fails.
        os.pwrite(self._fd, data, offset)

    def skip(self, size: int) -> None:
        """Leave a hole of `size` bytes, which reads as zeros."""
        if not size:
            return
        self.flush()
        os.lseek(self._fd, size, os.SEEK_CUR)
        self.flushed += size

    def copy_from(self, source_fd: int, offset: int, size: int) -> int:
        """Let the kernel append up to `size` bytes of the source, from `offset`.

        Returns how many it copied; 0 if it cannot, or if the source ends. Read the source then to
        find out which.
        """
        self.flush()
        copied = copy_in_kernel(source_fd, self._fd, offset, size)
        self.flushed += copied
        return copied

    def finish(self) -> None:
        """Write the rest; the file must have the size of what was written."""
        self.flush()
        if os.fstat(self._fd).st_size != self.position:
            raise OSError("the archive's size differs from what was written: is the file shared?")

    def flush(self) -> None:
        """Write the buffer to the file."""
        used, self.used = self.used, 0
        self._write_out(self.view[:used])

    def _write_out(self, view: memoryview) -> None:
        while view:
            written = os.write(self._fd, view)
            self.flushed += written
            view = view[written:]


def copy_in_kernel(source_fd: int, target_fd: int, offset: int, size: int) -> int:
    """Copy up to `size` bytes from one file to another inside the kernel.

    Reads from `offset` of the source, whose file position is neither used nor moved, and writes at
    the target's file position. Returns the number of bytes copied. Returns 0 if neither system call
    works here: another file system (EXDEV), no such call (ENOSYS, macOS), a special file (EINVAL),
    or a read error, which these calls do not distinguish from a write error. Raises OSError if the
    target's disk is full.
    """
    for call in (_copy_file_range, _sendfile):
        try:
            copied = call(source_fd, target_fd, offset, size)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            continue
        if copied:
            return copied
    return 0


def _copy_file_range(source_fd: int, target_fd: int, offset: int, size: int) -> int:
    if not hasattr(os, "copy_file_range"):
        return 0
    return os.copy_file_range(source_fd, target_fd, size, offset)


def _sendfile(source_fd: int, target_fd: int, offset: int, size: int) -> int:
    if not hasattr(os, "sendfile"):
        return 0
    return os.sendfile(target_fd, source_fd, offset, size)
