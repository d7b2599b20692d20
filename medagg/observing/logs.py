"""How log lines look: which request or task they belong to, as text or JSON, and how loud they are.

The settings' LOGGING names what is in here, so nothing here may need the settings or the apps.
"""

import logging
import re
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

# What this thread works on now; empty if on neither.
request_id: ContextVar[str] = ContextVar("request_id", default="")
task_id: ContextVar[str] = ContextVar("task_id", default="")

# The links in mails with which somebody else could sign in, or confirm an address.
_LINK = re.compile(r"(/accounts/(?:reset|confirm)/)[^\s\"']+")
LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LineFormatter(logging.Formatter):
    """A line for people, with the ids at its end; tracebacks follow it."""

    def __init__(self) -> None:
        super().__init__(LINE)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        ids = "".join(f" [{name} {value}]" for name, value in _ids(record).items())
        return _without_links(super().formatMessage(record)) + ids


class JsonLineFormatter(JsonFormatter):
    """An object in one line: time, level, logger, message, ids, and what the caller adds."""

    def __init__(self) -> None:
        super().__init__(
            "{levelname}{name}{message}",
            style="{",
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "traceback"},
            timestamp="time",
            # Django adds the whole request, of which the line has the id; Celery the arguments of
            # the task, such as the address of a mail.
            reserved_attrs=[*RESERVED_ATTRS, "request", "data", "request_id", "task_id"],
        )

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        super().add_fields(log_data, record, message_dict)
        log_data["message"] = _without_links(log_data["message"])
        log_data.update({f"{name}_id": value for name, value in _ids(record).items()})


def _without_links(text: str) -> str:
    return _LINK.sub(r"\1…", text)


def _ids(record: logging.LogRecord) -> dict[str, str]:
    """The record's ids, else those of the thread: Django logs some when the request is over."""
    ids = {
        "request": request_id.get() or getattr(getattr(record, "request", None), "request_id", ""),
        "task": task_id.get(),
    }
    return {name: value for name, value in ids.items() if value}


class OutsideNoiseFilter(logging.Filter):
    """Makes a request that was refused one line without a traceback, at the level INFO.

    Strangers send wrong hosts, missing paths and broken forms all day long. That is no fault of
    ours, and would hide those that are. Django logs what it finds suspicious twice. A client that
    is told to come again later (503) is a warning: too many ask, or a part of medagg is away.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        status = getattr(record, "status_code", 0)
        if not record.name.startswith("django."):
            return True
        if status == HTTPStatus.SERVICE_UNAVAILABLE and not record.exc_info:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            return logging.getLogger().isEnabledFor(logging.WARNING)
        if not 400 <= status < 500:
            return True
        request: Any = getattr(record, "request", None)
        if record.name.startswith("django.security."):
            if request is not None:
                request.is_refusal_logged = True
        elif getattr(request, "is_refusal_logged", False):
            return False
        record.msg, record.args = " ".join(record.getMessage().splitlines()), None
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.INFO, "INFO"
        return logging.getLogger().isEnabledFor(logging.INFO)


def make_formatter(name: str) -> logging.Formatter:
    """The formatter that LOG_FORMAT names."""
    return JsonLineFormatter() if name == "json" else LineFormatter()
