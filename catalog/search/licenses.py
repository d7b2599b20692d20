"""The licences of the images that match, with the numbers of images under each."""

from collections.abc import Collection
from dataclasses import dataclass

from catalog.search.filters import ImageFilterSet
from vocab.models import NOT_STATED, License


@dataclass(frozen=True, slots=True)
class LicenseShare:
    """Images under one licence; None stands for "not stated"."""

    license: License | None
    num_images: int

    @property
    def allows_commercial_use(self) -> bool | None:
        """None if that is not known."""
        return self.license.allows_commercial_use if self.license else None


def count_licenses(filters: ImageFilterSet) -> list[LicenseShare]:
    """The licences of all matching images, the most frequent first."""
    counts = filters.counted.sums("license")
    return _share(counts, License.objects.in_bulk(counts))


def count_licenses_by_dataset(filters: ImageFilterSet) -> dict[int, list[LicenseShare]]:
    """The same for each dataset, by its id."""
    sums: dict[int, dict[int, int]] = {}
    for (dataset, license_), count in filters.counted.sums_of_pairs("dataset", "license").items():
        sums.setdefault(dataset, {})[license_] = count
    known = License.objects.in_bulk({pk for counts in sums.values() for pk in counts})
    return {dataset: _share(counts, known) for dataset, counts in sums.items()}


def _share(counts: dict[int, int], known: dict[int, License]) -> list[LicenseShare]:
    stated = {pk: term for pk, term in known.items() if term.code != NOT_STATED}
    unstated = sum(count for pk, count in counts.items() if pk not in stated)
    shares = [LicenseShare(term, counts[pk]) for pk, term in stated.items() if pk in counts]
    if unstated:
        shares.append(LicenseShare(None, unstated))
    return sorted(shares, key=_by_number)


def _by_number(share: LicenseShare) -> tuple[int, str]:
    return -share.num_images, share.license.code if share.license else ""


def allow_commercial_use(allowed: Collection[bool | None]) -> bool | None:
    """Whether all licences allow it: False if one does not, None if one is not known to."""
    if False in allowed:
        return False
    return None if None in allowed else True
