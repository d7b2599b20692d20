"""The fixed values that filters offer, as they stand in URLs and as people read them."""

from dataclasses import dataclass

from django.db.models import Q

from catalog.models import MAX_AGE_YEARS, Sex

UNKNOWN = "unknown"
SEX_CHOICES = [*Sex.choices, (UNKNOWN, "Unknown")]
AGE_CHOICES = [
    *[(f"{year}-{year + 9}", f"{year}–{year + 9} years") for year in range(0, MAX_AGE_YEARS, 10)],
    (UNKNOWN, "Unknown"),
]
LOCAL_CHOICES = [("1", "On this server"), ("0", "Elsewhere")]
LABEL_MODES = [("any", "any of them"), ("all", "all of them")]
SIZE_CHOICES = [
    ("lt1", "under 1 GB"),
    ("1-10", "1 to 10 GB"),
    ("10-100", "10 to 100 GB"),
    ("gt100", "over 100 GB"),
    (UNKNOWN, "not stated"),
]
SIZE_RANGES = {
    "lt1": Q(size_mb__lt=1_000),
    "1-10": Q(size_mb__gte=1_000, size_mb__lt=10_000),
    "10-100": Q(size_mb__gte=10_000, size_mb__lt=100_000),
    "gt100": Q(size_mb__gte=100_000),
    UNKNOWN: Q(size_mb__isnull=True),
}
# Parameters of pages that filter nothing, and what mail programs and social networks add.
NEUTRAL_PARAMETERS = frozenset({"page", "sort", "fbclid", "gclid"})


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    """One value in force, for chips and for a collection's page: Label: Nodule."""

    name: str
    title: str
    value: str
    text: str
