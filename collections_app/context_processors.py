from typing import Any

from django.http import HttpRequest

from collections_app.notices.page import News, read_news
from collections_app.selection.basket import read_picked


def picked_images(request: HttpRequest) -> dict[str, Any]:
    """The picked images, for the ticks of the grid and the tray at the foot of the page."""
    if not hasattr(request, "session"):
        return {}
    ids = read_picked(request.session)
    return {"picked_ids": ids, "picked_query": ",".join(map(str, ids))}


def news(request: HttpRequest) -> dict[str, Any]:
    """``news``: what has happened to the user's collections; read only by a page that shows it.

    Each is told once, so an answer that nobody looks at has none.
    """
    if not hasattr(request, "session") or not hasattr(request, "user"):
        return {}
    if not _is_looked_at(request):
        return {"news": News()}

    def read() -> News:
        return read_news(request.session, request.user)

    return {"news": read}


def _is_looked_at(request: HttpRequest) -> bool:
    """Whether the answer is to be a page of its own, as far as the browser says what it is for.

    Headers: W3C "Fetch Metadata Request Headers"; Sec-Purpose is of the Fetch standard.
    """
    is_page = request.headers.get("Sec-Fetch-Dest", "document") == "document"
    is_in_advance = "prefetch" in request.headers.get("Sec-Purpose", "")
    return request.method != "HEAD" and is_page and not is_in_advance
