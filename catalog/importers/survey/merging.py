"""Which rows of the survey are one dataset, and which are one that the catalog has already.

The rules, in this order; the first that applies is the reason that is given:

1. A row whose name stands in an entry's ``rows`` is that entry; people have looked at it.
2. A row that an omission names is no dataset.
3. A name that is, but for case and signs, an entry's title, slug or name of a row: that entry.
4. A collection of The Cancer Imaging Archive whose id is an entry's slug is that entry.
5. The same address, and names that begin with the same word: a part of that entry.
6. What is left is new. Rules 3 to 5 also join such rows with one another.

Where a rule joins what it should not, name the row in an entry or an omission of its own.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from catalog.importers.survey.rows import SurveyRow

_NOT_WORD = re.compile(r"[\W_]+")
_WORD = re.compile(r"[a-z]{3,}|\d+")
_NOT_OF_SLUG = re.compile(r"[^a-z0-9]+")
_COLLECTION = re.compile(
    r"cancerimagingarchive\.net/(?:collection|analysis-result)/([a-z0-9_-]+)(?:[/?#]|$)"
)
_PAGE_OF_SITE = re.compile(r"/(?:home|data|dataset|download|index\.html?)?/?$")


@dataclass(slots=True)
class Group:
    """Rows that are one dataset, whose ``slug`` is that of an entry, or of a new one.

    Rows that people have looked at (``is_known``) are a group of their own; ``reasons`` are by
    name.
    """

    slug: str
    is_known: bool = False
    is_new: bool = False
    rows: list[SurveyRow] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return sorted({row.name for row in self.rows}, key=str.casefold)


def group_rows(
    rows: Sequence[SurveyRow],
    *,
    entries: Sequence[Mapping[str, Any]],
    omissions: Sequence[Mapping[str, Any]],
) -> list[Group]:
    """All rows but those of omissions, by dataset."""
    known = {name: entry["slug"] for entry in entries for name in entry.get("rows", ())}
    omitted = {name for each in omissions for name in each["rows"]}
    index = _Index(entries)
    groups: dict[tuple[str, bool], Group] = {}
    for row in rows:
        if row.name in omitted:
            continue
        is_known = row.name in known
        slug, reason = (known[row.name], "known") if is_known else index.find(row)
        group = groups.setdefault((slug, is_known), Group(slug, is_known, is_new=slug in index.new))
        group.rows.append(row)
        group.reasons.setdefault(row.name, reason)
    return list(groups.values())


class _Index:
    """Finds entries by what a row says; a row that finds none is a new entry for those after it."""

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self.new = set[str]()
        self._slugs = {entry["slug"] for entry in entries}
        self._uses: Counter[str] = Counter()
        self._by_name: dict[str, str] = {}
        self._by_address: dict[tuple[str, str], str] = {}  # and the first word of the name
        for entry in entries:
            names = [entry["slug"], entry.get("title", ""), *entry.get("rows", ())]
            self._add(entry["slug"], names, entry.get("source_url", ""))

    def find(self, row: SurveyRow) -> tuple[str, str]:
        """The slug of the row's entry, and why it is that one."""
        for slug, reason in self._candidates(row):
            if slug:
                self._add(slug, [row.name], row.address)
                return slug, reason
        slug = self._free_slug(row)
        self.new.add(slug)
        self._slugs.add(slug)
        self._add(slug, [slug, row.name], row.address)
        return slug, "new"

    def _candidates(self, row: SurveyRow) -> Iterator[tuple[str, str]]:
        yield self._by_name.get(name_key(row.name), ""), "the same name"
        collection = find_collection(row.address)
        yield (collection if collection in self._slugs else ""), "the same TCIA collection"
        first = _first_word(row.name)
        same = self._by_address.get((address_key(row.address), first), "")
        yield same, f"the same address, and “{first}” begins both names"

    def _add(self, slug: str, names: Sequence[str], address: str) -> None:
        for name in filter(None, names):
            self._by_name.setdefault(name_key(name), slug)
            if (key := address_key(address)) and (word := _first_word(name)):
                self._by_address.setdefault((key, word), slug)

    def _free_slug(self, row: SurveyRow) -> str:
        base = find_collection(row.address) or make_slug(row.name)
        slug = base
        while slug in self._slugs:
            self._uses[base] += 1
            slug = f"{base}-{self._uses[base] + 1}"
        return slug


def name_key(name: str) -> str:
    """A name without case and signs."""
    return _NOT_WORD.sub("", name.casefold())


def address_key(address: str) -> str:
    """An address without what differs between links to one page; '' for none."""
    plain = re.sub(r"^https?://(www\.)?", "", address.strip().casefold())
    return _PAGE_OF_SITE.sub("", plain).rstrip("/")


def find_collection(address: str) -> str:
    """The id of a collection of TCIA, as the Imaging Data Commons writes it; '' for other pages."""
    found = _COLLECTION.search(address.casefold())
    return found[1].replace("-", "_") if found else ""


def make_slug(name: str) -> str:
    return _NOT_OF_SLUG.sub("-", name.casefold()).strip("-")[:60].strip("-") or "dataset"


def _first_word(name: str) -> str:
    found = _WORD.search(name.casefold())
    return found[0] if found else ""
