from typing import Any

from django.http import HttpRequest

from collections_app.news import News, read_news
from collections_app.picked import read_picked


def picked_images(request: HttpRequest) -> dict[str, Any]:
    """The picked images, for the ticks of the grid and the tray at the foot of the page."""
    if not hasattr(request, "session"):
        return {}
    ids = read_picked(request.session)
    return {"picked_ids": ids, "picked_query": ",".join(map(str, ids))}


def news(request: HttpRequest) -> dict[str, Any]:
    """``news``: what has happened to the user's collections; read only by a page that shows it."""
    if not hasattr(request, "session") or not hasattr(request, "user"):
        return {}

    def read() -> News:
        return read_news(request.session, request.user)

    return {"news": read}
