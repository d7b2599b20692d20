"""Forms: they parse and validate; what follows is decided in ``collections_app.services``."""

from django import forms


class NewCollectionForm(forms.Form):
    """The name of a new collection and what its builder was shown."""

    title = forms.CharField(
        max_length=120,
        label="Name",
        help_text="Also names the folder in the ZIP.",
        error_messages={"required": "Give the collection a name."},
    )
    expected_images = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    filters = forms.CharField(required=False, widget=forms.HiddenInput, max_length=20_000)

    def clean_title(self) -> str:
        return " ".join(self.cleaned_data["title"].split())
