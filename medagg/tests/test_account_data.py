"""What is kept of a user: the account page, its export, its deletion, and older databases."""

import json
import resource
import stat
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import LazySettings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from catalog.models import Dataset, Image
from catalog.storage.transfers import MAX_TRANSFERS, Transfer
from catalog.tests.factories import DatasetFactory, ImageFactory
from collections_app.models import Build, Collection, CollectionItem
from collections_app.selection.refusals import check_selection
from collections_app.tests.builds.test_problems import count_open_files
from collections_app.tests.conftest import clean_folders  # noqa: F401 - archives are built here
from collections_app.tests.factories import (
    files_in_archive_root,
    make_collection,
    make_dataset,
    make_ready,
)
from collections_app.tests.held import Held
from medagg.accounts import views
from medagg.accounts.export import export_account
from medagg.accounts.mail import send_password_reset
from medagg.models import Session, WaitingAddress
from medagg.tests.processes import wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.long]
PASSWORD = "a-Long-pass-9"


@pytest.fixture
def ada(client: Client) -> User:
    user = User.objects.create_user("ada", "ada@example.org", PASSWORD)
    client.force_login(user)
    make_dataset(files=3)
    return user


def test_the_account_page_says_what_there_is(client: Client, ada: User) -> None:
    page = client.get("/accounts/").content.decode()
    assert "ada@example.org" in page
    assert "none yet" in page
    WaitingAddress.objects.create(user=ada, address="new@example.org")
    make_collection("", user=ada)
    page = client.get("/accounts/").content.decode()
    assert "is not confirmed yet" in page
    assert "none yet" not in page


@pytest.mark.parametrize("path", ["", "address/", "export/", "delete/"])
def test_account_pages_need_an_account(path: str) -> None:
    answer = Client().get(f"/accounts/{path}")
    assert (answer.status_code, answer.headers["Location"][:17]) == (302, "/accounts/login/?")


def test_the_export_has_everything_that_is_kept(client: Client, ada: User) -> None:
    collection = make_ready("sex=F", user=ada, title="My rays")
    make_collection("", user=User.objects.create_user("eve"), title="Not mine")
    image = Image.objects.earliest("pk")
    client.post("/collections/basket/", {"shown": image.pk, "image": image.pk})
    Client().post("/accounts/login/", {"username": "ada", "password": "wrong"})
    response = client.get("/accounts/export/")
    assert response.headers["Content-Disposition"].startswith("attachment; filename=")
    content = response.getvalue().decode()
    data = json.loads(content)
    assert data["account"]["username"] == "ada"
    assert data["account"]["email"] == "ada@example.org"
    (kept,) = data["collections"]
    assert kept["title"] == "My rays"
    assert kept["filter_snapshot"] == collection.filter_snapshot
    assert kept["builds"][0]["attempts"] == 1
    assert data["basket"] == [{"pk": image.pk, "dataset": "rays", "source_id": image.source_id}]
    assert data["failed_sign_ins"][0]["failures_since_start"] == 1
    assert ada.password not in content
    assert str(client.session.session_key) not in content


def test_the_export_says_nothing_of_a_dataset_that_was_hidden(client: Client, ada: User) -> None:
    image = ImageFactory(dataset=DatasetFactory(slug="withdrawn"))
    client.post("/collections/basket/", {"shown": image.pk, "image": image.pk})
    Dataset.objects.filter(slug="withdrawn").update(is_active=False)
    assert json.loads(client.get("/accounts/export/").getvalue())["basket"] == []


def test_an_export_takes_little_memory_however_many_collections_there_are(
    client: Client, ada: User
) -> None:
    made = make_collection("", user=ada)
    made.provenance["datasets"] *= 100
    Collection.objects.bulk_create(
        Collection(user=ada, title=str(n), slug="x", num_images=1, provenance=made.provenance)
        for n in range(200)
    )
    client.get("/accounts/export/").getvalue()  # loads what all requests need
    tracemalloc.start()
    response = client.get("/accounts/export/")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    content = response.getvalue()
    assert len(json.loads(content)["collections"]) == 201
    assert most < len(content)


def test_an_export_makes_as_many_calls_however_much_collections_say(
    client: Client, ada: User
) -> None:
    """What says much is written by C, not by Python, value by value."""
    collection = make_collection("", user=ada)
    client.get("/accounts/export/").getvalue()  # loads what all requests need
    few = count_calls(lambda: client.get("/accounts/export/").getvalue())
    collection.provenance["datasets"] *= 1000
    collection.save()
    many = count_calls(lambda: client.get("/accounts/export/").getvalue())
    assert many < 1.2 * few


def count_calls(function: Callable[[], Any]) -> int:
    count = 0

    def see(frame: Any, event: str, what: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def test_the_export_is_written_on_the_disk_of_archives(
    client: Client, ada: User, settings: LazySettings
) -> None:
    response = client.get("/accounts/export/")
    assert count_open_files(settings.ARCHIVE_ROOT) == 1
    response.getvalue()
    response.close()
    assert count_open_files(settings.ARCHIVE_ROOT) == 0


def test_on_a_full_disk_the_account_page_says_so(
    client: Client, ada: User, settings: LazySettings
) -> None:
    made = make_collection("", user=ada)
    made.provenance["note"] = "x" * 300_000
    made.save()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for _ in range(2):
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
        try:
            response = client.get("/accounts/export/")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (response.status_code, response["Location"]) == (302, "/accounts/")
    assert "disk is full, so your data cannot be written" in page_of(client)
    assert count_open_files(settings.ARCHIVE_ROOT) == 0
    assert export_by(client) == 200


def test_where_many_files_are_sent_nothing_is_written_for_an_export(
    client: Client, ada: User, tmp_path: Path
) -> None:
    make_collection("", user=ada)
    with ExitStack() as stack:
        for _ in range(MAX_TRANSFERS):
            transfer = Transfer(stack.enter_context(tempfile.TemporaryFile(dir=tmp_path)))
            stack.callback(transfer.close)
        with CaptureQueriesContext(connection) as queries:
            response = client.get("/accounts/export/")
        assert response["Location"] == "/accounts/"
        assert not [query for query in queries if "collections_app" in query["sql"]]
        assert "sends as many files as it can" in page_of(client)
    assert export_by(client) == 200


@pytest.mark.django_db(transaction=True)
def test_one_export_of_a_user_is_written_at_a_time(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    again, other = Client(), Client()
    again.force_login(ada)
    other.force_login(User.objects.create_user("eve"))
    answers: list[int] = []

    def ask_meanwhile() -> None:
        monkeypatch.setattr(views, "export_account", export_account)
        try:
            answers.extend(map(export_by, (again, other)))
        finally:
            connection.close()

    def watch(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        with ThreadPoolExecutor(1) as others:
            others.submit(ask_meanwhile).result()
        yield from export_account(*args, **kwargs)

    monkeypatch.setattr(views, "export_account", watch)
    assert export_by(client) == 200
    assert answers == [302, 200]
    assert "Your data are being written already" in page_of(again)
    assert export_by(again) == 200


def test_one_export_of_a_user_is_sent_at_a_time(client: Client, ada: User) -> None:
    """Whichever process has it: the lock is the system's."""
    other = Client()
    other.force_login(User.objects.create_user("eve"))
    unread = client.get("/accounts/export/")
    assert export_by(client) == 302
    assert "Your data are being sent to you already" in page_of(client)
    assert export_by(other) == 200
    assert len(unread.getvalue()) == int(unread.headers["Content-Length"])
    assert export_by(client) == 200


def test_an_export_leaves_the_reserve_of_the_disk_free(
    client: Client, ada: User, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def write(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        for number in range(40):
            if number == 8:  # somebody else has filled the disk
                settings.ARCHIVE_RESERVE_BYTES = 1 << 60
            made.append(number)
            yield b"x" * 1_000_000

    monkeypatch.setattr(views, "export_account", write)
    assert export_by(client) == 302
    assert "disk is full, so your data cannot be written" in page_of(client)
    assert 8 < len(made) <= 14, "it looks every few MB"
    assert count_open_files(settings.ARCHIVE_ROOT) == 0
    made.clear()
    assert (export_by(client), made) == (302, []), "and before it begins"


def export_by(client: Client) -> int:
    """The status of the answer, which is read: until then it counts as a file that is sent."""
    response = client.get("/accounts/export/")
    response.getvalue()
    return response.status_code


def page_of(client: Client) -> str:
    return unescape(client.get("/accounts/").content.decode())


def test_deleting_an_account_removes_all_of_it(client: Client, ada: User) -> None:
    make_ready("sex=F", user=ada)
    make_collection("", user=ada)
    WaitingAddress.objects.create(user=ada, address="new@example.org")
    Client().post("/accounts/login/", {"username": "ada", "password": "wrong"})
    elsewhere = Client()
    elsewhere.force_login(ada)
    LogEntry.objects.log_actions(ada.pk, [ada, ada.collections.all()[0]], CHANGE)
    page = client.get("/accounts/delete/").content.decode()
    for said in ("2 collections", "1 archive ", "1 build that waits or runs: stopped"):
        assert said in " ".join(page.split()), page
    refused = client.post("/accounts/delete/", {"password": "wrong"})
    assert "not your password" in refused.content.decode()
    assert User.objects.filter(username="ada").exists()
    done = client.post("/accounts/delete/", {"password": PASSWORD})
    assert "The account is deleted" in done.content.decode()
    for model in (
        Collection,
        CollectionItem,
        Build,
        WaitingAddress,
        AccessAttempt,
        Session,
        LogEntry,
    ):
        assert not model._default_manager.exists(), model
    assert not User.objects.filter(username="ada").exists()
    assert elsewhere.get("/accounts/").status_code == 302


def test_a_deleted_collection_leaves_its_title_nowhere(client: Client, ada: User) -> None:
    collection = make_collection("", user=ada, title="Of Jane Roe")
    LogEntry.objects.log_actions(ada.pk, [collection], CHANGE)

    client.post(f"{collection.get_absolute_url()}delete/")
    client.post("/accounts/logout/")

    assert [str(each.object_repr) for each in LogEntry.objects.all()] == ["a deleted collection"]
    # Whoever uses this browser next gets no messages of who has signed out.
    assert "Of Jane Roe" not in client.get("/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_archives_of_a_deleted_account_are_removed(client: Client, ada: User) -> None:
    make_ready("sex=F", user=ada)
    assert files_in_archive_root()
    client.post("/accounts/delete/", {"password": PASSWORD})
    assert files_in_archive_root() == []


@pytest.mark.django_db(transaction=True)
def test_a_deletion_in_the_admin_waits_for_a_freeze_of_the_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the order in which others lock: a deadlock would end one of them with an error."""
    make_dataset()
    owner, admin = Client(), Client()
    ada = User.objects.create_user("ada")
    owner.force_login(ada)
    admin.force_login(User.objects.create_superuser("root"))
    is_frozen = threading.Event()

    def count_slowly(*args: Any) -> None:
        is_frozen.set()
        time.sleep(0.5)
        check_selection(*args)

    monkeypatch.setattr("collections_app.services.check_selection", count_slowly)
    form = {"title": "T", "expected_images": Image.objects.count(), "filters": ""}

    def freeze() -> int:
        try:
            return owner.post("/collections/new/", form).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as clients:
        frozen = clients.submit(freeze)
        is_frozen.wait(10)
        answer = admin.post(f"/admin/auth/user/{ada.pk}/delete/", {"post": "yes"})
        assert answer.status_code == 302
        # Their session may be over before the answer.
        assert frozen.result() in (302, 400)
    assert not User.objects.filter(pk=ada.pk).exists()


def test_the_last_administrator_cannot_go(client: Client) -> None:
    operator = User.objects.create_superuser("operator", "", PASSWORD)
    User.objects.create_superuser("left", "", PASSWORD, is_active=False)
    client.force_login(operator)
    answer = client.post("/accounts/delete/", {"password": PASSWORD})
    assert "You are the only administrator" in answer.content.decode()
    in_admin = f"/admin/auth/user/{operator.pk}/delete/"
    assert client.post(in_admin, {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": operator.pk, "post": "yes"}
    client.post("/admin/auth/user/", chosen)
    assert User.objects.filter(username="operator").exists()
    User.objects.create_superuser("second", "", PASSWORD)
    client.post("/accounts/delete/", {"password": PASSWORD})
    assert not User.objects.filter(username="operator").exists()


@pytest.mark.django_db(transaction=True)
def test_a_deletion_that_takes_long_holds_up_nobody(client: Client, ada: User) -> None:
    operator = User.objects.create_superuser("operator", "", PASSWORD)
    other = Client()
    other.force_login(ada)
    oldest, newest = (make_collection("", user=ada, title=title) for title in ("Old", "New"))

    def delete() -> int:
        try:
            return client.post("/accounts/delete/", {"password": PASSWORD}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as clients:
        with Held(lambda: Collection.objects.select_for_update().get(pk=oldest.pk)):
            answer = clients.submit(delete)
            wait_until(lambda: not Collection.objects.filter(pk=newest.pk).exists(), what="one")
            connection.cursor().execute("SET lock_timeout = '1s'")
            User.objects.filter(pk=operator.pk).update(last_login=timezone.now())
            assert Session.objects.filter(user_id=ada.pk).update(expire_date=timezone.now()) == 2
        assert answer.result() == 200
    assert not User.objects.filter(pk=ada.pk).exists()
    assert not Collection.objects.exists()


# --- Private files ---
def test_what_is_written_is_for_medaggs_user_alone(ada: User, settings: LazySettings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(settings.VAR_DIR / "mail")
    send_password_reset(address="ada@example.org")
    collection = make_ready("", user=ada)
    (mail,) = Path(settings.EMAIL_FILE_PATH).iterdir()
    archive = Path(settings.ARCHIVE_ROOT, collection.archive_path)
    for path in (archive, mail, mail.parent):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


# --- Databases of earlier versions ---
@pytest.fixture
def before(transactional_db: None) -> Any:
    """The database as it was before accounts had rules; users are made with the old models."""
    executor = MigrationExecutor(connection)
    executor.migrate([("medagg", None)])
    yield executor.loader.project_state([("auth", "0012_alter_user_first_name_max_length")]).apps
    User.objects.all().delete()
    MigrationExecutor(connection).migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())


def test_equal_names_and_unconfirmed_addresses_of_earlier_versions_are_told_apart(
    before: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    users = before.get_model("auth", "User").objects
    for name, address, is_staff in (
        ("ada", "a@example.org", False),
        ("Ada", "A@example.org", False),
        ("ADA-2", "", False),
        ("root", "r@example.org", True),
    ):
        users.create(username=name, email=address, is_staff=is_staff)
    MigrationExecutor(connection).migrate([("medagg", "0001_accounts")])
    kept = dict(User.objects.order_by("pk").values_list("username", "email"))
    assert kept == {"ada": "", "Ada-3": "", "ADA-2": "", "root": "r@example.org"}
    assert "The user 'Ada' is called 'Ada-3' now" in capsys.readouterr().out
    waiting = dict(WaitingAddress.objects.values_list("user__username", "address"))
    assert waiting == {"ada": "a@example.org", "Ada-3": "A@example.org"}


# As mail writes it, it does not fit into its column any more.
LONG = "fox@" + ".".join(["\xfc" * 44] * 5) + ".example"


def test_domains_of_earlier_versions_are_written_as_mail_writes_them(before: Any) -> None:
    MigrationExecutor(connection).migrate([("medagg", "0001_accounts")])
    for name, address in (
        ("ada", "a@b\xfccher.example"),
        ("ben", "a@B\xfccher.example"),
        ("eve", "e@\uff43linic.example"),
        ("fox", LONG),
    ):
        user = User.objects.create(username=name, email=address if name != "ben" else "")
        WaitingAddress.objects.create(user=user, address=address)
    MigrationExecutor(connection).migrate([("medagg", "0002_domains_as_mail_writes_them")])
    kept = dict(User.objects.order_by("pk").values_list("username", "email"))
    assert kept == {
        "ada": "a@xn--bcher-kva.example",
        "ben": "",
        "eve": "e@clinic.example",
        "fox": LONG,
    }
    waiting = dict(WaitingAddress.objects.values_list("user__username", "address"))
    assert waiting == {
        "ada": "a@xn--bcher-kva.example",
        "ben": "a@xn--bcher-kva.example",
        "eve": "e@clinic.example",
        "fox": LONG,
    }
