from typing import Any

from django.http import HttpRequest

from collections_app.picked import read_picked


def picked_images(request: HttpRequest) -> dict[str, Any]:
    """The picked images, for the ticks of the grid and the tray at the foot of the page."""
    if not hasattr(request, "session"):
        return {}
    ids = read_picked(request.session)
    return {"picked_ids": ids, "picked_query": ",".join(map(str, ids))}
