"""A small picture to show, and pages fetched and read, for tests."""

import io
import re

from django.test import Client
from PIL import Image as Picture


def png(shade: int = 128) -> bytes:
    out = io.BytesIO()
    Picture.new("L", (40, 20), shade).save(out, "PNG")
    return out.getvalue()


def get(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, response.content[:2000]
    return response.getvalue().decode()


def facet_values(html: str) -> dict[tuple[str, str], int]:
    """(facet, code) → count, from the marks that scripts may rely on."""
    found = {}
    for tag in re.findall(r"<[a-z]+[^>]*\bdata-facet=[^>]*>", html):
        marks = dict(re.findall(r'data-(facet|value|count)="([^"]*)"', tag))
        found[marks["facet"], marks["value"]] = int(marks["count"])
    return found


def total(html: str) -> int:
    (mark,) = set(re.findall(r'data-total="(\d+)"', html))
    return int(mark)
