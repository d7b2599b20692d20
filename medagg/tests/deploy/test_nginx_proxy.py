"""Pages behind a real nginx: what is passed on, what is believed, what is too much."""

import gzip
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medagg.testing.nginx import (
    LOOPBACK,
    NginxFactory,
    NginxFailedError,
    NginxServer,
    find_free_port,
    render_template,
    run_nginx,
)
from medagg.testing.programs import require_program
from medagg.tests.deploy.nginx_client import ROOT, Answer, fetch, serve_with_gunicorn
from medagg.tests.processes import wait_until

# The longest request line that gunicorn takes is 8190 bytes, "GET " and " HTTP/1.1" included.
LONGEST_TARGET = 8190 - len("GET  HTTP/1.1")

Start = Callable[..., NginxServer]


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with serve_with_gunicorn("medagg.tests.deploy.nginx_upstream") as port:
        yield port


@pytest.fixture
def start(upstream: int, nginx_server: NginxFactory, tmp_path: Path) -> Start:
    def start_with(trusted_proxy: str = "192.0.2.0/24", extra: str = "") -> NginxServer:
        return nginx_server(
            upstream_port=upstream, archive_root=tmp_path, trusted_proxy=trusted_proxy, extra=extra
        )

    return start_with


@pytest.fixture
def port(start: Start) -> int:
    return start().port


def test_path_and_query_arrive_as_they_were_sent(port: int) -> None:
    target = "/images/%E2%82%AC/a%2Fb//c?label=effusion&label=mass&q=a+b%26c"
    seen = fetch(port, target).seen

    assert seen["path"] == target
    assert seen["query"] == "label=effusion&label=mass&q=a+b%26c"


def test_host_arrives_with_its_port(port: int) -> None:
    assert fetch(port, "/").forwarded("Host") == f"127.0.0.1:{port}"
    assert (
        fetch(port, "/", {"Host": "medagg.example.org"}).forwarded("Host") == "medagg.example.org"
    )


def test_query_of_eight_kilobytes_arrives_whole(port: int) -> None:
    target = "/images/?" + "label=effusion&" * 600
    target = target[:LONGEST_TARGET]
    answer = fetch(port, target)

    assert answer.status == 200
    assert answer.seen["path"] == target


@pytest.mark.parametrize("length", [LONGEST_TARGET + 1, 20_000])
def test_longer_query_is_refused_and_breaks_nothing(port: int, length: int) -> None:
    assert fetch(port, "/?" + "x" * (length - 2)).status in (400, 414)
    assert fetch(port, "/").status == 200


def test_htmx_may_repeat_the_longest_url_in_a_header(port: int) -> None:
    url = f"https://a-rather-long-name.example.org/images/?{'x' * LONGEST_TARGET}"

    assert fetch(port, "/", {"HX-Current-URL": url}).forwarded("HX-Current-URL") == url


def test_redirect_may_repeat_the_longest_query(port: int) -> None:
    query = "%3D" * 2600
    answer = fetch(port, f"/redirect?{query}")

    assert answer.status == 302
    assert answer.headers["Location"].endswith(query.replace("%", "%25"))


@pytest.mark.parametrize(("path", "longest"), [("/", 131_072), ("/admin/", 2_500_000)])
def test_form_arrives_and_one_that_is_too_long_does_not(port: int, path: str, longest: int) -> None:
    arrived = fetch(port, path, method="POST", body=b"x" * longest).seen
    assert arrived["body_length"] == longest

    answer = fetch(port, path, method="POST", body=b"x" * longest * 2)
    assert answer.status == 413
    assert "Nothing was changed. Forms have at most 16 kB" in answer.body.decode()


@pytest.mark.parametrize("name", ["X-Forwarded-Proto", "X_Forwarded_Proto", "x-forwarded-proto"])
def test_client_cannot_claim_to_come_by_https(port: int, name: str) -> None:
    assert fetch(port, "/", {name: "https"}).forwarded("X-Forwarded-Proto") == "http"


def test_client_cannot_claim_another_address(port: int) -> None:
    answer = fetch(port, "/", {"X-Forwarded-For": "198.51.100.7"})

    assert answer.forwarded("X-Forwarded-For") == "127.0.0.1"


def test_nginx_names_each_request_itself(port: int) -> None:
    answer = fetch(port, "/", {"X-Request-ID": "0123456789abcdef"})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.forwarded("X-Request-ID") or "")


def test_figures_are_not_passed_on(port: int) -> None:
    assert fetch(port, "/metrics", {"Authorization": "Bearer a-token"}).status == 404


@pytest.mark.parametrize(
    ("said", "believed"),
    [("https", "https"), ("http", "http"), ("HTTPS, http", "http"), ("wss", "http"), ("", "http")],
)
def test_tls_proxy_is_believed_if_it_makes_sense(start: Start, said: str, believed: str) -> None:
    server = start(trusted_proxy=LOOPBACK)

    answer = fetch(server.port, "/", {"X-Forwarded-Proto": said})
    assert answer.forwarded("X-Forwarded-Proto") == believed


def test_tls_proxy_tells_the_address_of_the_client(start: Start) -> None:
    server = start(trusted_proxy=LOOPBACK)
    answer = fetch(server.port, "/page", {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"})

    # The first was written by the client, the last by the proxy.
    assert answer.forwarded("X-Forwarded-For") == "198.51.100.7"
    assert server.await_logged_request().startswith("198.51.100.7 ")


def test_pages_are_compressed_for_those_who_ask(port: int) -> None:
    filler = {"X-Filler": "x" * 2000}
    plain = fetch(port, "/", filler)
    packed = fetch(port, "/", {**filler, "Accept-Encoding": "gzip"})

    assert plain.headers["Content-Encoding"] is None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert b"x" * 2000 in gzip.decompress(packed.body)
    assert packed.headers["Vary"] == "Accept-Encoding"


def test_answer_of_an_unready_medagg_is_passed_on(port: int) -> None:
    answer = fetch(port, "/unready")

    assert (answer.status, answer.body) == (503, b"no worker runs")


def test_missing_medagg_is_explained(nginx_server: NginxFactory, tmp_path: Path) -> None:
    server = nginx_server(upstream_port=find_free_port(), archive_root=tmp_path)
    answer = fetch(server.port, "/")

    assert answer.status == 503
    assert answer.headers["Retry-After"] == "10"
    assert b"being updated" in answer.body


def test_nginx_is_healthy_whatever_becomes_of_medagg(
    nginx_server: NginxFactory, tmp_path: Path
) -> None:
    server = nginx_server(upstream_port=find_free_port(), archive_root=tmp_path)

    assert fetch(server.port, "/nginx-health").status == 204
    assert "nginx-health" not in server.access_log


def test_links_of_mails_are_not_logged(
    upstream: int, nginx_server: NginxFactory, tmp_path: Path
) -> None:
    server = nginx_server(upstream_port=upstream, archive_root=tmp_path)

    for path in ("/accounts/reset/Mg/a-token/", "/accounts/confirm/a-token/?x", "/images/?label=x"):
        fetch(server.port, path)
    # nginx writes a line after its answer.
    wait_until(lambda: server.access_log.count('"GET /') >= 3, what="a line of each request")
    logged = server.access_log
    assert "token" not in logged
    assert '"GET /accounts/reset/..." 200' in logged
    assert '"GET /accounts/confirm/..." 200' in logged
    assert '"GET /images/?..." 200' in logged


def test_links_of_mails_are_in_no_error(nginx_server: NginxFactory, tmp_path: Path) -> None:
    server = nginx_server(upstream_port=find_free_port(), archive_root=tmp_path)

    for path in ("/accounts/reset/Mg/a-token/", "/accounts/confirm/a-token/?x", "/images/?label=x"):
        assert fetch(server.port, path).status == 503
    assert "/images/?label=x" in server.error_log
    assert "token" not in server.error_log


def test_certificate_of_the_guide_serves_https(start: Start, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    tls_port = find_free_port()
    extra = guide_to_tls().replace("8443", f"127.0.0.1:{tls_port}")
    start(extra=extra.replace("/etc/nginx/medagg.d", str(tmp_path)))
    answer = fetch_by_tls(tls_port, tmp_path / "certificate.pem")

    assert answer.status == 200
    assert answer.forwarded("X-Forwarded-Proto") == "https"


def guide_to_tls() -> str:
    """The lines for nginx that the operator's guide gives."""
    guide = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    match = re.search(r"```nginx\n(.+?)```", guide, re.DOTALL)
    assert match
    return match[1]


def make_certificate(folder: Path) -> None:
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names, *files]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def fetch_by_tls(port: int, certificate: Path) -> Answer:
    return fetch(port, "/", tls=ssl.create_default_context(cafile=str(certificate)))


def test_bad_configuration_is_told(nginx_server: NginxFactory, tmp_path: Path) -> None:
    with pytest.raises(NginxFailedError, match="unknown directive"):
        nginx_server(upstream_port=1, archive_root=tmp_path, extra="nonsense on;")


def test_nginx_is_gone_after_its_use(upstream: int, tmp_path: Path) -> None:
    server_folder = tmp_path / "nginx"
    server_folder.mkdir()
    with run_nginx(
        program=require_program("nginx"),
        upstream=f"127.0.0.1:{upstream}",
        archive_root=tmp_path,
        folder=server_folder,
    ) as server:
        assert fetch(server.port, "/").status == 200
    with pytest.raises(ConnectionRefusedError):
        fetch(server.port, "/")


def test_template_leaves_no_name_unfilled() -> None:
    with pytest.raises(KeyError, match="MEDAGG_NGINX_RUN"):
        render_template({})
