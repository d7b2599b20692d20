"""Actions of an owner on a collection, each by a POST to its own URL.

Actions that delete something first ask on a page of their own. If the state has changed meanwhile,
a message says so.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from collections_app import services
from collections_app.builds.expiry import describe_expiry
from collections_app.builds.problems import count_problems
from collections_app.builds.progress import describe_progress
from collections_app.models import Collection, Status
from collections_app.notices.page import expect_notices
from collections_app.selection.refusals import NotBuildable
from collections_app.views.common import get_collection, sign_in_to_act

IS_QUEUED = "The archive is being built again."


def _act(
    request: HttpRequest, collection: Collection, action: Callable[..., Any], done: str
) -> HttpResponseRedirect:
    try:
        action(collection=collection)
        messages.success(request, done)
    except (services.NotPossibleNow, NotBuildable) as error:
        messages.error(request, str(error))
    except Collection.DoesNotExist as error:  # deleted in another tab meanwhile
        raise Http404 from error
    return redirect(collection)


def _refuse(request: HttpRequest, collection: Collection, reason: str) -> HttpResponseRedirect:
    messages.error(request, reason)
    return redirect(collection)


@require_POST
@sign_in_to_act
def collection_retry(request: HttpRequest, uuid: UUID) -> HttpResponse:
    collection = get_collection(request, uuid)
    expect_notices(request.session)
    return _act(request, collection, services.retry_collection, IS_QUEUED)


@require_POST
@sign_in_to_act
def collection_rebuild(request: HttpRequest, uuid: UUID) -> HttpResponse:
    collection = get_collection(request, uuid)
    expect_notices(request.session)
    return _act(request, collection, services.rebuild_collection, IS_QUEUED)


@require_POST
@sign_in_to_act
def collection_extend(request: HttpRequest, uuid: UUID) -> HttpResponse:
    collection = get_collection(request, uuid)
    return _act(request, collection, services.extend_collection, "The archive is kept for longer.")


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def collection_build_without(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Explain what excluding the bad files means; a POST excludes them and builds."""
    collection = get_collection(request, uuid)
    num_problems = count_problems(collection)
    if collection.status != Status.FAILED or not num_problems:
        return _refuse(request, collection, "This collection has no files with a problem now.")
    last_build = str(collection.last_build.pk) if collection.last_build else ""
    if request.method != "POST":
        context = {
            "num_problems": num_problems,
            "num_left": collection.num_images - num_problems,
            "build_id": last_build,
        }
        return _ask(request, collection, "build_without", context)
    # Another build may have found as many others.
    is_of_last = request.POST.get("build", last_build) == last_build
    if request.POST.get("expected") != str(num_problems) or not is_of_last:
        return _refuse(request, collection, services.explain_changed_list(num_problems))
    if num_problems >= collection.num_images:
        return _refuse(request, collection, "No image would be left in the archive.")
    expect_notices(request.session)
    done = "The archive is being built without these files. missing.csv will list them."
    exclude = partial(services.build_without_problems, expected=num_problems)
    return _act(request, collection, exclude, done)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def collection_cancel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask whether to cancel, as a build may have run for hours; a POST cancels it."""
    collection = get_collection(request, uuid)
    if request.method == "POST":
        return _act(request, collection, services.cancel_build, "The build is cancelled.")
    if collection.status != Status.PENDING:
        reason = f"There is nothing to cancel: the collection is {collection.status}."
        return _refuse(request, collection, reason)
    return _ask(request, collection, "cancel", {"progress": describe_progress(collection)})


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def collection_expire(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Explain what stays when the archive is removed; a POST removes it."""
    collection = get_collection(request, uuid)
    if request.method == "POST":
        done = "The archive is removed. The collection stays."
        return _act(request, collection, services.expire_collection, done)
    if collection.status != Status.READY:
        reason = f"There is no archive to remove: the collection is {collection.status}."
        return _refuse(request, collection, reason)
    return _ask(request, collection, "expire", {})


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def collection_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    collection = get_collection(request, uuid)
    if request.method != "POST":
        progress, expiry = describe_progress(collection), describe_expiry(collection)
        return _ask(request, collection, "delete", {"progress": progress, "expiry": expiry})
    services.delete_collection(collection=collection)
    messages.success(request, f"“{collection.title}” is deleted.")
    return redirect("collection-list")


def _ask(
    request: HttpRequest, collection: Collection, question: str, context: dict[str, Any]
) -> HttpResponse:
    context = {"collection": collection, **context}
    return render(request, f"collections/{question}.html", context)
