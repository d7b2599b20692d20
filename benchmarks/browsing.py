"""Visitors that browse at random: a page, its previews, some seconds of thought, a link on it."""

import html
import http.client
import re
import threading
import time
from dataclasses import dataclass, field
from random import Random

START = "/images/"
THINK_SECONDS = (2.0, 8.0)
TIMEOUT_SECONDS = 60.0
# Where visitors go; not to forms, downloads and what is another step's topic.
_LINK = re.compile(r'href="(/(?:images|datasets)/(?:[\w-]+/)?(?:\?[^"#]*)?)"')
_PREVIEW = re.compile(r'src="(/images/\d+/preview/[^"]*)"')


@dataclass(frozen=True, slots=True)
class Visit:
    """One answer: when it was there, after how many seconds, and what was wrong with it."""

    when: float
    seconds: float
    is_page: bool
    error: str = ""


@dataclass
class Crowd:
    """``count`` visitors, each a thread with a random walk of its own that can be repeated."""

    host: str
    port: int
    count: int
    visits: list[Visit] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Crowd":
        for number in range(self.count):
            thread = threading.Thread(target=self._browse, args=(Random(number),), daemon=True)  # noqa: S311 - no secret
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def between(self, start: float, end: float) -> list[Visit]:
        return [visit for visit in self.visits if start <= visit.when < end]

    def _browse(self, random: Random) -> None:
        path = START
        # Not all at the same moment.
        pause = random.uniform(0, THINK_SECONDS[1])
        while not self._over.wait(pause):
            body = self._get(path, is_page=True)
            for preview in dict.fromkeys(_PREVIEW.findall(body)):
                self._get(html.unescape(preview), is_page=False)
            links = [html.unescape(link) for link in _LINK.findall(body)]
            path = random.choice(links) if links else START
            pause = random.uniform(*THINK_SECONDS)

    def _get(self, path: str, *, is_page: bool) -> str:
        """The text of a page, the empty string if there is none."""
        start = time.monotonic()
        body, error = b"", ""
        try:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_SECONDS)
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                body = response.read()
                if response.status != http.HTTPStatus.OK:
                    error = f"{response.status} {path}"
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as trouble:
            error = f"{type(trouble).__name__} {path}"
        end = time.monotonic()
        # A list's append needs no lock.
        self.visits.append(Visit(end, end - start, is_page, error))
        return body.decode(errors="replace") if is_page and not error else ""
