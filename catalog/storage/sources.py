"""Where files lie elsewhere: asks the places that the operator allows, and no others.

Nothing else opens such an address.
"""

from collections.abc import Callable, Iterator

from django.conf import settings

from catalog.storage.addresses import is_of_idc, parse_bucket_address
from catalog.storage.buckets import list_objects, read_object
from catalog.storage.problems import Gone, ListedFile, NotAllowed, SourceProblem
from catalog.storage.web import list_pages, read_page

MOST_SECONDS = 3600


def list_places() -> list[str]:
    """The buckets and hosts that the operator allows, each as an address begins."""
    buckets = [f"s3://{bucket}" for bucket in settings.FETCH_BUCKETS]
    return [*buckets, *(f"https://{host}" for host in settings.FETCH_HOSTS)]


def can_fetch(address: str) -> bool:
    """Whether this server may fetch what lies at the address."""
    *place, path = address.split("/", 3) if address.count("/") > 2 else ("", "")
    if not path or "/".join(place) not in list_places():
        return False
    if address.startswith("https://"):
        return not path.endswith("/*")  # a web server lists no folders
    return parse_bucket_address(address) is not None


def list_files(
    address: str,
    *,
    seconds: int = MOST_SECONDS,
    on_page: Callable[[int], None] = lambda num_files: None,
) -> list[ListedFile]:
    """The files at an address, sorted by name; one for an address that is no folder.

    Those of a folder may be empty, as where a copy of it was interrupted.

    ``seconds`` is how long a request may take, with its answer. ``on_page`` gets the number of
    files of a folder so far, between requests, and may wait.

    Raises:
        SourceProblem: the place is not allowed, has nothing there, or does not answer.
    """
    _require_allowed(address)
    if address.startswith("https://"):
        return list_pages(address, seconds=seconds)
    return list_objects(address, seconds=seconds, on_page=on_page)


def read_file(address: str, file: ListedFile, *, seconds: int = MOST_SECONDS) -> Iterator[bytes]:
    """The bytes of a listed file, in chunks, which take at most ``seconds`` in all.

    Raises:
        SourceProblem: it is gone, is not given out, or the connection breaks; at their end: they
            are not those of the listed MD5.
    """
    _require_allowed(address)
    if address.startswith("https://"):
        return read_page(file, seconds=seconds)
    return read_object(address, file, seconds=seconds)


def name_release(problem: SourceProblem, address: str, release: str) -> SourceProblem:
    """The problem; of what is gone from the IDC, whose data ``release`` the address is of, more."""
    if not isinstance(problem, Gone) or not release or not is_of_idc(address):
        return problem
    return Gone(
        f"it is no longer at its address of IDC release {release}; import_idc with a newer index "
        "finds where it is now"
    )


def _require_allowed(address: str) -> None:
    if can_fetch(address):
        return
    scheme, _, rest = address.partition("://")
    place, separator, _ = rest.partition("/")
    if scheme not in ("s3", "https") or not separator or f"{scheme}://{place}" in list_places():
        raise NotAllowed("its address is none that this server can fetch")
    kind = "bucket" if scheme == "s3" else "host"
    raise NotAllowed(f"this server does not fetch from the {kind} {place}")
