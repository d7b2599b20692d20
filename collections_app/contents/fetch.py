#!/usr/bin/env python3
"""Fetches the files that remote.csv lists, into their folders beside this program.

    python3 fetch.py [--jobs 8] [--endpoint URL]

It needs nothing but Python 3.9 or newer. A file gets its name when it is whole: its size is
checked, and its MD5 where the source tells it. Run it again to go on: what is here is compared, and
fetched again only if it differs. At the end it says what could not be had, and then exits with 1.
Addresses of S3 are asked without credentials, at --endpoint or S3_ENDPOINT_URL where one is given.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import http.client
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET  # nosec
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, TypeVar

FOLDER = Path(__file__).resolve().parent
AMAZON = "https://{bucket}.s3.amazonaws.com"
PAUSES = (1.0, 4.0, 15.0)
TIMEOUT = 60
LEAST_RATE = 1000  # bytes a second
LISTERS = 4
CHUNK = 1 << 20
HEAD = 1024
# More than any series has: what goes on and on is no list of files. Four pages are read at a time.
MAX_LISTING, MAX_PAGES, MAX_FILES = 4 << 20, 200, 20_000
# So many in a row show that a source does not answer at all.
MAX_UNREACHABLE = 20

_S3 = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)", re.DOTALL)
_SAFE_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_MD5 = re.compile(r"([0-9a-f]{32})")
_SIZE = re.compile(r"[0-9]{1,15}")
# What stands in the place of a file: the beginnings of pages and errors, and of pointers of Git.
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype html|html|head|body|error)\b",
    re.IGNORECASE,
)
_POINTER = re.compile(rb"version https://git-lfs|(?:[./]*\.git)?/annex/objects/")
# No image begins with a whole kilobyte of letters.
_TEXT = re.compile(rb"[\t\n\r -~\x80-\xff]+")
_IMAGE = re.compile(r".*\.(?:png|jpe?g|tiff?|bmp|gif|webp|jp2|dcm|dicom|nii|nii\.gz)", re.I)
T = TypeVar("T")


class Problem(Exception):
    """It cannot be had; the message says why."""


class Unreachable(Problem):
    """It cannot be had now; trying again may help."""


class GivenUp(Problem):
    """It was not asked for, as its source does not answer."""


class Stopped(Exception):
    """The user has ended the run."""


@dataclass(frozen=True)
class Image:
    """A row of remote.csv: one file, or a folder of files if the address ends in ``/*``."""

    name: str
    url: str
    size: int
    num_files: int

    @property
    def source(self) -> str:
        """Whoever gives it out, as its address begins: the bucket or the host."""
        return "/".join(self.url.split("/", 3)[:3])


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch; a ``size`` below zero, an empty ``md5`` and ``most`` of 0 are not known.

    ``most`` are the bytes that are taken where the source does not tell a size.
    """

    name: str
    url: str
    size: int = -1
    md5: str = ""
    most: int = 0


@dataclass
class Progress:
    """What was done; it is told while it goes on, and at the end."""

    expected: int
    fetched: int = 0
    num_bytes: int = 0
    here: int = 0
    changed: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    # By source: how many in a row were unreachable, and how many were not asked for then.
    unreachable: Counter[str] = field(default_factory=Counter)
    given_up: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)
    started: float = field(default_factory=time.monotonic)
    shown: float = 0.0

    def check(self, source: str) -> None:
        """Raises Stopped or GivenUp where there is no use in asking the source."""
        if self.stopped.is_set():
            raise Stopped
        if self.unreachable[source] >= MAX_UNREACHABLE:
            raise GivenUp

    def add_bytes(self, count: int) -> None:
        if self.stopped.is_set():
            raise Stopped
        with self.lock:
            self.num_bytes += count
            self._show()

    def add(self, name: str, *, is_new: bool, is_changed: bool) -> None:
        with self.lock:
            self.fetched += is_new
            self.here += not is_new
            if is_changed:
                self.changed.append(name)
            self._show()

    def add_problem(self, name: str, source: str, problem: Problem) -> None:
        with self.lock:
            if isinstance(problem, GivenUp):
                self.given_up[source] += 1
                return
            self.problems.append((name, str(problem)))
            is_silent = isinstance(problem, Unreachable)
            self.unreachable[source] = self.unreachable[source] + 1 if is_silent else 0

    def _show(self) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() and now > self.shown + 1:
            self.shown = now
            rate = self.num_bytes / max(now - self.started, 0.001)
            expected = f" of about {say_size(self.expected)}" if self.expected else ""
            print(
                f"\r{self.fetched:,} files, {say_size(self.num_bytes)}{expected}, "
                f"{say_size(rate)}/s; {self.here:,} were here   ",
                end="", file=sys.stderr, flush=True,
            )  # fmt: skip


def say_size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def read_images(table: Path) -> Iterator[Image]:
    csv.field_size_limit(2**31 - 1)
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            # One apostrophe keeps spreadsheets from running a cell as a formula.
            name, url = (row[column].removeprefix("'") for column in ("file_name", "url"))
            size, number = (row[column] for column in ("size_bytes", "num_files"))
            yield Image(
                name,
                url,
                max(0, parse_size(size)),
                max(0, parse_size(number)),
            )


def parse_size(text: str) -> int:
    """The number, or -1 if it is none."""
    return int(text) if _SIZE.fullmatch(text) else -1


def find_target(name: str) -> Path:
    """Where the file of this name is to be; never outside of the folder ``images``."""
    parts = name.split("/")
    # Programs may obey what begins with a dot, such as .git.
    is_safe = all(part and part[0] != "." and part.isprintable() for part in parts)
    if not is_safe or parts[0] != "images" or len(parts) < 2 or set(name) & set('\\:*?"<>|'):
        raise Problem("its name is not safe")
    path = FOLDER.joinpath(*parts)
    if FOLDER / "images" not in (path.parent.resolve() / path.name).parents:
        raise Problem("a link leads its name out of this folder")
    return path


class NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Redirects stay encrypted."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
        headers: http.client.HTTPMessage, newurl: str,
    ) -> urllib.request.Request | None:  # fmt: skip
        if not newurl.startswith("https://"):
            raise Problem("the source sends elsewhere, to an address that is not https://")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_opener = urllib.request.build_opener(NoDowngrade)


def ask(url: str, method: str = "GET") -> Any:
    headers = {"User-Agent": "medagg fetch.py", "Accept-Encoding": "identity"}
    try:
        return _opener.open(
            urllib.request.Request(url, headers=headers, method=method),  # noqa: S310 - checked
            timeout=TIMEOUT,
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 410):
            raise Problem("there is nothing at its address any more") from None
        if error.code in (401, 403):
            raise Problem("the source does not give it out (forbidden)") from None
        if error.code == 429 or error.code >= 500:
            raise Unreachable(f"the source is too busy (HTTP {error.code})") from None
        raise Problem(f"the source answers with HTTP {error.code}") from None
    except ValueError:  # of an address, or of the one that the source sends to
        raise Problem("its address is not understood") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"no connection to the source: {error}") from None


class Source:
    """Where addresses lead: at Amazon, or at another endpoint for all buckets."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/")

    def find_files(self, image: Image) -> list[RemoteFile]:
        find_target(image.name)
        found = _S3.fullmatch(image.url)
        if found:
            bucket, key = found.groups()
            is_folder = key.endswith("/*")
            key = key[:-2] if is_folder else key
            if "*" in key or not all(part not in ("", ".", "..") for part in key.split("/")):
                raise Problem("its address is not understood")
            base = self._find_base(bucket)
            if is_folder:
                return self._list(base, f"{key}/", image.name)
            return [describe(image.name, f"{base}/{urllib.parse.quote(key)}", has_md5=True)]
        if image.url.startswith("https://"):
            # Letters such as ä are written so; what is written so already stays.
            url = urllib.parse.quote(image.url, safe="%!#$&'()*+,/:;=?@[]~")
            most = 2 * image.size + CHUNK if image.size else 0
            return [replace(describe(image.name, url, has_md5=False), most=most)]
        scheme = image.url.partition("://")[0]
        raise Problem(f"this program does not fetch from {scheme}://: {image.url}")

    def _find_base(self, bucket: str) -> str:
        if "{bucket}" in self._endpoint:
            # A certificate of Amazon's does not hold for a name with further dots.
            if self._endpoint == AMAZON and "." in bucket:
                return f"https://s3.amazonaws.com/{bucket}"
            return self._endpoint.replace("{bucket}", bucket)
        return f"{self._endpoint}/{bucket}"

    def _list(self, base: str, prefix: str, folder: str) -> list[RemoteFile]:
        files: dict[str, RemoteFile] = {}
        token = ""  # nosec
        for _ in range(MAX_PAGES):
            query = {"list-type": "2", "prefix": prefix, "max-keys": "1000"}
            if token:
                query["continuation-token"] = token
            page = read_listing(f"{base}?{urllib.parse.urlencode(query)}")
            for each in page.iterfind("{*}Contents"):
                key, size = each.findtext("{*}Key", ""), parse_size(each.findtext("{*}Size", ""))
                if size < 0:
                    raise Problem("the source's list of files is not understood")
                name = key[len(prefix) :] if key.startswith(prefix) else ""
                if not size and key.endswith(("/", "_$folder$")):
                    continue  # a folder, as some programs write one
                if not size:
                    raise Problem(f"the source lists {name!r} as an empty file")
                parts = name.lower().split("/")
                is_safe = all(map(_SAFE_PART.fullmatch, parts)) and parts[-1] != "head"  # of git
                if not is_safe or name.lower() in files:
                    raise Problem("the source lists a file whose name is not safe")
                md5 = find_md5(each.findtext("{*}ETag", ""))
                url = f"{base}/{urllib.parse.quote(key)}"
                files[name.lower()] = RemoteFile(f"{folder}/{name}", url, size, md5)
                if len(files) > MAX_FILES:
                    raise Problem(f"the source lists more than {MAX_FILES:,} files for it")
            token = page.findtext("{*}NextContinuationToken", "")
            if page.findtext("{*}IsTruncated", "") != "true" or not token:
                break
        else:
            raise Problem("the source's list of files does not end")
        if not files:
            raise Problem("there are no files at its address any more")
        return list(files.values())


def read_listing(url: str) -> ET.Element:
    with ask(url) as answer:
        text = bytearray()
        for chunk in read_chunks(answer):
            text += chunk
            if len(text) > MAX_LISTING:
                raise Problem("the source's list of files has more than 4 MB at a time")
        try:
            return ET.fromstring(text)  # noqa: S314 - bounded, and expat bounds entities  # nosec
        except ET.ParseError:
            raise Unreachable("the source's list of files came broken") from None


def find_md5(tag: str) -> str:
    """The MD5 that an ETag is; empty for an object that was uploaded in parts."""
    found = _MD5.fullmatch(tag.strip().strip("'\"").lower())
    return found[1] if found else ""


def describe(name: str, url: str, *, has_md5: bool) -> RemoteFile:
    try:
        with ask(url, "HEAD") as answer:
            size = parse_size(answer.headers.get("Content-Length", ""))
            md5 = find_md5(answer.headers.get("ETag", "")) if has_md5 else ""
            return RemoteFile(name, url, size, md5)
    except Unreachable:
        raise
    except Problem:
        if has_md5:
            raise
        return RemoteFile(name, url)  # some web servers only answer GET


def is_whole(path: Path, file: RemoteFile) -> bool:
    if not path.is_file():
        return False
    if file.size < 0:
        return True  # it got its name when it was whole
    if path.stat().st_size != file.size:
        return False
    return not file.md5 or hash_file(path) == file.md5


def new_md5() -> Any:
    try:
        return hashlib.md5(usedforsecurity=False)
    except TypeError:  # pragma: no cover - builds of Python without OpenSSL
        return hashlib.md5()  # noqa: S324 - against accidents  # nosec


def hash_file(path: Path) -> str:
    digest = new_md5()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return str(digest.hexdigest())


def fetch_file(file: RemoteFile, progress: Progress) -> None:
    path = find_target(file.name)
    if is_whole(path, file):
        progress.add(file.name, is_new=False, is_changed=False)
        return
    is_changed = path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name[:200]}.partial")
    try:
        download(file, partial, progress)
        partial.replace(path)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()
    progress.add(file.name, is_new=True, is_changed=is_changed)


def download(file: RemoteFile, partial: Path, progress: Progress) -> None:
    done, head, digest = 0, b"", new_md5()
    with ask(file.url) as answer, partial.open("wb") as output:
        told = parse_size(answer.headers.get("Content-Length", ""))
        expected = told if told >= 0 else file.size
        if 0 <= file.size != expected:
            raise Problem(f"it has {expected:,} bytes, not the {file.size:,} that are listed")
        most = expected if expected >= 0 else file.most
        if expected < 0 and not most:
            raise Problem("the source does not tell its size")
        try:
            for chunk in read_chunks(answer):
                done += len(chunk)
                if done > most:
                    raise Problem(f"it is longer than {most:,} bytes, which it has at most")
                head += chunk[: HEAD - len(head)]
                digest.update(chunk)
                output.write(chunk)
                progress.add_bytes(len(chunk))
            if 0 <= expected != done:
                raise Unreachable(f"the connection ended after {done:,} of {expected:,} bytes")
            if file.md5 and digest.hexdigest() != file.md5:
                raise Unreachable("what came is not what is listed (MD5)")
            refuse_placeholder(head, file.name)
        except BaseException:
            with progress.lock:
                progress.num_bytes -= done
            raise


def refuse_placeholder(head: bytes, name: str) -> None:
    """Raises Problem where a file that begins so only stands in the place of another."""
    if not head:
        raise Problem("the source sends an empty file")
    if _POINTER.match(head):
        raise Problem("the source sends a pointer of Git instead of a file")
    if _PAGE.match(head):
        raise Problem("the source sends a web page instead of a file")
    if _TEXT.fullmatch(head) and _IMAGE.fullmatch(name):
        raise Problem("the source sends a text instead of an image")


def read_chunks(answer: Any) -> Iterator[bytes]:
    """What comes, as it comes; a source that sends byte by byte is given up."""
    begin, done = time.monotonic(), 0
    while True:
        try:
            chunk = bytes(answer.read1(CHUNK))
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"the connection to the source broke: {error}") from None
        if not chunk:
            return
        done += len(chunk)
        seconds = time.monotonic() - begin
        if seconds > TIMEOUT and done < seconds * LEAST_RATE:
            raise Unreachable(f"the source sends fewer than {LEAST_RATE:,} bytes a second")
        yield chunk


def try_again(function: Callable[[], T], source: str, progress: Progress) -> T:
    """The function's result; what may pass is tried again after growing pauses."""
    for pause in PAUSES:
        progress.check(source)
        try:
            return function()
        except Unreachable:
            progress.stopped.wait(pause)
    return function()


def look_ahead(
    pool: ThreadPoolExecutor, function: Callable[[Image], T], images: Iterable[Image]
) -> Iterator[tuple[Image, Future[T]]]:
    """Each image with its future, in order; a few of the next ones are on their way."""
    waiting: deque[tuple[Image, Future[T]]] = deque()
    for image in images:
        waiting.append((image, pool.submit(function, image)))
        if len(waiting) > 4 * LISTERS:
            yield waiting.popleft()
    yield from waiting


def fetch_all(images: Iterable[Image], source: Source, jobs: int, progress: Progress) -> None:
    room = threading.BoundedSemaphore(4 * jobs)

    def find(image: Image) -> list[RemoteFile]:
        try:
            return try_again(lambda: source.find_files(image), image.source, progress)
        except (OSError, ValueError) as error:
            raise Problem(f"it cannot be looked up: {error}") from None

    def fetch(file: RemoteFile, source: str) -> None:
        try:
            try_again(lambda: fetch_file(file, progress), source, progress)
            progress.unreachable[source] = 0
        except Problem as problem:
            progress.add_problem(file.name, source, problem)
        except OSError as error:
            progress.add_problem(file.name, source, Problem(f"it cannot be written: {error}"))
        except ValueError as error:
            progress.add_problem(file.name, source, Problem(f"it cannot be had: {error}"))
        finally:
            room.release()

    with ThreadPoolExecutor(LISTERS) as listers, ThreadPoolExecutor(jobs) as fetchers:
        try:
            for image, future in look_ahead(listers, find, images):
                try:
                    files = future.result()
                except Problem as problem:
                    progress.add_problem(image.name, image.source, problem)
                    continue
                if image.num_files and image.url.endswith("/*") and len(files) != image.num_files:
                    progress.add_problem(image.name, image.source, Problem(
                        f"the source lists {len(files):,} files, and the catalog knew "
                        f"{image.num_files:,}: it has changed"))  # fmt: skip
                for file in files:
                    room.acquire()
                    fetchers.submit(fetch, file, image.source)
            for _ in range(4 * jobs):
                room.acquire()
        except BaseException:
            progress.stopped.set()
            raise


def report(progress: Progress) -> int:
    for name in sorted(progress.changed):
        print(f"{name}: what was here was not what is listed, and was fetched again")
    for name, problem in sorted(progress.problems):
        print(f"{name}: {problem}", file=sys.stderr)
    for source, count in sorted(progress.given_up.items()):
        print(
            f"{source}: it does not answer, and was not asked for {count:,} more. "
            "Run this again later.",
            file=sys.stderr,
        )
    num_problems = len(progress.problems) + sum(progress.given_up.values())
    print(
        f"{progress.fetched:,} files fetched ({say_size(progress.num_bytes)}), "
        f"{progress.here:,} were here already, {num_problems:,} problems."
    )
    return 1 if num_problems else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetches the files that remote.csv lists.")
    parser.add_argument("--jobs", type=int, default=8, help="files at a time (default: 8)")
    endpoint = os.environ.get("S3_ENDPOINT_URL") or AMAZON
    parser.add_argument("--endpoint", default=endpoint, help=f"of S3 (default: {endpoint})")
    options = parser.parse_args()
    if not options.endpoint.startswith(("https://", "http://")) or options.jobs < 1:
        parser.error("--endpoint is an address such as https://s3.example.org, --jobs at least 1")
    table = FOLDER / "remote.csv"
    progress = Progress(expected=sum(image.size for image in read_images(table)))
    try:
        fetch_all(read_images(table), Source(options.endpoint), options.jobs, progress)
    except KeyboardInterrupt:
        print("\nStopped. Run it again to go on.", file=sys.stderr)
        return 130
    return report(progress)


if __name__ == "__main__":
    sys.exit(main())
