"""Work that holds a thread or a lock for seconds: so much at a time that pages go on."""

import contextlib
import io
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

import PIL.Image
import pytest
from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client

from catalog.models import Dataset
from catalog.storage import web_threads
from catalog.storage.transfers import MAX_TRANSFERS, Transfer
from catalog.tests.factories import ImageFactory, add_file, make_searchable
from catalog.views import common
from collections_app.models import Collection
from collections_app.selection.quotas import lock_quota
from collections_app.tests.conftest import clean_folders  # noqa: F401 - real files are written
from collections_app.tests.factories import UserFactory, make_collection, make_dataset
from collections_app.tests.held import Held
from medagg import busy
from medagg.busy import MAX_AT_ONCE, limit_waits
from medagg.tests.stuck_clients import keeps_answering
from medagg.tests.web_site import run_site
from vocab.tests.factories import ModalityFactory

HASHER = "medagg.accounts.hashing.FewAtATimePBKDF2"
SIGN_INS = 80
TOKEN = "a" * 32


@contextlib.contextmanager
def no_threads() -> Iterator[None]:
    """All but the threads for pages and passwords are taken."""
    with contextlib.ExitStack() as stack:
        for _ in range(web_threads.SHARE):
            stack.enter_context(web_threads.hold_thread())
        yield


@pytest.mark.django_db(transaction=True)
def test_pages_are_answered_beside_a_flood_of_sign_ins(tmp_path: Path) -> None:
    with run_site(tmp_path, workers=2) as site:

        def sign_in(number: int) -> int:
            form = {"username": f"nobody{number}", "password": "x", "csrfmiddlewaretoken": TOKEN}
            headers = {"Cookie": f"{settings.CSRF_COOKIE_NAME}={TOKEN}",
                       "Content-Type": "application/x-www-form-urlencoded"}  # fmt: skip
            with contextlib.closing(HTTPConnection("127.0.0.1", site.port, timeout=60)) as server:
                server.request("POST", "/accounts/login/", urlencode(form), headers)
                return server.getresponse().status

        with ThreadPoolExecutor(SIGN_INS) as clients:
            answers = [clients.submit(sign_in, number) for number in range(SIGN_INS)]
            assert keeps_answering(site.port, "/healthz/")
        statuses = {answer.result() for answer in answers}
    assert 503 in statuses
    assert statuses <= {200, 429, 503}


@pytest.mark.django_db
def test_what_takes_long_is_refused_where_only_threads_for_pages_are_left(
    client: Client,
    settings: Any,
    clean_folders: None,  # noqa: F811
) -> None:
    settings.PASSWORD_HASHERS = [HASHER]
    user = UserFactory()
    user.set_password("secret")
    user.save()
    image = ImageFactory(modality=ModalityFactory(code="ct"))
    add_file(image, b"no picture")
    make_searchable()
    with no_threads():
        form = {"username": user.username, "password": "secret"}
        assert client.post("/accounts/login/", form).status_code == 302
        for answer in (
            client.get(f"/images/{image.pk}/preview/"),
            client.get(f"/images/{image.pk}/file/"),
            # Searches and summaries that take long.
            client.get("/collections/new/?q=siemens"),
            client.get(f"/images/?q={','.join('a' * n for n in range(1, 17))}"),
            client.get("/images/?q=1003;1010,1017|1024)(1031 1038"),
            # The beginning of an id may be that of half the catalog.
            client.get(f"/images/?q={image.source_id[:-1]}"),
            client.get(f"/datasets/?q={image.source_id[:-1]}"),
            client.get(f"/images/?q=-{image.source_id}"),
            client.get("/images/?q=-found.nowhere"),
            client.get(f"/images/?q={'-'.join(['ct'] * 16)}"),
            client.get("/images/?q=1003，1010；1017“1024“1031（1038"),
            client.get(f"/datasets.json?{'&'.join(['label=x'] * 101)}"),
        ):
            assert answer.status_code == 503
            assert int(answer["Retry-After"]) > 0
        page = client.get("/collections/new/").content.decode()
        assert "asks again by itself in ten seconds" in page
        client.force_login(UserFactory())
        selection: dict[str, Any] = {"title": "Mine", "filters": "", "expected_images": 1}
        answer = client.post("/collections/new/", selection)
        assert answer.status_code == 503
        assert "The server is busy" in answer.content.decode(), "the selection was not read"
        assert client.get("/images/").status_code == 200


def test_one_client_leaves_a_place_for_others() -> None:
    few = web_threads.FewAtATime(3, waiting=1, kept=2)
    with few.turn("mine"), few.turn("mine"):
        with pytest.raises(web_threads.NoThreadLeft), few.turn("mine"):
            pass
        with few.turn("another's"):
            pass
    with few.turn("mine"), few.turn("mine"):
        pass


@pytest.mark.django_db
def test_other_pages_are_answered_whatever_lists_cost(client: Client) -> None:
    make_searchable()
    with contextlib.ExitStack() as stack:
        while common._lists.acquire(blocking=False):
            stack.callback(common._lists.release)
        lists = ("/images/", "/datasets/", "/datasets.json", "/datasets.csv", "/collections/new/")
        for path in lists:
            assert client.get(path).status_code == 503, path
        for path in ("/", "/healthz/", "/accounts/login/"):
            assert client.get(path).status_code == 200, path
    assert client.get("/images/").status_code == 200


@pytest.mark.django_db
def test_a_search_is_answered_beside_those_of_another_client(client: Client) -> None:
    ImageFactory()
    make_searchable()
    searches = common._large_searches
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(web_threads.NoThreadLeft):
            for _ in range(web_threads.SHARE):
                stack.enter_context(searches._place("192.0.2.1"))
        assert client.get("/images/?q=siemens", REMOTE_ADDR="192.0.2.1").status_code == 503
        assert client.get("/images/?q=siemens", REMOTE_ADDR="192.0.2.2").status_code == 200


@pytest.mark.django_db
def test_as_many_files_as_may_be_sent_leave_threads_for_previews(
    client: Client,
    clean_folders: None,  # noqa: F811
) -> None:
    image = ImageFactory(modality=ModalityFactory(code="ct"))
    add_file(image, b"no picture")
    make_searchable()
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_TRANSFERS):
            file = stack.enter_context(tempfile.TemporaryFile())
            stack.callback(Transfer(file).close)
        assert client.get(f"/images/{image.pk}/file/").status_code == 503
        assert client.get(f"/images/{image.pk}/preview/").status_code == 404
    answer: Any = client.get(f"/images/{image.pk}/file/")
    assert answer.getvalue() == b"no picture"


@pytest.mark.django_db
def test_a_large_preview_that_may_not_be_read_counts_as_a_file(
    client: Client,
    clean_folders: None,  # noqa: F811
) -> None:
    pixels = Random(0).randbytes(1024 * 1024 * 3)
    noise = io.BytesIO()
    PIL.Image.frombytes("RGB", (1024, 1024), pixels).save(noise, "PNG")
    image = ImageFactory(modality=ModalityFactory(code="ct"))
    add_file(image, noise.getvalue(), "noise.png")
    address = f"/images/{image.pk}/preview/?size=large"
    answer: Any = client.get(address)
    assert len(answer.getvalue()) == int(answer["Content-Length"]) > MAX_AT_ONCE
    with no_threads():
        assert client.get(address).status_code == 503
        assert client.get(f"/images/{image.pk}/preview/").status_code == 503
    assert client.get(address, headers={"If-None-Match": answer["ETag"]}).status_code == 304


@pytest.mark.django_db
def test_passwords_are_hashed_as_before(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    user = UserFactory()
    user.set_password("secret")
    settings.PASSWORD_HASHERS = [HASHER]
    assert check_password("secret", user.password)
    assert not check_password("another", user.password)


@pytest.mark.django_db(transaction=True)
def test_an_account_is_signed_in_to_while_its_selection_is_frozen(client: Client) -> None:
    owner = User.objects.create_user("owner", password="secret")
    with Held(lambda: lock_quota(owner)):
        connection.cursor().execute("SET lock_timeout = '2s'")
        form = {"username": owner.username, "password": "secret"}
        assert client.post("/accounts/login/", form).status_code == 302
    owner.refresh_from_db()
    assert owner.last_login


@pytest.mark.django_db
def test_whatever_one_user_asks_for_leaves_threads_to_others(client: Client) -> None:
    user, other = UserFactory(), UserFactory()
    client.force_login(user)
    with contextlib.ExitStack() as stack:
        for _ in range(settings.WEB_THREADS // 4):
            stack.enter_context(busy._requests.turn(str(user.pk)))
        assert client.get("/collections/").status_code == 503
        # A browser may ask for the pictures of a page at once.
        assert client.get("/images/1/preview/").status_code == 404
        assert client.get("/healthz/").status_code == 200
        assert Client().get("/").status_code == 200
        theirs = Client()
        theirs.force_login(other)
        assert theirs.get("/collections/").status_code == 200
    assert client.get("/collections/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_an_account_that_is_deleted_locks_the_quota_first(client: Client) -> None:
    """As freezes and rebuilds do: else both would wait for each other."""
    client.force_login(User.objects.create_superuser("operator"))
    owner = UserFactory()
    make_dataset(files=1)
    collection = make_collection("", user=owner)

    def delete() -> int:
        try:
            path = f"/admin/auth/user/{owner.pk}/delete/"
            return client.post(path, {"post": "yes"}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as clients:
        with Held(lambda: lock_quota(owner)):
            answer = clients.submit(delete)
            time.sleep(1)
            with transaction.atomic():
                assert Collection.objects.select_for_update(nowait=True).get() == collection
        assert answer.result() == 302
    assert not Collection.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_forms_of_one_user_that_wait_for_a_lock_leave_threads_to_pages_and_others(
    client: Client,
) -> None:
    owner, other = UserFactory(), UserFactory()
    make_dataset(files=1)
    theirs = {user: make_collection("", user=user) for user in (owner, other)}

    def cancel(user: Any) -> tuple[int, float]:
        begin = time.monotonic()
        own = Client()
        own.force_login(user)
        try:
            answer = own.post(f"/collections/{theirs[user].uuid}/cancel/")
        finally:
            connection.close()
        return answer.status_code, time.monotonic() - begin

    locked = Collection.objects.select_for_update()
    with (
        ThreadPoolExecutor(settings.WEB_THREADS) as clients,
        Held(lambda: locked.get(pk=theirs[owner].pk)),
    ):
        answers = [clients.submit(cancel, owner) for _ in range(settings.WEB_THREADS)]
        time.sleep(2)
        others = cancel(other)
        at_once = [each.result() for each in answers if each.done()]
    assert others[0] == 302
    assert len(at_once) > settings.WEB_THREADS / 2
    assert {status for status, _ in at_once} == {503}


@pytest.mark.django_db(transaction=True)
def test_a_form_does_not_wait_long_for_what_others_have_locked(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(busy, "LOCK_SECONDS", 1)
    limit_waits(connection)
    area = ModalityFactory(code="ct")
    client.force_login(User.objects.create_superuser("operator"))
    path = f"/admin/vocab/modality/{area.pk}/change/"
    form = client.get(path).context["adminform"].form
    data = {name: value for name, value in form.initial.items() if value is not None}
    forms = {"aliases-TOTAL_FORMS": 0, "aliases-INITIAL_FORMS": 0}
    with Held(lambda: type(area).objects.select_for_update().get(pk=area.pk)):
        answer = client.post(path, data | forms | {"name": "Another"})
    assert answer.status_code == 503
    assert "Somebody else is changing this" in answer.content.decode()
    area.refresh_from_db()
    assert area.name != "Another"
    assert not Dataset.objects.exists()
