#!/usr/bin/env python3
"""Runs medagg's commands, with the embedded servers where none are configured."""

import atexit
import os
import sys

try:
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import ManagementUtility
    from django.core.management.base import BaseCommand

    from medagg.runner.embedded import (
        EmbeddedError,
        EmbeddedServers,
        keep_secret,
        make_secret,
        read_secret,
    )
except ImportError as error:
    raise SystemExit(
        f"medagg: {error}. Start it with `make run`, or use .venv/bin/python manage.py"
    ) from error

# Everything else gets the servers; `up` looks after them by itself.
WITHOUT_SERVERS = {
    "check",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "draw_schema",
    "findstatic",
    "help",
    "makemessages",
    "sendtestemail",
    "startapp",
    "startproject",
    "up",
    "version",
}


class Utility(ManagementUtility):
    def fetch_command(self, subcommand: str) -> BaseCommand:
        """Django calls this once the settings are known and the command is about to run."""
        command = super().fetch_command(subcommand)
        ensure_keys()
        if needs_servers(self.argv[1:]):
            servers = EmbeddedServers.not_configured_in(os.environ, settings.VAR_DIR)
            servers.start()
            atexit.register(servers.stop)
        return command


def ensure_keys() -> None:
    """Makes the keys that stay in var/, unless they are named or were made before.

    Earlier versions made pseudonyms with the secret key. Where one stays in var/ already, it is the
    key of pseudonyms too, so that patients keep theirs.
    """
    try:
        secret = settings.SECRET_KEY
    except ImproperlyConfigured:  # it is empty
        secret = ""  # none  # nosec
    is_ours = not secret or secret == read_secret(settings.SECRET_KEY_FILE)
    if is_ours and not settings.HAS_PSEUDONYM_KEY:
        key = secret or make_secret()
        settings.PSEUDONYM_KEY = keep_secret(settings.PSEUDONYM_KEY_FILE, key)
    if not secret:
        settings.SECRET_KEY = keep_secret(settings.SECRET_KEY_FILE, make_secret())


def needs_servers(arguments: list[str]) -> bool:
    """Whether the command line `arguments`, the command's name first, may use a server."""
    asks_for_help = not {"-h", "--help"}.isdisjoint(arguments)
    names_database = any(argument.startswith("--database") for argument in arguments)
    return not asks_for_help and (arguments[0] not in WITHOUT_SERVERS or names_database)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medagg.settings")
    try:
        Utility(sys.argv).execute()
    except (EmbeddedError, ImproperlyConfigured) as error:
        raise SystemExit(f"medagg: {error}") from error


if __name__ == "__main__":
    main()
