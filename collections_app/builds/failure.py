"""Why an archive cannot be written, for its owner."""

import logging

from collections_app.archive.sink import DISK_FULL
from collections_app.models import Reason

logger = logging.getLogger(__name__)


class BuildFailed(Exception):
    """The archive cannot be written; the message is shown on the collection's page."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


def explain_os_error(error: OSError) -> BuildFailed:
    """The failure of a build whose archive or files could not be written."""
    if error.errno in DISK_FULL:
        return BuildFailed(
            Reason.DISK_FULL,
            "The server's disk is full. Nothing is lost: try again later, or ask the operator for "
            "more space.",
        )
    logger.error("an archive could not be written", exc_info=error)
    message = f"The archive could not be written: {error.strerror or error}."
    return BuildFailed(Reason.WRITE_ERROR, message)
