"""A folder that is not what it was a moment ago."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def swapped_all_the_time(root: Path) -> Iterator[None]:
    """``images`` and the link ``spare``, both below ``root``, change places during the block."""
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (root / "images").rename(root / "aside")
            (root / "spare").rename(root / "images")
            (root / "images").rename(root / "spare")
            (root / "aside").rename(root / "images")
            # The folder is there for a while, too: also a slow machine gets to read it.
            time.sleep(0.0002)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        yield
    finally:
        stop.set()
        swapper.join()
