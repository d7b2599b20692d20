"""E-mail addresses, of which one mailbox has one spelling."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.encoding import punycode

MAX_ADDRESS = 254


def write_domain_as_mail(address: str) -> str:
    """The address with its domain as mail is sent to it: by IDNA (RFC 3490), in small letters.

    Raises:
        UnicodeError: no domain can be written so.
    """
    name, at, domain = address.rpartition("@")
    return f"{name}{at}{punycode(domain).lower()}"


class AddressField(forms.EmailField):
    """An address; several spellings of a domain, such as those with full-width letters, are one.

    No name in quotation marks. No domain without a dot and no number, which would be machines of
    the mail server's network.
    """

    default_validators = [EmailValidator(allowlist=[])]

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.EmailInput(attrs={"autocomplete": "email"})
        super().__init__(**{"max_length": MAX_ADDRESS, "widget": widget, **kwargs})

    def clean(self, value: Any) -> str:
        address: str = super().clean(value)  # which refuses a long one first
        if '"' in address:
            # Between them, and behind backslashes, one name has any number of spellings.
            raise ValidationError("Give the address without quotation marks.")
        if not address.rpartition("@")[0].isascii():
            # Hardly any server has mail for others, of which Django's check takes some letters.
            raise ValidationError("Give an address with letters from a to z before the @.")
        try:
            written = write_domain_as_mail(address)
        except UnicodeError as error:
            raise ValidationError("Enter a valid email address.") from error
        # It may have become longer, and another one.
        self.run_validators(written)
        if written.endswith("]"):
            raise ValidationError("Give an address with the name of its mail server, not a number.")
        return written
