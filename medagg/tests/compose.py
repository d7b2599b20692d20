"""Reads docker-compose.yml as `docker compose` would, as far as the tests need it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"

# ${NAME}, ${NAME:-default} with one more variable in the default, ${NAME:?message}; `$$` is `$`.
VARIABLE = re.compile(
    r"\$\$|\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>(?:[^{}]|\$\{[^{}]*\})*))?\}"
)

# The least that `.env` must say. The password is one that a URL would not bear.
NEEDED = {
    "SECRET_KEY": "not-a-secret-" * 5,
    "POSTGRES_PASSWORD": "a$b/c@d:e",
    "ALLOWED_HOSTS": "medagg.example.org",
}


class MissingVariableError(Exception):
    """A variable that docker compose would refuse to start without."""


def read_services() -> dict[str, dict[str, Any]]:
    """The services with anchors and merge keys resolved, variables left as they stand."""
    services: dict[str, dict[str, Any]] = read_file()["services"]
    return services


def read_file() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return content


def variables_in(text: str) -> set[str]:
    """The names of all variables that `docker compose` fills in."""
    found = set()
    for match in VARIABLE.finditer(text):
        if match["name"]:
            found |= {match["name"], *variables_in(match["rest"] or "")}
    return found


def fill_in(text: str, values: Mapping[str, str]) -> str:
    """`text` as docker compose passes it on. Raises MissingVariableError."""

    def value_of(match: re.Match[str]) -> str:
        if not match["name"]:
            return "$"
        if values.get(match["name"]):
            return values[match["name"]]
        if match["kind"] == "?":
            raise MissingVariableError(match["name"])
        return fill_in(match["rest"] or "", values)

    return VARIABLE.sub(value_of, text)


def environment_of(service: str, values: Mapping[str, str]) -> dict[str, str]:
    """The environment of a container, given what `.env` says. Raises MissingVariableError."""
    environment = {}
    for name, value in read_services()[service]["environment"].items():
        # Without a value, docker compose passes the variable on if there is one.
        text = values.get(name) if value is None else fill_in(str(value), values)
        if text is not None:
            environment[name] = text
    return environment
