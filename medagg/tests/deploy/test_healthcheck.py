"""The health check of the containers that serve pages."""

import subprocess
import sys

from medagg.tests.deploy.compose import ROOT
from medagg.tests.deploy.nginx_client import fetch, serve_with_gunicorn


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


def test_container_is_healthy_when_medagg_answers_to_an_allowed_name() -> None:
    with serve_with_gunicorn("medagg.tests.deploy.health_upstream") as port:
        assert check_health(port, "medagg.example.org,other.example.org") == ""
        assert check_health(port, " .medagg.example.org") == ""
        assert check_health(port, "other.example.org") == "/healthz/ answers 400\n"
        assert fetch(port, "/healthz/", {"Host": "localhost"}).status == 200
        assert check_health(port, "*") == ""


def test_container_is_not_healthy_when_nothing_answers() -> None:
    assert "does not answer" in check_health(1, "medagg.example.org")
