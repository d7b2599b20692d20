"""Lists of datasets that are longer than a page; a client may leave them unread."""

import csv
import io
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from catalog.storage.transfers import MAX_TRANSFERS, Transfer
from catalog.storage.web_threads import RETRY_SECONDS
from catalog.tests.factories import DatasetFactory
from medagg.busy import MAX_AT_ONCE

pytestmark = pytest.mark.django_db
PATHS = ["/datasets.json", "/datasets.csv"]


@pytest.fixture
def long_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(settings, "ARCHIVE_ROOT", tmp_path)
    # In two, as a cell that csv reads has its limit.
    text = "Wörter " * (MAX_AT_ONCE // 2 // 7)
    DatasetFactory(slug="long", description=text)
    DatasetFactory(slug="longer", description=text)
    DatasetFactory(slug="short", year=2016)
    return text


def test_a_long_list_is_sent_whole(long_list: str) -> None:
    answer: Any = Client().get("/datasets.json")
    body = answer.getvalue()
    assert answer["Content-Length"] == str(len(body))
    listed = {each["slug"]: each for each in json.loads(body)["datasets"]}
    assert listed["long"]["description"] == long_list
    answer = Client().get("/datasets.csv")
    assert 'filename="datasets.csv"' in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert {row["slug"] for row in rows} == {"long", "longer", "short"}


@pytest.mark.parametrize("path", PATHS)
def test_where_many_files_are_sent_a_long_list_waits_and_a_short_one_does_not(
    long_list: str, path: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_TRANSFERS):
            transfer = Transfer(stack.enter_context(tempfile.TemporaryFile(dir=tmp_path)))
            stack.callback(transfer.close)
        answer = Client().get(path)
        assert (answer.status_code, answer["Retry-After"]) == (503, str(RETRY_SECONDS))
        assert "try again in half a minute" in answer.content.decode()
        assert Client().get(f"{path}?year=2016").status_code == 200
