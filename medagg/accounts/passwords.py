"""What a new password must be, and what it ends."""

from typing import Any

from django.contrib.auth.password_validation import UserAttributeSimilarityValidator

from medagg.models import WaitingAddress


class PasswordOfAccount(UserAttributeSimilarityValidator):
    """As Django's. Whoever sets a new password, wherever, drops the address that waits.

    Who knew the old one may have entered it, and would have the account by a mailbox of theirs.
    """

    def password_changed(self, password: str, user: Any = None) -> None:
        """Django calls it once the user is saved with the password."""
        WaitingAddress.objects.filter(user_id=user.pk).delete()
