from typing import Any

from django.http import HttpRequest

from collections_app.notices.page import Notices, read_notices
from collections_app.selection.basket import read_basket


def basket(request: HttpRequest) -> dict[str, Any]:
    """The picked images, for the ticks of the grid and the tray at the foot of the page."""
    if not hasattr(request, "session"):
        return {}
    ids = read_basket(request.session)
    return {"basket_ids": ids, "basket_query": ",".join(map(str, ids))}


def notices(request: HttpRequest) -> dict[str, Any]:
    """``notices``: how the user's builds ended; read only by a page that shows them.

    Each is shown once, so a response that nobody looks at has none.
    """
    if not hasattr(request, "session") or not hasattr(request, "user"):
        return {}
    if not _is_looked_at(request):
        return {"notices": Notices()}

    def read() -> Notices:
        return read_notices(request.session, request.user)

    return {"notices": read}


def _is_looked_at(request: HttpRequest) -> bool:
    """Whether the response is to be a page of its own, as far as the browser says.

    Headers: W3C "Fetch Metadata Request Headers"; Sec-Purpose is of the Fetch standard.
    """
    is_page = request.headers.get("Sec-Fetch-Dest", "document") == "document"
    is_in_advance = "prefetch" in request.headers.get("Sec-Purpose", "")
    return request.method != "HEAD" and is_page and not is_in_advance
