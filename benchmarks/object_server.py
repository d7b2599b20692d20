"""Objects in a bucket, served as S3 does by nginx: files as they are, listings made beforehand.

It is fast enough to hide nothing of the programs that fetch from it. What it serves is made once
from a seed.
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from urllib.parse import quote
from xml.sax.saxutils import escape

from benchmarks.downloads import find_nginx
from benchmarks.folder import Folder
from benchmarks.processes import ProgramFailedError

BUCKET = "bench-objects"
START_SECONDS = 20.0
BLOCK = 1 << 20
MARK = "made.json"
CONFIGURATION = """\
{user}
daemon off;
master_process on;
worker_processes 2;
pid {place}/nginx.pid;
error_log {place}/error.log error;
events {{ worker_connections 512; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000;
  default_type application/octet-stream;
  etag off;
  map_hash_max_size 65536;
  map_hash_bucket_size 128;
  map $uri $tag {{ include {place}/*.tags; }}
  client_body_temp_path {place}/body;
  proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi;
  scgi_temp_path {place}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {place};
    add_header ETag $tag;
    location ~ ^/{bucket}/?$ {{
      default_type application/xml;
      try_files /listings/$arg_prefix.xml =404;
    }}
  }}
}}
"""
ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
    "<ETag>&quot;{md5}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass>"
    "</Contents>"
)
LISTING = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name>'
    "<Prefix>{prefix}</Prefix><KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys>"
    "<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
)


@dataclass(frozen=True, slots=True)
class ObjectSet:
    """``series`` folders of ``objects`` objects of ``size`` bytes each, all different."""

    slug: str
    series: int
    objects: int
    size: int

    @property
    def count(self) -> int:
        return self.series * self.objects

    @property
    def num_bytes(self) -> int:
        return self.count * self.size

    @property
    def prefixes(self) -> list[str]:
        """Of the keys of each series."""
        return [f"{self.slug}/{number:04}" for number in range(self.series)]

    def part(self, percent: float) -> "ObjectSet":
        """A share of the set, at least one series."""
        return replace(self, series=max(1, int(self.series * percent / 100)))


def make_objects(place: Path, objects: ObjectSet) -> None:
    """Make the set in the folder of the server; a finished one of an earlier run is used again."""
    home, wanted = place / BUCKET / objects.slug, json.dumps(asdict(objects), sort_keys=True)
    mark = home / MARK
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(home, ignore_errors=True)
    listings = place / "listings"
    listings.mkdir(parents=True, exist_ok=True)
    random = Random(objects.slug)  # noqa: S311 - not a secret
    tags = []
    for prefix in objects.prefixes:
        (place / BUCKET / prefix).mkdir(parents=True)
        keys = [f"{prefix}/{number:04}.dcm" for number in range(objects.objects)]
        md5s = [_write_random(place / BUCKET / key, objects.size, random) for key in keys]
        tags += [f"/{BUCKET}/{key} '\"{md5}\"';\n" for key, md5 in zip(keys, md5s, strict=True)]
        entries = [
            ENTRY.format(key=escape(key), md5=md5, size=objects.size)
            for key, md5 in zip(keys, md5s, strict=True)
        ]
        text = LISTING.format(
            bucket=BUCKET, prefix=f"{prefix}/", count=len(keys), entries="".join(entries)
        )
        # The name is the prefix as it stands in the address of a request.
        (listings / f"{quote(prefix + '/', safe='')}.xml").write_text(text, encoding="utf-8")
    (place / f"{objects.slug}.tags").write_text("".join(tags), encoding="utf-8")
    mark.write_text(wanted, encoding="utf-8")


def _write_random(path: Path, size: int, random: Random) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("wb") as file:
        for start in range(0, size, BLOCK):
            block = random.randbytes(min(BLOCK, size - start))
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


@contextmanager
def serve_objects(folder: Folder, place: Path) -> Iterator[str]:
    """The endpoint of the server, until the block ends. Raises ProgramFailedError."""
    program = find_nginx()
    if program is None:
        raise ProgramFailedError("the objects are served by nginx: install it first")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Of root's nginx the workers would be nobody, who may not read here.
    user = "user root;" if os.geteuid() == 0 else ""
    text = CONFIGURATION.format(user=user, place=place, port=port, bucket=BUCKET)
    (place / "nginx.conf").write_text(text, encoding="utf-8")
    (place / "listings/.xml").touch()  # for who asks whether there is such a bucket
    log = (folder.logs / "object-server.log").open("wb")
    command = [program, "-e", str(place / "error.log"), "-c", str(place / "nginx.conf")]
    with log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        _await(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise ProgramFailedError("nginx does not serve the objects: see object-server.log")
