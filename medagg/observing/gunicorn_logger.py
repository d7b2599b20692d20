"""gunicorn's own lines in the form of medagg's."""

import logging
import sys
from typing import Any

from django.conf import settings
from gunicorn.glogging import Logger

from medagg.observing.logs import make_formatter


class GunicornLogger(Logger):
    """For gunicorn's option --logger-class."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        # It warns of each HEAD request whose answer had a body, which any stranger can send.
        logging.getLogger("gunicorn.http.wsgi").setLevel(logging.ERROR)
        for handler in self.error_log.handlers:
            handler.setFormatter(make_formatter(settings.LOG_FORMAT))

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        if msg.startswith("Invalid request from "):
            # It repeats the request, with what was searched for and by whom.
            error = sys.exc_info()[0]
            msg = f"Invalid request: {error.__name__ if error else 'unknown'}"
        super().warning(msg, *args, **kwargs)
