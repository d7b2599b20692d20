from typing import Any

from django.http import HttpRequest

from collections_app.notices.page import Notices, read_notices
from collections_app.selection.basket import read_basket


def basket(request: HttpRequest) -> dict[str, Any]:
    """The images in the basket, for the ticks in the grid and the bar at the foot of the page."""
    if not hasattr(request, "user"):
        return {}
    ids = read_basket(request)
    return {"basket_ids": ids, "basket_query": ",".join(map(str, ids))}


def notices(request: HttpRequest) -> dict[str, Any]:
    """``notices``: how the user's builds ended; read only if the template shows them.

    Each notice is shown once, so a response that nobody sees has none.
    """
    if not hasattr(request, "session") or not hasattr(request, "user"):
        return {}
    if not _is_page(request):
        return {"notices": Notices()}

    def read() -> Notices:
        return read_notices(request.session, request.user)

    return {"notices": read}


def _is_page(request: HttpRequest) -> bool:
    """Whether the response will be shown as a page, judging by the browser's headers.

    See W3C "Fetch Metadata Request Headers"; Sec-Purpose is in the Fetch standard.
    """
    is_document = request.headers.get("Sec-Fetch-Dest", "document") == "document"
    is_prefetch = "prefetch" in request.headers.get("Sec-Purpose", "")
    return request.method != "HEAD" and is_document and not is_prefetch
