"""Reads docker-compose.yml as `docker compose` would, as far as the tests need it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "docker-compose.yml"

# The least that `.env` must say.
NEEDED = {
    "SECRET_KEY": "not-a-secret-" * 5,
    "PSEUDONYM_KEY": "not-one-either-" * 5,
    "POSTGRES_PASSWORD": "a$b/c@d:e",
    "ALLOWED_HOSTS": "medagg.example.org",
}


def read_services() -> dict[str, dict[str, Any]]:
    """The services with anchors and merge keys resolved, variables left as they stand."""
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    services: dict[str, dict[str, Any]] = content["services"]
    return services


def fill_in(text: str, values: Mapping[str, str]) -> str:
    """`text` with `${NAME}`, `${NAME:-default}` and `$$` replaced; one default may hold another."""
    filled = re.sub(
        r"\$\{(\w+)(?::[-?]([^{}]*))?\}", lambda m: values.get(m[1]) or m[2] or "", text
    )
    return filled.replace("$$", "$") if filled == text else fill_in(filled, values)


def environment_of(service: str, values: Mapping[str, str]) -> dict[str, str]:
    """The environment of a container, given what `.env` says."""
    environment = read_services()[service]["environment"]
    # Without a value, docker compose passes the variable on if there is one.
    return {
        name: values[name] if value is None else fill_in(str(value), values)
        for name, value in environment.items()
        if value is not None or name in values
    }
