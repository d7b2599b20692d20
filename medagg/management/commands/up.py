"""`manage.py up`: the whole of medagg in one terminal."""

import sys
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from medagg.runner.embedded import EmbeddedError
from medagg.runner.serving import ServeError, ServeOptions, serve
from medagg.runner.stop_signals import StopRequested
from medagg.runner.supervisor import ProcessDiedError


class Command(BaseCommand):
    help = "Start everything: PostgreSQL, Redis, the web server, the worker and its scheduler."
    # The checks use the database, which may not run yet.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=_port, default=8000, help="0 takes any free one")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument(
            "--workers", type=_count, default=2, help="processes each for pages and for builds"
        )
        parser.add_argument("--no-demo", action="store_true", help="load no demo data")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exits with 0 after a requested stop, else with 1 and a reason."""
        try:
            serve(_serve_options(options), say=self._say)
        except StopRequested:
            self._say("Stopped. What you have done is kept.")
        except (ServeError, EmbeddedError, ProcessDiedError, CommandError) as error:
            _fail(str(error))
        except DatabaseError as error:
            _fail("the database refuses: " + " ".join(str(error).split()))
        except OSError as error:
            _fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))

    def _say(self, line: str) -> None:
        try:
            self.stdout.write(line)
            self.stdout.flush()
        except OSError:
            # The terminal or the pipe is closed, which must not prevent a clean stop.
            return


def _serve_options(options: dict[str, Any]) -> ServeOptions:
    return ServeOptions(
        host=options["host"],
        port=options["port"],
        workers=options["workers"],
        demo=not options["no_demo"],
    )


def _fail(reason: str) -> None:
    print(f"medagg: {reason}", file=sys.stderr)
    raise SystemExit(1)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise ArgumentTypeError(f"{text!r} is not a port: use a number from 1 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to 64")
    return int(text)
