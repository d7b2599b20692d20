"""Items whose files are not as the catalog says, as pages and as CSV."""

import csv
import io
import re
import resource
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.storage.transfers import MAX_TRANSFERS, Transfer
from catalog.views import common
from collections_app.builds.build import build_collection
from collections_app.builds.lease import LeaseLost
from collections_app.builds.problems import ROWS_PER_CHUNK
from collections_app.models import Collection
from collections_app.services import cancel_build, retry_collection
from collections_app.tests.factories import UserFactory, make_collection, make_dataset
from collections_app.tests.ready_archives import sign_in
from collections_app.tests.states import as_failed, as_ready, change, make_large
from medagg.tests.test_many_downloads import check_pages, held_open
from medagg.tests.web_site import run_site

pytestmark = [pytest.mark.django_db, pytest.mark.long]


@pytest.fixture
def owner(client: Client) -> Any:
    user = UserFactory(username="owner")
    client.force_login(user)
    make_dataset(files=3)
    return user


def get(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def shown(html: str) -> list[str]:
    return re.findall(r'<th scope="row" class="break">(.*?)</th>', html)


def next_link(html: str, rel: str = "next") -> str:
    found = re.search(rf'rel="{rel}" href="([^"]*)"', html)
    return found[1] if found else ""


def read_csv(client: Client, path: str) -> list[dict[str, str]]:
    response: Any = client.get(path)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(response.getvalue().decode())))


def leave_out(collection: Collection, number: int) -> None:
    collection.items.filter(position__lte=number).update(problem="it was cut", is_excluded=True)
    change(
        collection,
        num_images=collection.num_images - number,
        provenance={**collection.provenance, "excluded": number},
    )


def test_the_page_shows_a_hundred_problems_and_links_to_all(client: Client, owner: Any) -> None:
    collection = as_failed(make_large(owner, 250), num_bad=240)
    path = f"/collections/{collection.uuid}/"
    html = get(client, path)
    assert len(shown(html)) == 100
    assert "240 images with a problem; the first 100 are shown" in html
    assert f"{path}problems/" in html
    assert f"{path}problems.csv" in html


def test_problems_are_paged_forwards_and_backwards(client: Client, owner: Any) -> None:
    collection = as_failed(make_large(owner, 250), num_bad=240)
    path = f"/collections/{collection.uuid}/problems/"
    html = get(client, path)
    assert 'data-total="240"' in html
    assert not next_link(html, "prev")
    pages = [shown(html)]
    while link := next_link(html):
        html = get(client, path + link)
        pages.append(shown(html))
    assert [len(page) for page in pages] == [100, 100, 40]
    assert [name for page in pages for name in page] == [f"large-{n:06}" for n in range(1, 241)]
    html = get(client, path + next_link(html, "prev"))
    assert shown(html) == pages[1]
    html = get(client, path + next_link(html, "prev"))
    assert shown(html) == pages[0]
    assert not next_link(html, "prev"), "there is nothing before the first page"


@pytest.mark.parametrize("page", ["0", "-1", "x", "after-", "after-1e9", "before-", "2", "\x00"])
def test_an_unknown_cursor_gives_the_first_page(client: Client, owner: Any, page: str) -> None:
    collection = as_failed(make_collection("", user=owner), num_bad=2)
    response = client.get(f"/collections/{collection.uuid}/problems/", {"page": page})
    assert len(shown(response.content.decode())) == 2


def test_a_page_after_the_last_says_so(client: Client, owner: Any) -> None:
    collection = as_failed(make_collection("", user=owner), num_bad=2)
    html = get(client, f"/collections/{collection.uuid}/problems/?page=after-999999999")
    assert shown(html) == []
    assert "No image has a known problem" in html


def test_the_csv_has_every_problem(client: Client, owner: Any) -> None:
    number = ROWS_PER_CHUNK + 5
    collection = as_failed(make_large(owner, number + 3), num_bad=number)
    rows = read_csv(client, f"/collections/{collection.uuid}/problems.csv")
    assert [row["source_id"] for row in rows] == [f"large-{n:06}" for n in range(1, number + 1)]
    assert list(rows[0]) == ["dataset", "source_id", "file_path", "sha256", "reason"]
    assert {row["reason"] for row in rows} == {"the file is missing"}


def test_the_csv_names_the_frozen_file(client: Client, owner: Any) -> None:
    collection = as_failed(make_collection("", user=owner), num_bad=1)
    (row,) = read_csv(client, f"/collections/{collection.uuid}/problems.csv")
    item = collection.items.get(position=1)
    assert (row["dataset"], row["file_path"]) == ("rays", "deep/000.png")
    assert row["sha256"] == item.sha256
    response = client.get(f"/collections/{collection.uuid}/problems.csv")
    assert response["Content-Disposition"] == 'attachment; filename="my-rays-problems.csv"'


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", 'a"b,c', "é\nf"])
def test_no_cell_is_a_formula(client: Client, owner: Any, evil: str) -> None:
    collection = as_failed(make_collection("", user=owner), num_bad=1)
    item = collection.items.get(position=1)
    item.metadata_json["source_id"] = evil
    item.problem = evil
    item.save()
    (row,) = read_csv(client, f"/collections/{collection.uuid}/problems.csv")
    for cell in (row["source_id"], row["reason"]):
        assert cell.removeprefix("'") == evil
        assert cell[0] not in "=+-@\t"


def test_excluded_items_have_a_list_of_their_own(client: Client, owner: Any) -> None:
    collection = make_large(owner, 150)
    leave_out(collection, 120)
    path = f"/collections/{collection.uuid}/"
    html = get(client, as_ready(collection).get_absolute_url())
    assert "120 images are excluded" in html
    assert f"{path}excluded/" in html
    assert f"{path}excluded.csv" in html
    html = get(client, f"{path}excluded/")
    assert 'data-total="120"' in html
    assert len(shown(html)) == 100
    assert len(shown(get(client, f"{path}excluded/{next_link(html)}"))) == 20
    rows = read_csv(client, f"{path}excluded.csv")
    assert len(rows) == 120
    assert rows[0]["reason"] == "it was cut"
    response = client.get(f"{path}excluded.csv")
    assert "my-rays-missing.csv" in response["Content-Disposition"]


def test_new_problems_are_listed_without_excluded_items(client: Client, owner: Any) -> None:
    collection = make_large(owner, 20)
    leave_out(collection, 5)
    collection.items.filter(position__in=(8, 9)).update(problem="the file is missing")
    as_failed(collection)
    html = get(client, f"/collections/{collection.uuid}/")
    assert shown(html) == ["large-000008", "large-000009"]
    assert "Build without these 2" in html
    rows = read_csv(client, f"/collections/{collection.uuid}/problems.csv")
    assert [row["source_id"] for row in rows] == ["large-000008", "large-000009"]


def test_no_page_counts_the_problems_of_a_large_collection(client: Client, owner: Any) -> None:
    """Which takes PostgreSQL a fifth of a second for 160,000."""
    collection = as_failed(make_large(owner, 20), num_bad=15)
    for tail in ("", "status/", "problems/", "build-without/"):
        with CaptureQueriesContext(connection) as queries:
            assert "15" in get(client, f"/collections/{collection.uuid}/{tail}")
        asked = [each["sql"] for each in queries if "collectionitem" in each["sql"]]
        assert not [sql for sql in asked if "COUNT(" in sql and "problem" in sql]


def test_the_number_is_true_until_a_worker_looks_again_and_once_it_has_lost_the_build(
    client: Client, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = as_failed(make_collection("", user=owner), num_bad=2)
    retry_collection(collection=collection)
    path = f"/collections/{collection.uuid}/problems/"
    assert 'data-total="2"' in get(client, path)

    def find_one_and_lose_the_build(*args: Any) -> None:
        collection.items.filter(position=3).update(problem="the file is missing")
        cancel_build(collection=Collection.objects.get(pk=collection.pk))
        collection.items.filter(position=1).update(problem="the file is missing")
        raise LeaseLost

    monkeypatch.setattr("collections_app.builds.build._fetch", find_one_and_lose_the_build)
    build_collection(collection_id=collection.pk)
    html = get(client, collection.get_absolute_url())
    assert "Build without these 2" in html
    assert len(shown(html)) == 2
    assert 'data-total="2"' in get(client, path)


def test_while_large_searches_run_problems_are_counted_and_not_listed(
    client: Client, owner: Any
) -> None:
    path = as_failed(make_collection("", user=owner), num_bad=2).get_absolute_url()
    with ExitStack() as turns:
        for number in range(2):
            turns.enter_context(common._large_searches.turn(f"192.0.2.{number}"))
        html = get(client, path)
    assert not shown(html)
    assert "Too many searches run at the moment to list them" in html
    assert "Show all 2" in html
    assert len(shown(get(client, path))) == 2


def test_without_problems_the_lists_are_empty(client: Client, owner: Any) -> None:
    collection = make_collection("", user=owner)
    path = f"/collections/{collection.uuid}/"
    assert "No image has a known problem" in get(client, f"{path}problems/")
    assert "No image is excluded" in get(client, f"{path}excluded/")
    assert read_csv(client, f"{path}problems.csv") == []


# --- The CSV is complete before the first byte is sent ---


def test_sending_the_csv_needs_no_query(client: Client, owner: Any) -> None:
    number = 2 * ROWS_PER_CHUNK
    collection = as_failed(make_large(owner, number + 1), num_bad=number)
    response: Any = client.get(f"/collections/{collection.uuid}/problems.csv")
    with CaptureQueriesContext(connection) as queries:
        body = response.getvalue()
    assert len(queries) == 0
    assert response["Content-Length"] == str(len(body))
    assert body.count(b"\n") == number + 1


def test_the_csv_leaves_no_file_behind(client: Client, owner: Any) -> None:
    collection = as_failed(make_collection("", user=owner), num_bad=2)
    settings.ARCHIVE_ROOT.rmdir()
    response: Any = client.get(f"/collections/{collection.uuid}/problems.csv")
    assert list(settings.ARCHIVE_ROOT.iterdir()) == [], "nobody else sees the file"
    assert count_open_files(settings.ARCHIVE_ROOT) == 1
    response.close()
    assert count_open_files(settings.ARCHIVE_ROOT) == 0


def test_on_a_full_disk_the_page_says_so_instead_of_the_csv(client: Client, owner: Any) -> None:
    collection = as_failed(make_large(owner, 700), num_bad=700)
    collection.items.update(problem="x" * 300)
    path = f"/collections/{collection.uuid}/problems"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        response = client.get(f"{path}.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (response.status_code, response["Location"]) == (302, f"{path}/")
    html = get(client, f"{path}/")
    assert "disk is full, so the list cannot be written as a file now" in html
    assert shown(html)[0] == "large-000001"
    assert count_open_files(settings.ARCHIVE_ROOT) == 0


def test_where_many_files_are_sent_the_list_waits_for_its_turn(
    client: Client, owner: Any, tmp_path: Path
) -> None:
    """Each reader takes a thread, and the others are for pages."""
    path = f"/collections/{as_failed(make_large(owner, 5), num_bad=5).uuid}/problems"
    with ExitStack() as stack:
        for _ in range(MAX_TRANSFERS):
            transfer = Transfer(stack.enter_context(tempfile.TemporaryFile(dir=tmp_path)))
            stack.callback(transfer.close)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"{path}.csv")["Location"] == f"{path}/"
        assert not [query for query in queries if "collectionitem" in query["sql"]]
        assert "try again in half a minute" in get(client, f"{path}/")
        assert count_open_files(settings.ARCHIVE_ROOT) == 0
    response: Any = client.get(f"{path}.csv")
    assert len(list(csv.DictReader(io.StringIO(response.getvalue().decode())))) == 5


def count_open_files(folder: Path) -> int:
    """Those of this process below the folder, even without a name (Linux)."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(link.readlink().is_relative_to(folder) for link in links)


@pytest.mark.django_db(transaction=True)
def test_slow_readers_of_the_csv_do_not_delay_pages(tmp_path: Path) -> None:
    owner = UserFactory(username="owner")
    make_dataset(files=1)
    collection = as_failed(make_large(owner, 10_000), num_bad=10_000)
    # Far more than the buffers between the server and a client that does not read.
    collection.items.update(problem="it was cut " * 27)
    cookie, path = sign_in(owner), f"/collections/{collection.uuid}/problems.csv"
    with (
        run_site(tmp_path, workers=1) as site,
        held_open(site.port, path, cookie, MAX_TRANSFERS) as readers,
    ):
        assert {reader.response.status for reader in readers} == {200}
        check_pages(site.port, cookie)
        rows = csv.DictReader(io.StringIO(readers[-1].read().decode()))
        assert len(list(rows)) == 10_000


# --- Pages of large and small collections need the same queries ---


def ask(client: Client, path: str) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        response = client.get(path)
    assert response.status_code == 200
    return [query["sql"] for query in queries]


def test_a_page_of_many_items_needs_the_same_queries_as_one_of_few(
    client: Client, owner: Any
) -> None:
    tails = ("", "?page=2", "problems/", "problems/?page=after-50")
    few = as_failed(make_collection("", user=owner), num_bad=3)
    asked = {tail: len(ask(client, f"/collections/{few.uuid}/{tail}")) for tail in tails}
    few.delete()
    many = as_failed(make_large(owner, 1000), num_bad=800)
    for tail in tails:
        queries = ask(client, f"/collections/{many.uuid}/{tail}")
        assert len(queries) == asked[tail], tail
        items = [sql for sql in queries if "collectionitem" in sql]
        assert items, tail
        assert not [sql for sql in items if "OFFSET" in sql], tail
        # The only thing that is counted is what the partial index has.
        counts = [sql for sql in items if "COUNT(" in sql]
        assert all('"problem"' in sql.split("WHERE")[1] for sql in counts), tail


def test_a_page_number_out_of_range_gives_the_nearest_page(client: Client, owner: Any) -> None:
    collection = make_large(owner, 1000)
    for number, first in (
        ("1", 1), ("2", 49), ("21", 961), ("22", 961), ("99999999999999999999", 961),
        ("0", 961), ("-3", 961), ("x", 1), ("", 1), ("2.5", 1), ("\x00", 1),
    ):  # fmt: skip
        response = client.get(f"/collections/{collection.uuid}/", {"page": number})
        cards = re.findall(r'title="(large-\d+)"', response.content.decode())
        last = min(1000, first + 47)
        assert cards == [f"large-{n:06}" for n in range(first, last + 1)], number
