"""Listings of buckets (ListObjectsV2), read within bounds: whoever sends them is not trusted."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from xml.parsers import expat  # no document types: see below  # nosec

from catalog.storage.problems import Changed, Unreachable, read_tag

# More files than any series has: a listing that goes on and on is none.
MAX_OBJECTS = 20_000
MAX_PAGES = 200
# As S3's; with the longest keys that it allows they have two megabytes.
MAX_PAGE_OBJECTS = 1000
MAX_PAGE_BYTES = 4 << 20
_MAX_KEY_BYTES, _MAX_TOKEN, _MAX_DEPTH = 1024, 8192, 8
_SIZE = re.compile(r"[0-9]{1,18}", re.ASCII)
_OF_OBJECT = {"Key", "Size", "ETag"}
_OF_PAGE = {"IsTruncated", "NextContinuationToken"}
# Of XML Schema; who says nothing has a token where there is more.
_TRUE, _FALSE = {"true", "1"}, {"false", "0", ""}
_UNREADABLE = "what the source lists cannot be read"


class StoredObject(NamedTuple):
    """An object of a bucket; ``tag`` is its ETag as it was told."""

    key: str
    size: int
    tag: str


class Page(NamedTuple):
    """Some objects of a listing; ``next_token`` asks for more, and is None at the end."""

    objects: list[StoredObject]
    next_token: str | None


def iter_objects(
    ask_page: Callable[[str], Page], on_page: Callable[[int], None]
) -> Iterator[StoredObject]:
    """The objects of all pages; ``ask_page`` gets the token of each, empty for the first.

    ``on_page`` gets the number of objects so far, and may wait.

    Raises:
        Changed: there are too many, or the pages do not end.
    """
    token, count = "", 0
    for _ in range(MAX_PAGES):
        page = ask_page(token)
        count += len(page.objects)
        if count > MAX_OBJECTS:
            raise Changed(f"the source lists more than {MAX_OBJECTS:,} files for it")
        on_page(count)
        yield from page.objects
        if page.next_token is None:
            return
        if page.next_token in ("", token):
            break
        token = page.next_token
    raise Changed("the source's listing does not end")


def read_listing(chunks: Iterable[bytes]) -> Page:
    """A page, from its XML as it comes.

    Raises:
        Unreachable: it is no listing.
        Changed: it is too long, or lists what no bucket can have.
    """
    reader, size = _Reader(), 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_PAGE_BYTES:
            raise Changed(f"the source lists more than {MAX_PAGE_BYTES >> 20} MB at a time")
        reader.feed(chunk)
    return reader.finish()


class _Reader:
    def __init__(self) -> None:
        self._objects: list[StoredObject] = []
        self._path: list[str] = []
        self._text: list[str] = []
        self._object: dict[str, str] = {}
        self._page: dict[str, str] = {}
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = _refuse_document_type
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append

    def feed(self, chunk: bytes, *, is_last: bool = False) -> None:
        try:
            self._parser.Parse(chunk, is_last)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise Unreachable(_UNREADABLE) from error

    def finish(self) -> Page:
        self.feed(b"", is_last=True)
        token = self._page.get("NextContinuationToken", "")
        if len(token) > _MAX_TOKEN:
            raise Unreachable(_UNREADABLE)
        told = self._page.get("IsTruncated", "").strip().casefold()
        if told not in _TRUE | _FALSE:
            raise Unreachable(_UNREADABLE)
        is_cut = bool(token) if told == "" else told in _TRUE
        return Page(self._objects, token if is_cut else None)

    def _start(self, name: str, _: object) -> None:
        self._path.append(name)
        self._text.clear()
        if len(self._path) > _MAX_DEPTH or self._path[0] != "ListBucketResult":
            raise ValueError(name)

    def _end(self, name: str) -> None:
        match self._path:
            case [_, "Contents", _] if name in _OF_OBJECT:
                self._object[name] = "".join(self._text)
            case [_, "Contents"]:
                self._objects.append(_make_object(self._object))
                self._object.clear()
                if len(self._objects) > MAX_PAGE_OBJECTS:
                    raise Changed(f"the source lists more than {MAX_PAGE_OBJECTS:,} at a time")
            case [_, _] if name in _OF_PAGE:
                self._page[name] = "".join(self._text)
        self._path.pop()
        self._text.clear()


def _make_object(found: dict[str, str]) -> StoredObject:
    key, size = found.get("Key", ""), found.get("Size", "")
    if not key or len(key.encode()) > _MAX_KEY_BYTES or not _SIZE.fullmatch(size):
        raise Changed("the source lists a file whose name or size no bucket can have")
    return StoredObject(key, int(size), read_tag(found.get("ETag", "")))


def _refuse_document_type(*_: object) -> None:
    """No listing has one, and without it there are no entities."""
    raise ValueError("a document type")
