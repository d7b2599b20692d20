"""The folders, URLs and secrets that follow from a data folder alone."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import environ
import pytest
import redis

from medagg.runner.embedded import (
    EmbeddedError,
    celery_broker_url,
    database_url,
    read_or_make_secret,
    redis_url,
)
from medagg.runner.embedded.account import make_private
from medagg.runner.embedded.places import LONGEST_SOCKET_PATH, Places, places_in
from medagg.tests.processes import NOBODY, root_only

AWKWARD_FOLDERS = ["plain", "My Clone", "a+b", "50%", "comma, clone", "größe", "it's", "x" * 200]


@pytest.mark.parametrize("name", AWKWARD_FOLDERS)
def test_urls_lead_to_the_sockets_from_any_folder(name: str) -> None:
    var = Path("/srv") / name / "var"
    places = places_in(var)

    config = environ.Env.db_url_config(database_url(var))
    pool = redis.ConnectionPool.from_url(redis_url(var, 3))

    assert config["ENGINE"] == "django.db.backends.postgresql"
    assert (config["USER"], config["NAME"], config["PORT"]) == ("medagg", "medagg", 5432)
    assert config["HOST"] == str(places.postgres_sockets)
    assert pool.connection_kwargs["path"] == str(places.redis_socket)
    assert pool.connection_kwargs["db"] == 3


@pytest.mark.parametrize("name", AWKWARD_FOLDERS)
def test_sockets_fit_into_what_the_kernel_and_libpq_take(name: str) -> None:
    folder = places_in(Path("/srv") / name / "var").postgres_sockets

    assert len(os.fsencode(folder / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH
    assert "," not in str(folder)


def test_sockets_stay_in_the_data_folder_where_they_can() -> None:
    assert places_in(Path("/srv/My Clone/var")).socket_home == Path("/srv/My Clone/var/run")


def test_two_clones_with_long_paths_do_not_share_sockets() -> None:
    long = Path("/srv") / ("x" * 200)

    assert places_in(long / "a").socket_home != places_in(long / "b").socket_home
    assert places_in(long / "a").socket_home.parent == Path("/tmp")  # noqa: S108


def test_sockets_do_not_depend_on_how_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "link").symlink_to("var")
    monkeypatch.chdir(tmp_path)

    urls = {database_url(path) for path in (Path("var"), tmp_path / "link", tmp_path / "var")}

    assert len(urls) == 1


def test_another_database_of_the_same_server_has_its_own_url() -> None:
    config = environ.Env.db_url_config(database_url(Path("/srv/var"), "test_medagg_gw0"))

    assert config["NAME"] == "test_medagg_gw0"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache:6379/2", "redis://cache:6379/2"),
        ("rediss://:pw@cache:6379/0", "rediss://:pw@cache:6379/0"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
        ("unix:///a%20b/r.sock?db=3", "redis+socket:///a%20b/r.sock?virtual_host=3"),
        ("unix://me:pw@/r.sock?db=1", "redis+socket://me:pw@/r.sock?virtual_host=1"),
    ],
)
def test_celery_gets_the_same_redis_in_its_own_notation(url: str, expected: str) -> None:
    assert celery_broker_url(url) == expected


def test_folders_are_closed_to_others(tmp_path: Path) -> None:
    places = places_in(tmp_path / "var")

    places.create()

    assert stat.S_IMODE(places.log.stat().st_mode) == 0o700
    assert stat.S_IMODE(places.run.stat().st_mode) & 0o066 == 0


@pytest.fixture
def places_in_tmp(tmp_path: Path) -> Iterator[Places]:
    """Those of a clone whose path is too long for sockets."""
    places = places_in(tmp_path / ("x" * 120))
    yield places
    if places.socket_home.is_symlink():
        places.socket_home.unlink()
    else:
        places.socket_home.rmdir()


def test_a_socket_folder_in_tmp_is_made_for_its_owner(places_in_tmp: Places) -> None:
    places_in_tmp.create()
    places_in_tmp.create()

    assert places_in_tmp.socket_home.stat().st_mode & 0o066 == 0


def test_a_link_in_place_of_the_socket_folder_is_refused(
    places_in_tmp: Places, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    places_in_tmp.socket_home.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(EmbeddedError, match="belongs to another user or can be written by others"):
        places_in_tmp.create()


def test_a_socket_folder_that_others_may_write_is_refused(places_in_tmp: Places) -> None:
    places_in_tmp.socket_home.mkdir()
    places_in_tmp.socket_home.chmod(0o777)

    with pytest.raises(EmbeddedError, match="can be written by others"):
        places_in_tmp.create()


@root_only
def test_a_socket_folder_of_another_user_is_refused(places_in_tmp: Places) -> None:
    places_in_tmp.socket_home.mkdir(mode=0o700)
    os.chown(places_in_tmp.socket_home, *NOBODY)

    with pytest.raises(EmbeddedError, match="belongs to another user"):
        places_in_tmp.create()


def test_making_a_folder_private_leaves_the_folders_above_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    make_private(tmp_path / "data", None)

    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_secret_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret-key"

    secret = read_or_make_secret(path)

    assert len(secret) >= 50
    assert read_or_make_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret-key"]


def test_a_secret_file_left_empty_by_a_full_disk_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "secret-key"
    path.touch()

    secret = read_or_make_secret(path)

    assert secret
    assert read_or_make_secret(path) == secret


def test_processes_that_come_at_once_get_the_same_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret-key"
    secrets: list[str] = []
    threads = [
        threading.Thread(target=lambda: secrets.append(read_or_make_secret(path))) for _ in range(8)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(secrets) == 8
    assert len(set(secrets)) == 1


def test_a_secret_that_cannot_be_kept_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(EmbeddedError, match=r"cannot keep a secret in .*file/secret-key"):
        read_or_make_secret(tmp_path / "file" / "secret-key")


def test_url_paths_are_quoted_once() -> None:
    assert quote("My Clone") in database_url(Path("/srv/My Clone/var"))
    assert "%25" not in redis_url(Path("/srv/My Clone/var"))
