"""How many files an archive has: a series is one item and many files."""

from django.db.models import IntegerField, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce

from collections_app.models import Collection
from collections_app.provenance_keys import NUM_FILES


def keep_number_of_files(collection: Collection) -> None:
    """Count the files of the items in the archive; the caller saves the collection."""
    of_series = Cast(KT("metadata_json__num_files"), IntegerField())
    included = collection.items.included().exclude(file_name="")
    collection.provenance[NUM_FILES] = included.aggregate(n=Sum(Coalesce(of_series, 1)))["n"] or 0
