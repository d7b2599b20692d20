"""A dataset whose files lie in its storage: in a bucket of any S3, or on a web server."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.test import Client

from catalog.models import Availability, Dataset, Image
from catalog.storage.addresses import check_storage, find_stored_path, join_storage
from catalog.storage.problems import Forbidden, Gone, NotAllowed, SourceProblem, Unreachable
from catalog.storage.sources import can_fetch, list_files, read_file
from catalog.tasks import make_remote_previews_task
from catalog.tests.factories import DatasetFactory, ImageFactory, make_searchable
from catalog.tests.importers.folder_files import make_picture
from catalog.tests.profiles.test_profiles import assert_profiles_are_true
from medagg.testing.s3 import S3Server
from medagg.testing.web_files import HOST, WebFiles
from vocab.services import load_terms

pytestmark = pytest.mark.django_db
DESCRIPTION = """\
[dataset]
slug = "rays"
title = "Rays"
modalities = ["dx"]
storage = "{storage}"

[files]
{folder}
path = "{{File}}"
extensions = [".png"]

[[table]]
path = "rays.csv"

[image]
id = "{{Id}}"
url = "{{Url}}"
modality = "dx"
"""
ROWS = (
    ("1", "sub/0001", ""),
    ("2", "a b/§2.png", ""),
    ("3", "x", "other/3.png"),
    ("4", "x", "https://elsewhere.example.org/4.png"),
    ("5", "x", "../5.png"),
)
PATHS = {"1": "sub/0001.png", "2": "a b/§2.png", "3": "other/3.png"}
AT_BUCKET = "s3://rays-of-ours/published"
ON_WEB = f"https://{HOST}/rays"


@pytest.fixture
def home(own_folders: Path) -> Path:
    load_terms(vocabulary="modality", terms=[{"code": "dx", "name": "Digital radiography"}])
    folder = own_folders / "datasets" / "rays"
    folder.mkdir()
    table = "\n".join(",".join(row) for row in (("Id", "File", "Url"), *ROWS))
    (folder / "rays.csv").write_text(table)
    return folder


def import_rays(home: Path, storage: str = ON_WEB, *, folder: str = "") -> str:
    text = DESCRIPTION.format(storage=storage, folder=f'folder = "{folder}"' if folder else "")
    (home / "dataset.toml").write_text(text)
    out = io.StringIO()
    call_command("import_dataset", str(home), stdout=out, stderr=io.StringIO())
    return out.getvalue()


def addresses() -> dict[str, str]:
    return dict(Image.objects.order_by("source_id").values_list("source_id", "remote_url"))


def test_images_whose_files_are_not_here_get_their_addresses(home: Path) -> None:
    said = import_rays(home, f"{ON_WEB}/")

    assert Dataset.objects.get().storage == ON_WEB
    assert addresses() == {
        "1": f"{ON_WEB}/sub/0001.png",
        "2": f"{ON_WEB}/a%20b/%C2%A72.png",
        "3": f"{ON_WEB}/other/3.png",
        "4": "https://elsewhere.example.org/4.png",
        "5": f"{ON_WEB}/x.png",
    }
    assert "missing" not in said
    assert_profiles_are_true()
    import_rays(home, AT_BUCKET)
    assert addresses()["2"] == f"{AT_BUCKET}/a b/§2.png"
    import_rays(home, "")
    assert addresses()["1"] == ""
    assert Image.objects.get(source_id="1").availability == Availability.LISTED
    assert_profiles_are_true()


def test_a_storage_is_a_bucket_or_a_web_server(home: Path) -> None:
    for wrong in ("file:///etc", "http://example.org/x", "s3://", "https://a@b/c", "/srv/data",
                  "https://example.org/x?y=", "gs://bucket/x"):  # fmt: skip
        with pytest.raises(CommandError, match="storage"):
            import_rays(home, wrong)
        with pytest.raises(ValueError, match="https://host/prefix"):
            check_storage(wrong)
    assert not Dataset.objects.exists()


def test_a_path_that_no_address_can_have_has_none() -> None:
    assert join_storage(AT_BUCKET, "a*.png") == ""
    assert join_storage(ON_WEB, "x" * 1000) == ""
    for storage in (AT_BUCKET, ON_WEB):
        for path in ("a b/c#d?e%20.png", "ü.png"):
            assert find_stored_path(storage, join_storage(storage, path)) == path
    assert find_stored_path(ON_WEB, f"{ON_WEB}-other/x") == ""


def test_what_is_mirrored_is_found_by_the_next_import(
    home: Path, web_files: WebFiles, settings: LazySettings
) -> None:
    web_files.files = {f"/rays/{path}": make_picture(8, 6, shade=len(path))
                       for path in PATHS.values()}  # fmt: skip
    (home / "files").mkdir()
    import_rays(home, folder="files")
    assert not Image.objects.local().exists()
    out = io.StringIO()

    with pytest.raises(CommandError, match="2 of 5 images could not be had"):
        call_command("fetch_images", "--dataset", "rays", stdout=out, stderr=out)

    assert (home / "files/a b/§2.png").read_bytes() == web_files.files["/rays/a b/§2.png"]
    import_rays(home, folder="files")
    assert set(Image.objects.local().values_list("source_id", flat=True)) == {"1", "2"}


def test_a_bucket_of_any_s3_is_asked_with_its_keys(s3: S3Server, settings: LazySettings) -> None:
    bucket = "rays-of-ours"
    s3.client.create_bucket(Bucket=bucket)
    s3.client.put_object(Bucket=bucket, Key="published/1.png", Body=b"secret")
    address = f"{AT_BUCKET}/1.png"
    assert not can_fetch(address)
    settings.FETCH_BUCKETS = [bucket]
    settings.FETCH_ENDPOINTS = {bucket: s3.endpoint}
    assert can_fetch(address)
    with pytest.raises(Forbidden):
        list_files(address)

    settings.FETCH_KEYS = {bucket: "test:test"}

    (file,) = list_files(address)
    assert (file.name, file.size, len(file.md5)) == ("1.png", 6, 32)
    assert b"".join(read_file(address, file)) == b"secret"


def test_a_file_of_a_web_server_is_read_as_it_is(web_files: WebFiles) -> None:
    web_files.files["/rays/a b.png"] = b"pixels" * 50_000
    address = f"{ON_WEB}/a%20b.png"

    for web_files.no_head in (False, True):
        (file,) = list_files(address)
        assert (file.name, file.size) == ("a b.png", 300_000)
        assert b"".join(read_file(address, file)) == b"pixels" * 50_000
    assert web_files.requests[-1] == "GET /rays/a%20b.png"


def test_one_connection_serves_sizes_and_files(web_files: WebFiles) -> None:
    for number in range(3):
        web_files.files[f"/{number}.png"] = b"pixels" * 50_000
        (file,) = list_files(f"https://{HOST}/{number}.png")
        assert b"".join(read_file(f"https://{HOST}/{number}.png", file)) == b"pixels" * 50_000
    # Answers of files may take longer, and have connections of their own.
    assert len(web_files.ports) <= 2


@pytest.mark.parametrize(
    ("fault", "problem", "said"),
    [
        ({"status": {"/x": 404}}, Gone, "no file at its address"),
        ({"status": {"/x": 403}}, Forbidden, "forbidden"),
        ({"status": {"/x": 503}}, Unreachable, "too busy"),
        ({"redirect": {"/x": "http://127.0.0.1/secret"}}, NotAllowed, "sends elsewhere"),
        ({"cut": {"/x": 100}}, Unreachable, "connection to the source failed"),
        ({"pause": {"/x": 3.0}}, Unreachable, "connection to the source failed"),
    ],
)
def test_what_a_web_server_does_not_give_is_said(
    web_files: WebFiles,
    settings: LazySettings,
    fault: dict[str, Any],
    problem: type[SourceProblem],
    said: str,
) -> None:
    settings.FETCH_STALL_SECONDS = 1
    web_files.files["/x"] = b"pixels" * 100
    for name, value in fault.items():
        setattr(web_files, name, value)
    address = f"https://{HOST}/x"

    with pytest.raises(problem, match=said):
        list(read_file(address, list_files(address)[0]))


def test_private_addresses_are_asked_only_as_an_endpoint_that_the_operator_names(
    web_files: WebFiles, settings: LazySettings
) -> None:
    web_files.files["/x"] = b"pixels"
    place = web_files.endpoint.removeprefix("http://")
    settings.FETCH_HOSTS = [place, HOST]
    with pytest.raises(NotAllowed, match="private network"):
        list_files(f"https://{place}/x")
    for other in ("https://other.example.org/x", f"http://{HOST}/x", "file:///etc/passwd",
                  f"https://{HOST}/x/*", f"https://user@{HOST}/x", f"https://{HOST}/"):  # fmt: skip
        with pytest.raises(NotAllowed):
            list_files(other)
    assert web_files.requests == []

    settings.FETCH_ENDPOINTS = {place: web_files.endpoint}
    assert list_files(f"https://{place}/x")[0].size == 6


def test_a_preview_is_made_of_a_file_on_a_web_server(client: Client, web_files: WebFiles) -> None:
    web_files.files["/1.png"] = make_picture(80, 60, shade=90)
    image = ImageFactory(dataset=DatasetFactory(), remote_url=f"https://{HOST}/1.png")
    make_searchable()
    assert client.get(f"/images/{image.pk}/preview/?size=small").status_code == 202

    make_remote_previews_task(image.pk)

    shown = client.get(f"/images/{image.pk}/preview/?size=small")
    assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/webp")
