"""Asks the addresses of datasets whether they answer, politely, and keeps when they did.

One request at a time for each host, with a pause between two; a few hosts at once.
"""

import socket
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event
from urllib.parse import urljoin, urlsplit

import urllib3
from django.utils import timezone
from urllib3.util import parse_url

from catalog.models import Dataset, LinkCheck
from catalog.storage.guarded_http import make_pool, refuse_private

HOSTS_AT_ONCE = 4
PAUSE_SECONDS = 2.0
TIMEOUT_SECONDS = 20.0
MAX_REDIRECTS = 6
# Sites that refuse a program still show that they are there.
_REFUSALS = frozenset({401, 403, 405, 406, 429, 999})
_USER_AGENT = "medagg link check (HEAD requests, a few each minute)"


@dataclass(frozen=True, slots=True)
class LinkAnswer:
    """``problem`` is empty if the address answered; ``note`` says how, if not plainly."""

    slug: str
    url: str
    problem: str = ""
    note: str = ""


def check_links(
    datasets: Iterable[Dataset],
    *,
    pause_seconds: float = PAUSE_SECONDS,
    allow_private: bool = False,
    on_answer: Callable[[LinkAnswer], None],
) -> None:
    """Ask all addresses, keep the answers, and pass each on as it comes.

    Private addresses of networks are not asked unless ``allow_private``: an entry is not to make
    this server ask its neighbours.
    """
    by_host: dict[str, list[Dataset]] = defaultdict(list)
    for dataset in datasets:
        by_host[urlsplit(dataset.source_url).hostname or ""].append(dataset)
    checker = _Checker(pause_seconds, allow_private)
    # A host's last answer is followed by None. Only this thread writes, at once what is known: a
    # run that is stopped keeps what it has.
    answers = SimpleQueue[tuple[Dataset, LinkAnswer] | None]()
    with ThreadPoolExecutor(HOSTS_AT_ONCE) as threads:
        asked = [threads.submit(checker.ask_all, group, answers) for group in by_host.values()]
        try:
            for _ in asked:
                while found := answers.get():
                    _keep(*found)
                    on_answer(found[1])
        finally:
            checker.is_stopped.set()
        for each in asked:
            each.result()


def _keep(dataset: Dataset, answer: LinkAnswer) -> None:
    now = timezone.now()
    values = {"url": answer.url, "checked_at": now, "problem": answer.problem[:200]}
    seen = {} if answer.problem else {"seen_at": now}
    check, is_new = LinkCheck.objects.get_or_create(dataset=dataset, defaults=values | seen)
    if not is_new:
        # An address that was changed was never seen before.
        forgotten = {"seen_at": None} if check.url != answer.url else {}
        LinkCheck.objects.filter(pk=check.pk).update(**values, **(forgotten | seen))


class _Checker:
    def __init__(self, pause_seconds: float, allow_private: bool) -> None:
        self.pause_seconds, self.allow_private = pause_seconds, allow_private
        self.is_stopped = Event()
        self.pool = make_pool(
            allow_private=allow_private, seconds=TIMEOUT_SECONDS, agent=_USER_AGENT
        )

    def ask_all(
        self,
        datasets: list[Dataset],
        answers: SimpleQueue[tuple[Dataset, LinkAnswer] | None],
    ) -> None:
        """Ask for the datasets of one host, one after the other."""
        try:
            for number, dataset in enumerate(datasets):
                if number and self.is_stopped.wait(self.pause_seconds):
                    return
                problem, note = self._ask(dataset.source_url)
                answer = LinkAnswer(dataset.slug, dataset.source_url, problem, note)
                answers.put((dataset, answer))
        finally:
            answers.put(None)

    def _ask(self, url: str) -> tuple[str, str]:
        """What is wrong with an address, and what is to be said of it all the same."""
        try:
            for _ in range(MAX_REDIRECTS):
                self._refuse_private(url)
                response = self.pool.request("HEAD", url, redirect=False, preload_content=False)
                status, target = response.status, response.headers.get("Location", "")
                response.close()
                if 300 <= status < 400 and target:
                    url = urljoin(url, target)
                    continue
                return self._judge(status)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return _explain(error), ""
        return f"It leads on and on, more than {MAX_REDIRECTS} times.", ""

    def _judge(self, status: int) -> tuple[str, str]:
        if status < 400:
            return "", ""
        if status in _REFUSALS:
            return "", f"answers programs with {status}"
        return f"It answers with the status {status}.", ""

    def _refuse_private(self, url: str) -> None:
        # As urllib3 reads it: other parsers find another host in “http://a\\@b”.
        parts = parse_url(url)
        if parts.scheme not in ("http", "https") or not parts.host:
            raise ValueError("It is no address of a page.")
        if self.allow_private:
            return
        host, port = parts.host.strip("[]"), parts.port or 443
        for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            refuse_private(str(place[0]))


def _explain(error: Exception) -> str:
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, (urllib3.exceptions.NameResolutionError, socket.gaierror)):
        return "The name of its server is not known."
    if isinstance(error, urllib3.exceptions.NewConnectionError):  # some versions: a TimeoutError
        return "It could not be reached."
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return f"It did not answer within {TIMEOUT_SECONDS:.0f} seconds."
    if isinstance(error, urllib3.exceptions.SSLError):
        return "Its certificate is not valid."
    return "It could not be reached."
