"""What a decoder that is broken into can no longer reach."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from catalog.imaging.decoding.confinement import find_landlock_version
from catalog.imaging.decoding.decoder import Decoder
from catalog.tests.imaging.hostile_files import save

pytestmark = pytest.mark.skipif(not find_landlock_version(), reason="The kernel has no Landlock.")
_ROOT = Path(__file__).parents[3]
# What runs in the confined process, which has a file and a socket of the time before.
_SCRIPT = """
import os, signal, socket, sys
sys.path.insert(0, sys.argv[1])
from catalog.imaging.decoding.confinement import confine
secret, port, parent = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
opened = open(secret)
assert confine()
def refused(what, *arguments):
    try:
        what(*arguments)
    except PermissionError:
        return True
    return False
assert opened.read() == "secret", "What was open stays open."
print(refused(open, secret), refused(open, secret + ".new", "w"), refused(os.listdir, "/"),
      refused(os.unlink, secret), refused(open, f"/proc/{parent}/environ"),
      refused(socket.create_connection, ("127.0.0.1", port)), refused(os.kill, parent, 0))
import colorsys
print(colorsys.__name__)
"""


def test_no_file_no_connection_and_no_other_process(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        words = [str(_ROOT), str(secret), str(port), str(os.getpid())]
        done = subprocess.run(
            [sys.executable, "-I", "-c", _SCRIPT, *words],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stderr == ""
    answers, module = done.stdout.splitlines()
    version = find_landlock_version()
    assert answers.split() == ["True"] * 5 + [str(version >= 4), str(version >= 6)]
    assert module == "colorsys", "Code is still loaded at its first use."
    assert secret.exists()


def test_the_processes_that_decode_are_confined(tmp_path: Path) -> None:
    own = Decoder()
    path = tmp_path / "x.png"
    path.write_bytes(save("PNG"))
    with path.open("rb") as file:
        own.decode(file, name="x.png", max_edge=64)
    assert own._process
    status = Path(f"/proc/{own._process.pid}/status").read_text(encoding="ascii")
    own.close()
    assert "NoNewPrivs:\t1" in status
