"""gunicorn's own lines in the form of medagg's."""

from typing import Any

from django.conf import settings
from gunicorn.glogging import Logger

from medagg.observing.logs import make_formatter


class GunicornLogger(Logger):
    """For gunicorn's option --logger-class."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(make_formatter(settings.LOG_FORMAT))
