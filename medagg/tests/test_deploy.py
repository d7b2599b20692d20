"""docker-compose.yml: what can be proven without Docker."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from medagg.embedded.postgres_server import TUNING
from medagg.tests.compose import (
    FILE,
    NEEDED,
    ROOT,
    MissingVariableError,
    environment_of,
    fill_in,
    read_file,
    read_services,
)
from medagg.tests.nginx_client import image_command

SERVICES = read_services()
ONE_SHOT = {"migrate", "manage"}
OURS = {"web", "worker", "beat", *ONE_SHOT}


def each_service(*, without: Iterable[str] = ()) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", sorted(SERVICES.keys() - set(without)))


def is_valid_compose_file(path: Path) -> bool:
    """Whether the JSON schema of the Compose Specification takes it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=60)
    # 1 is its word for an invalid file; anything else is an error of ours.
    assert done.returncode in (0, 1), done.stderr
    assert done.returncode == 0 or "Schema validation errors" in done.stdout, done.stderr
    return done.returncode == 0


def test_compose_file_follows_the_specification() -> None:
    assert is_valid_compose_file(FILE)


@pytest.mark.parametrize(
    ("right", "wrong"), [("healthcheck:", "healthchek:"), ("read_only: true", "read_only: [1]")]
)
def test_a_slip_in_the_compose_file_would_be_noticed(
    tmp_path: Path, right: str, wrong: str
) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(FILE.read_text(encoding="utf-8").replace(right, wrong), encoding="utf-8")

    assert not is_valid_compose_file(broken)


def test_docker_compose_itself_takes_the_file() -> None:
    if not has_docker_compose():
        pytest.skip("docker compose is not installed")
    command = ["docker", "compose", "--file", str(FILE), "--profile", "manage", "config", "--quiet"]
    subprocess.run(command, check=True, env={**os.environ, **NEEDED}, timeout=60)


def has_docker_compose() -> bool:
    command = ["docker", "compose", "version"]
    return (
        bool(shutil.which("docker"))
        and not subprocess.run(command, capture_output=True, timeout=60).returncode
    )


def test_all_parts_are_there() -> None:
    parts = {"nginx", "web", "worker", "beat", "migrate", "manage", "postgres", "redis"}
    assert parts == SERVICES.keys()


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_nothing_starts_without_its_secrets(name: str) -> None:
    incomplete = {key: value for key, value in NEEDED.items() if key != name}
    text = FILE.read_text(encoding="utf-8")

    with pytest.raises(MissingVariableError, match=name):
        fill_in(text, incomplete)
    with pytest.raises(MissingVariableError, match=name):
        fill_in(text, {**incomplete, name: ""})
    fill_in(text, NEEDED)


@each_service()
def test_no_secret_stands_in_the_file(name: str) -> None:
    secret = re.compile(r"KEY|PASSWORD|SECRET|TOKEN")
    for variable, value in SERVICES[name].get("environment", {}).items():
        if secret.search(variable):
            assert str(value).startswith("${"), variable
            assert ":?" in value, f"{variable} has a default"


@each_service()
def test_no_service_runs_as_root_or_gains_rights(name: str) -> None:
    service = SERVICES[name]

    assert service["user"].split(":")[0] not in ("", "0", "root")
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["tmpfs"]


@each_service(without=ONE_SHOT)
def test_servers_are_watched_and_come_back(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(ONE_SHOT))
def test_what_runs_once_is_neither_watched_nor_restarted(name: str) -> None:
    assert SERVICES[name]["healthcheck"] == {"disable": True}
    assert SERVICES[name]["restart"] == "no"


@each_service()
def test_conditions_can_come_true(name: str) -> None:
    for other, wish in SERVICES[name].get("depends_on", {}).items():
        if wish["condition"] == "service_completed_successfully":
            assert other in ONE_SHOT
        else:
            assert wish["condition"] == "service_healthy"
            assert "test" in SERVICES[other]["healthcheck"]


def test_nothing_of_ours_runs_before_the_schema_is_there() -> None:
    for name in OURS - {"migrate"}:
        depends_on = SERVICES[name]["depends_on"]
        assert depends_on["migrate"] == {"condition": "service_completed_successfully"}


@each_service()
def test_volumes_and_networks_are_declared(name: str) -> None:
    content = read_file()
    for mount in SERVICES[name].get("volumes", []):
        source = fill_in(mount, {}).split(":")[0]
        assert source in content["volumes"] or (ROOT / source).is_file()
    assert set(SERVICES[name]["networks"]) <= content["networks"].keys()


def test_only_nginx_can_be_reached_and_only_from_this_machine() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert ports.keys() == {"nginx"}
    assert [fill_in(port, {}) for port in ports["nginx"]] == ["127.0.0.1:8080:8080"]
    assert read_file()["networks"]["data"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == SERVICES["redis"]["networks"] == ["data"]


@each_service()
def test_images_are_pinned(name: str) -> None:
    image = fill_in(SERVICES[name]["image"], {})
    if name in OURS:
        assert image == "medagg:local"
    else:
        assert re.fullmatch(r"(nginx|postgres|redis):\d+(\.\d+)?", image)


def test_data_outlives_the_containers() -> None:
    # PostgreSQL 18's image has its data in /var/lib/postgresql/18/docker.
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"


def test_the_database_is_set_as_it_was_measured() -> None:
    program, *options = SERVICES["postgres"]["command"]
    assert program == "postgres"
    assert options == [f"--{name}={value}" for name, value in TUNING.items()]


def test_datasets_can_be_written_by_commands_only() -> None:
    for name in OURS - {"manage"}:
        for mount in SERVICES[name].get("volumes", []):
            assert ":/srv/medagg/datasets" not in mount or mount.endswith(":ro")
    assert "${DATASETS:-datasets}:/srv/medagg/datasets" in SERVICES["manage"]["volumes"]


def test_nginx_finds_medagg_and_its_archives() -> None:
    nginx, web = environment_of("nginx", NEEDED), environment_of("web", NEEDED)
    host, _, port = nginx["MEDAGG_NGINX_UPSTREAM"].partition(":")
    template = (ROOT / "medagg/deploy/nginx.conf.template").read_text(encoding="utf-8")
    command = image_command()

    assert set(SERVICES[host]["networks"]) & set(SERVICES["nginx"]["networks"])
    assert command[command.index("--bind") + 1] == f"0.0.0.0:{port}"
    assert f"location {web['X_ACCEL_PREFIX']} {{" in template
    assert nginx["MEDAGG_NGINX_ARCHIVES"] == web["MEDAGG_ARCHIVE_ROOT"]
    assert f"archives:{web['MEDAGG_ARCHIVE_ROOT']}" in SERVICES["web"]["volumes"]
    assert f"archives:{web['MEDAGG_ARCHIVE_ROOT']}:ro" in SERVICES["nginx"]["volumes"]
    assert SERVICES["nginx"]["user"] == SERVICES["worker"]["user"]


def test_nginx_gets_every_value_that_its_template_names() -> None:
    template = (ROOT / "medagg/deploy/nginx.conf.template").read_text(encoding="utf-8")
    names = set(re.findall(r"\$\{(\w+)\}", template))
    environment = environment_of("nginx", NEEDED)
    may_be_filled_in = re.compile(environment["NGINX_ENVSUBST_FILTER"])

    # The image finds the name servers out by itself.
    assert names - {"NGINX_LOCAL_RESOLVERS"} <= environment.keys()
    assert all(may_be_filled_in.search(name) for name in names)


def test_nginx_believes_its_own_network_unless_told_otherwise() -> None:
    def trusted(**values: str) -> str:
        return environment_of("nginx", {**NEEDED, **values})["MEDAGG_NGINX_TRUSTED"]

    subnet = read_file()["networks"]["site"]["ipam"]["config"][0]["subnet"]
    assert trusted() == fill_in(subnet, {})
    assert trusted(SITE_SUBNET="10.1.2.0/24") == "10.1.2.0/24"
    assert trusted(SITE_SUBNET="10.1.2.0/24", TRUSTED_PROXY="10.9.9.9/32") == "10.9.9.9/32"
