"""Forms parse and validate; ``collections_app.services`` decides what happens."""

from typing import Any

from django import forms

from catalog.limits import is_printable


class NewCollectionForm(forms.Form):
    """The name of a new collection, and the filters and number of images that the user was shown.

    ``email`` is the user's address; without one, no mail is offered. ``can_fetch`` offers to fetch
    files from elsewhere.
    """

    title = forms.CharField(
        max_length=120,
        label="Name",
        help_text="Also names the folder in the ZIP.",
        error_messages={"required": "Give the collection a name."},
    )
    wants_mail = forms.BooleanField(required=False, label="E-mail me when it is ready")
    fetch = forms.BooleanField(required=False, label="Fetch into the ZIP what lies elsewhere")
    expected_images = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    filters = forms.CharField(required=False, widget=forms.HiddenInput, max_length=20_000)

    def __init__(self, *args: Any, email: str = "", can_fetch: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.email = email
        if not email:
            del self.fields["wants_mail"]
        if not can_fetch:
            del self.fields["fetch"]

    def clean_title(self) -> str:
        title = " ".join(self.cleaned_data["title"].split())
        if not is_printable(title):
            raise forms.ValidationError("The name has signs that nobody sees. Type it anew.")
        return title
