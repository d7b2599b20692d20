"""`manage.py backup` and `restore`: into an empty place, which then is the same."""

import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from django.conf import LazySettings, settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from psycopg2 import sql

from catalog.demo import phantom_images, pydicom_samples
from catalog.demo.phantoms.chest import iter_phantoms
from collections_app.builds.verification import verify_archive
from collections_app.models import Collection
from collections_app.tests.conftest import clean_folders  # noqa: F401 - real files are written
from collections_app.tests.factories import make_ready
from medagg.runner.embedded import database_url
from medagg.testing.environment import BASE_VARIABLE, REPOSITORY
from vocab.models import Label
from vocab.tests.shipped import save_shipped_vocabularies

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

PHANTOMS = 30
RESTORED = "medagg_restored"
# Run where the backup was restored: the site works, and builds the same archive again.
WORKS = """
import django; django.setup()
from django.test import Client
from collections_app.builds.build import build_collection
from collections_app.builds.verification import verify_archive
from collections_app.models import Collection
from collections_app.services import rebuild_collection
client = Client()
form = {"username": "owner", "password": "a-Long-pass-9"}
assert client.post("/accounts/login/", form).status_code == 302
assert 'data-total="0"' not in client.get("/images/?label=a+curated+spelling").content.decode()
collection = Collection.objects.get(title="Kept")
assert client.get(collection.get_absolute_url()).status_code == 200
rebuild_collection(collection=collection)
build_collection(collection_id=collection.pk)
verify_archive(collection_id=collection.pk)
collection.refresh_from_db()
print(collection.status, collection.archive_sha256)
"""


@pytest.fixture(autouse=True)
def alone(transactional_db: None) -> None:
    """Threads of earlier tests may have left connections, and a database in use is refused."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database() AND backend_type = 'client backend'"
        )


class Place:
    """An empty database and an empty var/."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.base = Path(os.environ[BASE_VARIABLE])

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "medagg.settings",
                "DATABASE_URL": database_url(self.base, RESTORED),
                "MEDAGG_VAR": str(self.var),
                "ALLOWED_HOSTS": "testserver",
                "DEBUG": "1",  # pages without collected static files
            },
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture
def place(transactional_db: None, tmp_path: Path) -> Iterator[Place]:
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {RESTORED}")
    yield Place(tmp_path / "var")
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {RESTORED} WITH (FORCE)")


@pytest.fixture
def demo(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> Collection:
    """The demo catalog, a user with a ready collection, and an alias from the admin."""
    monkeypatch.setattr(phantom_images, "iter_phantoms", lambda: islice(iter_phantoms(), PHANTOMS))
    samples = pydicom_samples.copy_samples
    monkeypatch.setattr(pydicom_samples, "copy_samples", lambda folder: islice(samples(folder), 9))
    save_shipped_vocabularies()
    call_command("load_demo", verbosity=0)
    # As an installation has it; the tests' own is not known there.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    users = get_user_model().objects
    owner = users.create_user("owner", password="a-Long-pass-9")
    users.create_superuser("admin", password="a-Long-pass-9")
    curate_alias()
    collection = make_ready("local=1", user=owner, title="Kept")
    verify_archive(collection_id=collection.pk)
    collection.refresh_from_db()
    return collection


def curate_alias() -> None:
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    label = Label.objects.filter(image_labels__finding="positive").order_by("code")[0]
    address = f"/admin/vocab/label/{label.pk}/change/"
    form = client.get(address).context["adminform"].form
    fields: dict[str, Any] = {
        name: value for name, value in form.initial.items() if isinstance(value, (str, int, bool))
    }
    html = client.get(address).content.decode()
    for tag in re.findall(r"<input[^>]*>", html):
        marks = dict(re.findall(r'(name|value)="([^"]*)"', tag))
        if marks.get("name", "").startswith("aliases-"):
            fields.setdefault(marks["name"], marks.get("value", ""))
    number = int(fields["aliases-TOTAL_FORMS"])
    fields |= {
        "aliases-TOTAL_FORMS": str(number + 1),
        f"aliases-{number}-text": "a curated spelling",
        f"aliases-{number}-term": str(label.pk),
    }
    response = client.post(address, fields)
    assert response.status_code == 302, response.content.decode()[-3000:]


def counts(database: str) -> dict[str, int]:
    """Rows by table, without those that belong to the installation."""
    values = connection.get_connection_params() | {"dbname": database}
    values.pop("cursor_factory", None)
    with closing(psycopg2.connect(**values)) as other, other.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = {name for (name,) in cursor.fetchall()} - {"django_session", "medagg_session"}
        found = {}
        for table in tables:
            cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
            found[table] = cursor.fetchone()[0]
    return found


def test_an_empty_place_becomes_the_same_and_builds_the_same_bytes(
    demo: Collection, place: Place, tmp_path: Path
) -> None:
    keys = {name: f"{name}-{secrets.token_hex(32)}\n" for name in ("secret-key", "pseudonym-key")}
    for name, key in keys.items():
        (settings.VAR_DIR / name).write_text(key)
    backup = tmp_path / "backup.zip"
    call_command("backup", str(backup))
    for name in keys:
        (settings.VAR_DIR / name).unlink()
    assert backup.stat().st_mode & 0o777 == 0o600
    before = counts(connection.settings_dict["NAME"])
    shutil.copytree(settings.DATASET_ROOTS[0], place.var / "datasets")
    newer = place.var / "archives" / f"{uuid4()}.{uuid4()}.zip"
    newer.parent.mkdir(exist_ok=True)
    newer.write_bytes(b"an archive of the site that goes on")

    done = place.run("manage.py", "restore", str(backup))
    assert done.returncode == 0, done.stderr
    assert "Archives that are missing: 1." in done.stdout
    assert "Archives that belong to no collection of the backup: 1. medagg deletes" in done.stdout
    assert newer.exists()
    assert "The files of" not in done.stdout
    assert counts(RESTORED) == before
    assert {name: (place.var / name).read_text() for name in keys} == keys
    works = place.run("-c", WORKS)
    assert works.stdout.split()[-2:] == ["ready", demo.archive_sha256], works.stdout + works.stderr


def test_a_place_that_is_not_empty_is_replaced_only_if_that_is_confirmed(
    transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_user_model().objects.create_user("owner")
    backup = tmp_path / "backup.zip"
    call_command("backup", str(backup))
    with pytest.raises(CommandError, match=r"not empty: auth_user have rows.* add --replace"):
        call_command("restore", str(backup))
    for answer in ("no", ""):
        monkeypatch.setattr("builtins.input", lambda answer=answer: answer)
        with pytest.raises(CommandError, match="not confirmed"):
            call_command("restore", str(backup), "--replace")


def change_manifest(source: Path, target: Path, **changed: Any) -> None:
    """The same backup with other values in its manifest."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            body = old.read(name)
            if name == "manifest.json":
                body = json.dumps(json.loads(body) | changed).encode()
            new.writestr(name, body)


def test_what_is_damaged_or_newer_is_refused_before_anything_is_changed(
    place: Place, tmp_path: Path
) -> None:
    get_user_model().objects.create_user("owner")
    good = tmp_path / "good.zip"
    call_command("backup", str(good))
    names = ("half", "damaged", "flipped", "unknown", "newer", "empty")
    half, damaged, flipped, unknown, newer, empty = (tmp_path / f"{name}.zip" for name in names)
    body = good.read_bytes()
    half.write_bytes(body[:3000])
    with zipfile.ZipFile(good) as archive:
        tables = json.loads(archive.read("manifest.json"))["tables"]
        first = archive.infolist()[0]
        begin = first.header_offset + 30 + len(first.filename) + 20
        directory = body.rindex(b"PK\1\2", 0, archive.start_dir + 4)
    flipped.write_bytes(body[:begin] + b"\xff" * 8 + body[begin + 8 :])
    # The method by which the first part is compressed.
    unknown.write_bytes(body[: directory + 10] + b"\x63" + body[directory + 11 :])
    tables["auth_user"]["sha256"] = "0" * 64
    change_manifest(good, damaged, tables=tables)
    change_manifest(good, newer, migrations=[["catalog", "0999_of_the_future"]])
    change_manifest(good, empty, tables={})
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for bad, reason in (
        (half, "is no whole backup of medagg"),
        (damaged, "auth_user.copy has another SHA-256"),
        (flipped, "is no whole backup of medagg"),
        (unknown, "is no whole backup of medagg"),
        (newer, "catalog.0999_of_the_future"),
        (empty, "it lacks tables"),
        (tmp_path / "none.zip", "No such file"),
        (tmp_path / ("x" * 300), "File name too long"),
        (fifo, "is no file"),
        (tmp_path, "is no file"),
    ):
        with pytest.raises(CommandError, match=reason):
            call_command("restore", str(bad), "--replace", "--no-input")
    assert get_user_model().objects.get().username == "owner"
    assert counts(RESTORED) == {}


def test_an_error_on_the_way_leaves_everything_as_it_was(tmp_path: Path) -> None:
    get_user_model().objects.create_user("owner")
    good, broken = tmp_path / "good.zip", tmp_path / "broken.zip"
    call_command("backup", str(good))
    before = counts(connection.settings_dict["NAME"])
    with zipfile.ZipFile(good) as archive:
        tables = json.loads(archive.read("manifest.json"))["tables"]
    tables["auth_user"]["columns"].remove("email")
    change_manifest(good, broken, tables=tables)
    with pytest.raises(CommandError, match="Nothing was restored: extra data after last expected"):
        call_command("restore", str(broken), "--replace", "--no-input")
    assert counts(connection.settings_dict["NAME"]) == before
    assert get_user_model().objects.get().username == "owner"


def test_a_backup_that_was_tampered_with_changes_nothing(tmp_path: Path) -> None:
    get_user_model().objects.create_user("owner")
    good, bad = tmp_path / "good.zip", tmp_path / "bad.zip"
    call_command("backup", str(good))
    before = counts(connection.settings_dict["NAME"])
    with zipfile.ZipFile(good) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        content = {name: archive.read(name) for name in archive.namelist()}
    fewer = {name: facts for name, facts in manifest["tables"].items() if name != "auth_user"}
    key = {"secret-key": hashlib.sha256(b"x").hexdigest()}
    for changed, method, reason in (
        ({"tables": fewer}, zipfile.ZIP_STORED, "lacks tables, such as auth_user"),
        ({"secrets": key}, zipfile.ZIP_STORED, "secret-key in it can be guessed"),
        ({"made_at": "\x1b[2Jnow"}, zipfile.ZIP_STORED, "is no whole backup"),
        ({}, zipfile.ZIP_LZMA, "is no whole backup"),
    ):
        with zipfile.ZipFile(bad, "w", method) as archive:
            for name, body in {**content, "var/secret-key": b"x"}.items():
                is_manifest = name == "manifest.json"
                archive.writestr(name, json.dumps(manifest | changed) if is_manifest else body)
        if method == zipfile.ZIP_LZMA:
            damage(bad)
        with pytest.raises(CommandError, match=reason):
            call_command("restore", str(bad), "--replace", "--no-input")
        assert counts(connection.settings_dict["NAME"]) == before


def damage(archive: Path) -> None:
    """Changes the content of its first member."""
    with zipfile.ZipFile(archive) as file:
        first = file.infolist()[0]
    body = bytearray(archive.read_bytes())
    begin = first.header_offset + 30 + len(first.filename) + 12
    body[begin : begin + 40] = b"\xff" * 40
    archive.write_bytes(body)


def test_a_database_in_use_is_not_replaced(tmp_path: Path) -> None:
    backup = tmp_path / "backup.zip"
    call_command("backup", str(backup))
    values = connection.get_connection_params()
    values.pop("cursor_factory", None)
    with (
        closing(psycopg2.connect(**values)),
        pytest.raises(CommandError, match=r"in use by 1 other connection.*Stop medagg first"),
    ):
        call_command("restore", str(backup), "--replace", "--no-input")


def test_a_backup_overwrites_nothing_and_leaves_nothing_half(tmp_path: Path) -> None:
    taken = tmp_path / "taken.zip"
    taken.write_text("mine")
    with pytest.raises(CommandError, match="exists already"):
        call_command("backup", str(taken))
    with pytest.raises(CommandError, match="No such file or directory"):
        call_command("backup", str(tmp_path / "missing" / "x.zip"))
    with pytest.raises(CommandError, match="File name too long"):
        call_command("backup", str(tmp_path / ("x" * 300)))
    link = tmp_path / "nowhere"
    link.symlink_to("missing")
    with pytest.raises(CommandError, match="exists already"):
        call_command("backup", str(link))
    link.unlink()
    call_command("backup", str(tmp_path))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2
    assert re.fullmatch(r"medagg-\d{4}-\d\d-\d\dT\d{6}Z\.zip", names[0])
