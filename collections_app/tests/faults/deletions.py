"""The ways to delete a collection: alone, or with its owner."""

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from collections_app.models import Collection
from collections_app.services import delete_account, delete_collection
from collections_app.tests.factories import UserFactory


def staff_browser() -> Client:
    browser = Client()
    browser.force_login(UserFactory(username="curator", is_staff=True, is_superuser=True))
    return browser


def delete_in_admin(collection: Collection) -> None:
    address = reverse("admin:auth_user_delete", args=[collection.user_id])
    assert staff_browser().post(address, {"post": "yes"}).status_code == 302


def delete_by_admin_action(collection: Collection) -> None:
    form = {"action": "delete_selected", "_selected_action": collection.user_id, "post": "yes"}
    address = reverse("admin:auth_user_changelist")
    assert staff_browser().post(address, form).status_code == 302


def delete_plainly(collection: Collection) -> None:
    """Delete as a shell would, or a package that does not know collections."""
    User.objects.get(pk=collection.user_id).delete()


def delete_with_service(collection: Collection) -> None:
    delete_account(user=collection.user)


def delete_only_it(collection: Collection) -> None:
    delete_collection(collection=collection)


OWNER_GOES = [delete_with_service, delete_in_admin, delete_by_admin_action, delete_plainly]
