"""The licences of the images that match, with the numbers of images under each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from catalog.search.columns import Rows
from catalog.search.filters import DatasetFilterSet, ImageFilterSet
from vocab.models import NOT_STATED, License
from vocab.text import TermRef


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
    sums = filters.counted.sums_by("dataset", "license")
    known = License.objects.in_bulk({pk for counts in sums.values() for pk in counts})
    return {dataset: _share(counts, known) for dataset, counts in sums.items()}


@dataclass(frozen=True, slots=True)
class OtherLicenses:
    """That some images of a dataset have another licence than the dataset.

    ``num_asked`` of them have one that is asked for, which the dataset itself has not; ``names``
    are those of these licences.
    """

    num_asked: int = 0
    names: str = ""


def find_other_licenses(
    filters: DatasetFilterSet, dataset_ids: Sequence[int]
) -> dict[int, OtherLicenses]:
    """Of these datasets those some of whose images have another licence, by id."""
    snapshot = filters.snapshot
    rows = Rows(snapshot.images).where(snapshot.images.columns["dataset"].any_of(dataset_ids))
    asked = _list_asked(filters)
    datasets = Rows(snapshot.datasets).where(
        snapshot.datasets.columns["dataset"].any_of(dataset_ids)
    )
    own = {pk: next(iter(of))
           for pk, of in datasets.count().sums_by("dataset", "own_license").items()}  # fmt: skip
    others = {}
    for pk, counts in rows.count().sums_by("dataset", "license").items():
        if found := {each: n for each, n in counts.items() if each and each != own[pk]}:
            others[pk] = _ask_others(found, own[pk], asked)
    return others


def _list_asked(filters: DatasetFilterSet) -> dict[int, str]:
    """The names of the licences that filters and words ask for, by id."""
    refs: list[TermRef] = [*filters.cleaned.get("license", ())]
    for match in filters.parsed_query.matches:
        if match.name == "license":
            refs += (value for value in match.values if isinstance(value, TermRef))
    return {ref.id: ref.name for ref in refs}


def _ask_others(counts: Mapping[int, int], own: int, asked: Mapping[int, str]) -> OtherLicenses:
    if own in asked:
        return OtherLicenses()
    found = {pk: count for pk, count in counts.items() if pk in asked}
    return OtherLicenses(sum(found.values()), ", ".join(sorted(asked[pk] for pk in found)))


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
