"""Why nothing was imported: the errors that have a message for the user, and the message."""

from django.core.exceptions import ValidationError
from django.db import DatabaseError

from catalog.imaging.paths import UnsafePath
from catalog.importers.dataset_entries import BadEntry
from catalog.importers.pipeline import ImportStopped
from catalog.importers.rows import SourceError

# Any other exception is a bug and shows its traceback.
REFUSALS: tuple[type[Exception], ...] = (
    ImportStopped,
    SourceError,
    BadEntry,
    ValidationError,
    UnsafePath,
    OSError,
    DatabaseError,
)


def format_refusal(error: Exception) -> str:
    """The message of an exception, for the user."""
    if isinstance(error, ValidationError):
        if hasattr(error, "error_dict"):
            return " ".join(f"{k}: {' '.join(v)}" for k, v in error.message_dict.items())
        return " ".join(error.messages)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror or error}"
    if isinstance(error, SourceError | BadEntry):  # it may have several sentences, a line each
        return "\n".join(" ".join(line.split()) for line in str(error).splitlines())
    return " ".join(str(error).split())
