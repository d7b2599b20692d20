"""How far a long step is: tqdm's bar on a terminal, a plain line every few seconds elsewhere."""

from typing import Any

from tqdm import tqdm

TERMINAL_SECONDS = 0.2
LINE_SECONDS = 5.0


class Progress(tqdm):
    """Counts to ``total``, None where nobody knows it; sizes are counted in the unit "B".

    ``out`` is a command's stderr, so that what a command reports stays alone on stdout. ``clear``
    takes the bar away before something else is written, ``close`` for good.
    """

    monitor_interval = 0  # no thread beside those of the import

    def __init__(self, out: Any, *, total: int | None, unit: str, desc: str = "") -> None:
        self.is_terminal = bool(out.isatty())
        self._started_at = 0
        seconds = TERMINAL_SECONDS if self.is_terminal else LINE_SECONDS
        super().__init__(
            desc=desc,
            total=total,
            unit=unit,
            unit_scale=unit == "B",
            file=_Stream(out),
            leave=False,
            dynamic_ncols=self.is_terminal,
            ncols=None if self.is_terminal else 0,  # 0: without a bar
            mininterval=seconds,
            miniters=1,
            delay=seconds,
        )

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return float(self.format_dict["elapsed"])

    def start(self, desc: str) -> None:
        """What is shown from now on comes on top of what has been."""
        self._started_at = self.n
        self.set_postfix_str("", refresh=False)
        self.set_description_str(desc, refresh=False)

    def show(self, done: int) -> None:
        """So much is done since the start; drawn at most every few moments."""
        self.update(self._started_at + done - self.n)

    def note(self, text: str) -> None:
        """Say on a terminal what is done now, when there is no more to count."""
        self.set_postfix_str(text, refresh=self.is_terminal)


class _Stream:
    """A command's stderr for tqdm: unstyled, and in whole lines elsewhere than on a terminal."""

    def __init__(self, out: Any) -> None:
        self._out = out
        self.encoding = getattr(out, "encoding", None)

    def isatty(self) -> bool:
        return bool(self._out.isatty())

    def write(self, text: str) -> None:
        if self.isatty():
            self._out.write(text, style_func=str, ending="")
        elif line := text.strip():
            self._out.write(line, style_func=str)

    def flush(self) -> None:
        self._out.flush()
