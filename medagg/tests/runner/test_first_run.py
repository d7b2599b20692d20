"""What `up` does before it serves, on a database of its own."""

import logging
import stat
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.http import HttpRequest

from medagg.runner import first_run
from vocab.models import Modality, ViewPosition


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def say(said: list[str]) -> Callable[[str], None]:
    return said.append


def test_warnings_of_the_preparation_go_to_a_file_and_not_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = list(logging.getLogger().handlers)

    with first_run.log_to(tmp_path / "setup.log"):
        logging.getLogger("some.library").warning("an odd file")
        warnings.warn("odd indeed", stacklevel=1)

    said = (tmp_path / "setup.log").read_text()
    assert "WARNING some.library: an odd file" in said
    assert "odd indeed" in said
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == before


@pytest.mark.django_db
def test_an_empty_database_gets_the_vocabularies(
    said: list[str], say: Callable[[str], None]
) -> None:
    first_run.load_first_data(demo=False, say=say)

    assert Modality.objects.exists()
    assert any("vocabularies" in line for line in said)


@pytest.mark.django_db
def test_vocabularies_are_not_loaded_over_a_curators_work(
    said: list[str], say: Callable[[str], None]
) -> None:
    Modality.objects.create(code="own", name="The only one that we need")

    first_run.load_first_data(demo=False, say=say)

    assert Modality.objects.count() == 1
    assert not any("vocabularies" in line for line in said)


@pytest.mark.django_db
def test_terms_that_a_newer_version_ships_are_added(say: Callable[[str], None]) -> None:
    first_run.load_first_data(demo=False, say=say)
    ViewPosition.objects.update(broader=None)
    ViewPosition.objects.all().delete()  # as in a database of a version without views
    Modality.objects.filter(code="dx").update(name="Our own name")

    first_run.load_first_data(demo=False, say=say)

    assert ViewPosition.objects.filter(code="pa").exists()
    assert Modality.objects.get(code="dx").name == "Our own name"


@pytest.mark.django_db
def test_the_administrator_is_made_once_with_a_random_password(tmp_path: Path) -> None:
    file = tmp_path / "admin-password"

    first = first_run.ensure_admin(file, show=True)
    second = first_run.ensure_admin(file, show=True)

    password = file.read_text().strip()
    assert first == f"admin / {password}  (shown once, and kept in {file})"
    assert second == f"admin, with the password in {file}"
    user = authenticate(HttpRequest(), username="admin", password=password)
    assert user is not None
    assert user.is_superuser
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert get_user_model().objects.count() == 1


@pytest.mark.django_db
def test_a_log_gets_the_place_of_the_password_and_not_the_password(tmp_path: Path) -> None:
    file = tmp_path / "admin-password"

    assert first_run.ensure_admin(file, show=False) == f"admin, with the password in {file}"
    assert authenticate(HttpRequest(), username="admin", password=file.read_text().strip())


@pytest.mark.django_db
def test_an_emptied_database_gets_the_same_password_again(tmp_path: Path) -> None:
    file = tmp_path / "admin-password"
    before = first_run.ensure_admin(file, show=True)
    get_user_model().objects.all().delete()

    assert first_run.ensure_admin(file, show=True) == before


@pytest.mark.django_db
def test_a_changed_password_is_not_contradicted(tmp_path: Path) -> None:
    file = tmp_path / "admin-password"
    first_run.ensure_admin(file, show=True)
    admin = get_user_model().objects.get()
    admin.set_password("my own choice")
    admin.save()

    line = first_run.ensure_admin(file, show=True)

    assert line == f"admin, with the password that you chose (not the one in {file})"
    file.unlink()
    assert first_run.ensure_admin(file, show=True) == "admin, with the password that you chose"
    assert authenticate(HttpRequest(), username="admin", password="my own choice")


@pytest.mark.django_db
def test_a_site_with_another_superuser_gets_no_second_one(tmp_path: Path) -> None:
    get_user_model().objects.create_superuser("grace", None, "hopper")

    line = first_run.ensure_admin(tmp_path / "admin-password", show=True)

    assert line == "with your own superuser account"
    assert not (tmp_path / "admin-password").exists()


def test_static_files_are_collected_when_they_have_changed(
    tmp_path: Path, settings: object, said: list[str], say: Callable[[str], None]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "site.css").write_text("a {}")
    settings.STATIC_ROOT = tmp_path / "static"  # type: ignore[attr-defined]
    settings.STATICFILES_DIRS = [source]  # type: ignore[attr-defined]
    settings.STORAGES = {  # type: ignore[attr-defined]
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
    }
    stamp = tmp_path / "stamp"

    first_run.collect_static_files(stamp, say=say)
    first_run.collect_static_files(stamp, say=say)
    assert len(said) == 1
    assert list((tmp_path / "static").glob("site.*.css"))

    (source / "new.css").write_text("b {}")
    first_run.collect_static_files(stamp, say=say)
    assert len(said) == 2
    assert (tmp_path / "static" / "new.css").exists()
