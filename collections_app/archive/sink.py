"""The output file: small writes gathered, large bodies copied by the kernel.

An OSError from here means that the archive cannot be written (disk full, quota, size limit) and
passes through as it is; trouble with a source is never reported by this module.
"""

import errno
import os

# Measured on ext4, Linux 6: larger writes make the page cache look for larger pieces of memory,
# which takes twice as long.
BUFFER = 256 << 10
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Sink:
    """Fills a file from its beginning. Nothing else may use the descriptor meanwhile.

    The first `used` bytes of `view` are still to be written, behind the `flushed` ones.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.view = memoryview(bytearray(BUFFER))
        self.used = 0
        self.flushed = os.lseek(fd, 0, os.SEEK_SET)

    @property
    def position(self) -> int:
        """Where in the file the next byte will stand."""
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
        """A part of the buffer, of `size` bytes if it holds so many, to be filled by the caller."""
        end = self.used + size
        if end > BUFFER:
            self.flush()
            end = min(size, BUFFER)
        return self.view[self.used : end]

    def advance(self, size: int) -> None:
        """Append the first `size` bytes of what `room` gave."""
        self.used += size

    def patch(self, offset: int, data: bytes) -> None:
        """Overwrite bytes that were appended before."""
        if offset >= self.flushed:
            start = offset - self.flushed
            self.view[start : start + len(data)] = data
            return
        self.flush()
        # A few bytes inside the file need no new space: the kernel takes all of them or fails.
        os.pwrite(self._fd, data, offset)

    def skip(self, size: int) -> None:
        """Leave a hole of `size` bytes, which reads as zeros."""
        if not size:
            return
        self.flush()
        os.lseek(self._fd, size, os.SEEK_CUR)
        self.flushed += size

    def copy_from(self, source_fd: int, offset: int, size: int) -> int:
        """Let the kernel append up to `size` bytes of the source from `offset` on.

        Returns how many it copied; 0 if it cannot, or the source ends: then read it to learn why.
        """
        self.flush()
        copied = copy_in_kernel(source_fd, self._fd, offset, size)
        self.flushed += copied
        return copied

    def flush(self) -> None:
        """Hand the buffer to the operating system."""
        used, self.used = self.used, 0
        self._write_out(self.view[:used])

    def _write_out(self, view: memoryview) -> None:
        while view:
            written = os.write(self._fd, view)
            self.flushed += written
            view = view[written:]


def copy_in_kernel(source_fd: int, target_fd: int, offset: int, size: int) -> int:
    """Copy up to `size` bytes between two files without passing through this process.

    From `offset` of the source, whose own position is neither used nor moved, to the target's
    position. Returns the number of bytes copied, 0 if neither system call can do it here: other
    file systems (EXDEV), no such call (ENOSYS, macOS), special files (EINVAL), or a read error,
    which these calls do not tell from a write error. Raises OSError if the target's disk is full.
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
