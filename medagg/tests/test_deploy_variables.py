"""Environment variables: what the settings read, the files for operators tell and pass on."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import get_commands

from medagg.tests.compose import (
    FILE,
    NEEDED,
    ROOT,
    environment_of,
    fill_in,
    read_services,
    variables_in,
)

EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
OURS = ("web", "worker", "beat", "migrate", "manage")

# Read by libpq and by gunicorn.
READ_BY_PROGRAMS = {"PGPASSWORD", "WEB_CONCURRENCY"}
# DEBUG must not get into a deployment by a slip, and .env is not in the image.
NOT_PASSED_ON = {"DEBUG", "MEDAGG_ENV_FILE"}


def names_in_settings() -> set[str]:
    """The NAME of every `env.<type>("NAME", …)` in the settings."""
    tree = ast.parse((ROOT / "medagg" / "settings.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        str(call.args[0].value)
        for call in calls
        if _is_env(call.func) and call.args and isinstance(call.args[0], ast.Constant)
    }


def _is_env(function: ast.expr) -> bool:
    owner = function.value if isinstance(function, ast.Attribute) else function
    return isinstance(owner, ast.Name) and owner.id == "env"


def names_in_compose() -> set[str]:
    return variables_in(FILE.read_text(encoding="utf-8"))


def documented() -> dict[str, str]:
    """The table of the guide: name → the default, without its backquotes."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) ?\|", GUIDE, re.MULTILINE)
    return {name: default.strip("`") for name, default in rows}


def example() -> dict[str, str]:
    """The variables of .env.example with the values that stand there."""
    return dict(re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def test_settings_are_found() -> None:
    assert {"SECRET_KEY", "DATABASE_URL", "EMAIL_URL", "X_ACCEL_PREFIX"} <= names_in_settings()


def test_every_variable_is_in_the_example_and_in_the_guide() -> None:
    read = names_in_settings() | names_in_compose()

    assert read - example().keys() == set(), "add them to .env.example"
    assert read - documented().keys() == set(), "add them to the table in docs/deploy.md"


def test_nothing_is_documented_that_nobody_reads() -> None:
    read = names_in_settings() | names_in_compose()

    assert example().keys() - read == set()
    assert documented().keys() - read == set()


def test_copy_of_the_example_changes_nothing() -> None:
    assert [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")] == []


def test_example_and_guide_state_the_real_defaults() -> None:
    """The tests run without any of these variables, so the settings have their defaults."""
    checked = 0
    for name in example():
        default = getattr(settings, name, None)
        if isinstance(default, int | float | str) and not isinstance(default, bool) and default:
            stated = {example()[name], documented()[name]}
            if stated == {""} or name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL", *_paths()):
                continue
            assert stated == {str(default)}, name
            checked += 1
    assert checked >= 10


def _paths() -> set[str]:
    return {name for name in example() if name.startswith("MEDAGG_") or name.endswith("_ROOT")}


def test_compose_states_the_same_defaults_as_the_guide() -> None:
    text = FILE.read_text(encoding="utf-8")
    for name, default in re.findall(r"\$\{(\w+):-([^${}]+)\}", text):
        assert documented()[name] == default or name == "HTTPS"
    assert fill_in("${HTTPS:-1}", {}) == environment_of("web", NEEDED)["HTTPS"]


@pytest.mark.parametrize("name", OURS)
def test_compose_passes_every_setting_on(name: str) -> None:
    by_image = set(re.findall(r"\b([A-Z_]+)=", DOCKERFILE))
    passed_on = read_services()[name]["environment"].keys() | by_image

    assert names_in_settings() - passed_on == NOT_PASSED_ON


@pytest.mark.parametrize("name", OURS)
def test_compose_sets_nothing_that_medagg_does_not_read(name: str) -> None:
    environment = read_services()[name]["environment"]

    assert environment.keys() - names_in_settings() == READ_BY_PROGRAMS


def test_compose_sets_nothing_that_the_other_images_do_not_read() -> None:
    services = read_services()
    template = (ROOT / "medagg/deploy/nginx.conf.template").read_text(encoding="utf-8")
    of_image = {
        "NGINX_ENVSUBST_OUTPUT_DIR", "NGINX_ENVSUBST_FILTER", "NGINX_ENTRYPOINT_LOCAL_RESOLVERS"
    }  # fmt: skip

    nginx = services["nginx"]["environment"].keys() - of_image
    assert {name for name in nginx if f"${{{name}}}" not in template} == set()
    assert services["postgres"]["environment"].keys() == {
        "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"
    }  # fmt: skip
    assert "environment" not in services["redis"]


def test_unset_variables_leave_the_defaults_of_the_image() -> None:
    """docker compose removes a variable from the container that it is to pass on and lacks."""
    passed_on = {
        name for name, value in read_services()["web"]["environment"].items() if value is None
    }

    assert passed_on & set(re.findall(r"\b([A-Z_]+)=", DOCKERFILE)) == set()


def test_production_settings_pass_the_deployment_check(tmp_path: Path) -> None:
    done = run_python("manage.py", "check", "--deploy", "--fail-level", "WARNING", folder=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert "no issues" in done.stdout


def test_database_password_may_have_any_characters(tmp_path: Path) -> None:
    """It goes to libpq by PGPASSWORD, which a password in the parameters would override."""
    show = (
        "from django.db import connection; parameters = connection.get_connection_params(); "
        "print(json.dumps([parameters.get(name) for name in ('host', 'dbname', 'password')]))"
    )

    assert run_with_settings(show, folder=tmp_path) == ["postgres", "medagg", None]
    assert environment_of("web", NEEDED)["PGPASSWORD"] == NEEDED["POSTGRES_PASSWORD"]


def test_what_the_database_url_asks_for_is_kept(tmp_path: Path) -> None:
    """Such as encryption, which must not get lost without a word."""
    show = "print(json.dumps(settings.DATABASES['default']['OPTIONS']))"
    url = "postgres://medagg@db/medagg?sslmode=require&connect_timeout=9"

    options = run_with_settings(show, folder=tmp_path, DATABASE_URL=url)
    assert {name: str(value) for name, value in options.items()} == {
        "sslmode": "require",
        "connect_timeout": "9",
    }
    plain = run_with_settings(show, folder=tmp_path, DATABASE_URL="postgres://medagg@db/medagg")
    assert plain == {"connect_timeout": 5}


def test_deployment_insists_on_https_and_finds_its_folders(tmp_path: Path) -> None:
    names = ["SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "ARCHIVE_ROOT", "X_ACCEL_PREFIX"]
    show = f"print(json.dumps([str(getattr(settings, name)) for name in {names}]))"
    values = run_with_settings(show, folder=tmp_path)

    assert values == ["True", "True", "/srv/medagg/archives", "/protected/"]


def run_with_settings(code: str, *, folder: Path, **changed: str) -> Any:
    """What `code` prints as JSON, run under the environment of the container `web`."""
    prepare = "import json, django; from django.conf import settings; django.setup(); "
    done = run_python("-c", prepare + code, folder=folder, **changed)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run_python(*arguments: str, folder: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **environment_of("web", NEEDED),
        "DJANGO_SETTINGS_MODULE": "medagg.settings",
        "MEDAGG_VAR": str(folder / "var"),
        "MEDAGG_ENV_FILE": str(folder / "none"),
        **changed,
    }
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


def test_commands_in_the_guide_and_in_compose_exist() -> None:
    texts = GUIDE + FILE.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:run --rm manage|manage\.py) ([a-z_]+)", texts))

    assert "createsuperuser" in named
    assert named - get_commands().keys() == set()
