"""Checks that gunicorn in this container answers on /healthz/; exits with 0 or 1, for Docker.

A script of the standard library alone: it runs every few seconds, and importing Django would cost
more than the check.
"""

import http.client
import os
import sys
from http import HTTPStatus

PORT = 8000
SECONDS = 5.0


def main(port: int = PORT) -> None:
    try:
        status = ask(port)
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"the web server does not answer: {error}")
    if status != HTTPStatus.OK:
        sys.exit(f"/healthz/ answers {status}")


def ask(port: int) -> int:
    """The status of /healthz/ on this machine. Raises OSError or HTTPException without one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/healthz/", headers={"Host": allowed_host()})
        return connection.getresponse().status
    finally:
        connection.close()


def allowed_host() -> str:
    """The first host name in ALLOWED_HOSTS."""
    names = [name.strip() for name in os.environ.get("ALLOWED_HOSTS", "").split(",")]
    first = next((name for name in names if name and name != "*"), "localhost")
    return first.removeprefix(".")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
