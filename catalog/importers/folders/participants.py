"""The participants of a BIDS dataset and their sessions, from its tables.

Source: BIDS specification 1.10, "Data summary files": ``participants.tsv`` with a row for each
participant, ``sub-<label>/sub-<label>_sessions.tsv`` with a row for each session, and beside them
JSON files that give ``Units`` and ``Levels``. Published tables also write ``Gender`` or
``age_at_scan``, and commas instead of tabs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from catalog.importers.double_meanings import DoubleMeanings
from catalog.importers.folders.bids_files import Sheet, read_object, read_sheet
from catalog.importers.folders.participant_columns import (
    PEOPLE,
    VISITS,
    Columns,
    find_columns,
    has_ages_at_birth,
)
from catalog.importers.parsers import Reading, clean, parse_age, parse_sex
from catalog.importers.tables.columns import (
    FIRST_ROWS,
    KEPT,
    PROSE,
    USED,
    explain_cut,
    explain_exclusion,
    is_prose,
    rank_fate,
    say_sample,
)
from catalog.importers.tables.identifying_cells import drop_from_fact, drop_from_text
from catalog.importers.tables.labels import fold
from catalog.importers.tables.lines import show

_TABLE, _SESSIONS = "participants.tsv", "sub-…_sessions.tsv"
_SHOWN = 5


class Person(NamedTuple):
    """Sex (F, M, O or '') and age in years; ``metadata`` has the other cells.

    Among these are cells of sex and age that were not understood, or only in part.
    """

    sex: str = ""
    age_years: float | None = None
    metadata: Mapping[str, str] = {}


@dataclass(slots=True)
class _People:
    """The rows of a table by label. ``unread`` counts words by column, ``twice`` has labels.

    Where participants have a row for each session, ``found`` is what all of them say.

    ``samples`` are values by column, ``cut`` the columns of cells that were left out, or a part,
    ``prose`` those that seem to be free text.
    """

    columns: Columns
    problems: tuple[str, ...] = ()
    found: dict[str, Person] = field(default_factory=dict)
    by_session: dict[tuple[str, str], Person] = field(default_factory=dict)
    unread: Counter[tuple[str, str]] = field(default_factory=Counter)
    twice: list[str] = field(default_factory=list)
    samples: dict[str, str] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    prose: tuple[str, ...] = ()


class Participants:
    """Finds the sex, age and other columns of a participant in a session.

    ``notes`` are sentences for the report; ``excluded_columns`` may identify people. ``fates`` say
    what becomes of each column of the tables, by path; those of sessions count as one.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        sheet = read_sheet(root, _TABLE)
        self._people = _read_people(sheet, read_object(root, "participants.json"), PEOPLE, "sub-")
        self._has_ages_at_birth = has_ages_at_birth(sheet.names)
        self._visits: dict[str, _People] = {}
        self._asked: set[str] = set()
        self._general = read_object(root, "sessions.json")
        self.excluded_columns = list(self._people.columns.identifying)
        self.notes = list(_describe_problems(_TABLE, self._people))
        self.fates = {_TABLE: _find_fates(self._people, "participant_id")} if sheet.names else {}
        if any(sheet.rows) and not self._people.columns.key:
            self.notes.append(
                f"{_TABLE} has no column participant_id, so it was not used: name it so"
            )

    def find(self, subject: str, session: str) -> Person:
        """An age of the session counts, and if there are such ages, no other."""
        self._asked.add(subject)
        person = self._people.found.get(subject, Person())
        person = self._people.by_session.get((subject, session), person)
        if not (subject and session):
            return person
        visits = self._visits.get(subject)
        if visits is None:
            visits = self._visits[subject] = self._read_visits(subject)
        visit = visits.found.get(session, Person())
        if not visits.columns.age:
            return Person(
                visit.sex or person.sex, person.age_years, {**person.metadata, **visit.metadata}
            )
        kept = {k: v for k, v in person.metadata.items() if k != self._people.columns.age}
        return Person(visit.sex or person.sex, visit.age_years, {**kept, **visit.metadata})

    def describe_unmatched(self) -> Iterator[str]:
        """A sentence on the participants whom `find` was not asked for, if there are any."""
        every = self._people.found
        if lost := [label for label in every if label not in self._asked]:
            yield (
                f"{_TABLE}: {len(lost):,} of {len(every):,} participants have no images under that "
                f"name, such as {', '.join(map(show, lost[:_SHOWN]))}"
            )

    def _read_visits(self, subject: str) -> _People:
        path = f"sub-{subject}/sub-{subject}_sessions"
        notes = self._general | read_object(self._root, f"{path}.json")
        sheet = read_sheet(self._root, f"{path}.tsv")
        visits = _read_people(sheet, notes, VISITS, "ses-", are_ages_unsure=self._has_ages_at_birth)
        new = [each for each in visits.columns.identifying if each not in self.excluded_columns]
        self.excluded_columns += new
        self.notes += _describe_problems(f"{path}.tsv", visits)
        if sheet.names:
            fates = self.fates.setdefault(_SESSIONS, {})
            for name, fate in _find_fates(visits, "session_id").items():
                fates[name] = max(fates.get(name, fate), fate, key=rank_fate)
        return visits


def _read_people(
    sheet: Sheet,
    notes: Mapping[str, Any],
    keys: Iterable[str],
    prefix: str,
    *,
    are_ages_unsure: bool = False,
) -> _People:
    people = _People(find_columns(sheet.names, notes, keys), sheet.problems)
    if are_ages_unsure or has_ages_at_birth(sheet.names):
        people.columns.age_unit = people.columns.stated_unit
    _find_double_meanings(sheet, people.columns)
    key, first = people.columns.key, sheet.rows[:FIRST_ROWS]
    others = people.columns.others
    people.prose = tuple(n for n in others if is_prose(clean(row.get(n, "")) for row in first))
    for row in sheet.rows if key else ():
        label = clean(row.get(key, "")).removeprefix(prefix)
        if not label:
            continue
        person = _read_person(row, people)
        people.found[label] = _agree(people.found.get(label, person), person)
        session = clean(row.get(people.columns.session, "")).removeprefix("ses-")
        known = people.by_session.setdefault((label, session), person)
        if known != person:
            people.twice.append(label)
            people.by_session[label, session] = _agree(known, person)
    return people


def _find_double_meanings(sheet: Sheet, columns: Columns) -> None:
    meanings = DoubleMeanings()
    for row in sheet.rows:
        word = row.get(columns.sex, "")
        meanings.add_sex(word, _read_sex(word, columns).value)
        meanings.add_age(row.get(columns.age, ""))
    columns.is_m_unsure = meanings.is_m_unsure
    columns.have_ages_a_sex = meanings.have_ages_a_sex


def _agree(one: Person, other: Person) -> Person:
    """What two rows of a participant both say; where they differ, nothing is known."""
    return Person(
        one.sex if one.sex == other.sex else "",
        one.age_years if one.age_years == other.age_years else None,
        dict(one.metadata.items() & other.metadata.items()),
    )


# --- Rows ---
def _read_person(row: Mapping[str, str], people: _People) -> Person:
    columns = people.columns
    words = {name: clean(row.get(name, "")) for name in (columns.sex, columns.age) if name}
    sex = _read_sex(words.get(columns.sex, ""), columns)
    age = _read_age(words.get(columns.age, ""), columns)
    if not sex.exact and not sex.value:
        people.unread[columns.sex, words[columns.sex]] += 1
    if not age.exact and age.value is None:
        people.unread[columns.age, words[columns.age]] += 1
    inexact = [name for name, each in ((columns.sex, sex), (columns.age, age)) if not each.exact]
    metadata = {}
    for name in (*inexact, *columns.others):
        cell = row.get(name, "")
        kept = drop_from_fact(cell, name) if name in inexact else drop_from_text(cell, name)
        if kept != cell:
            people.cut.add(name)
        if text := clean(kept):
            metadata[name] = text
            people.samples.setdefault(name, text)
    return Person(sex.value, age.value, metadata)


def _read_sex(word: str, columns: Columns) -> Reading[str]:
    """The meaning of a code counts before its own."""
    meaning = parse_sex(columns.levels.get(fold(word), "")) if word else Reading("")
    if meaning.value and meaning.exact:
        return meaning
    is_unsure = columns.is_m_unsure and word.casefold() == "m"
    return Reading("", exact=False) if is_unsure else parse_sex(word)


def _read_age(word: str, columns: Columns) -> Reading[float | None]:
    is_unsure = columns.have_ages_a_sex and word[-1:].isalpha()
    if (columns.age_unit and not is_unsure) or not word:
        return parse_age(word, unit=columns.age_unit or "years")
    return Reading(None, exact=False)


def _find_fates(people: _People, key: str) -> dict[str, str]:
    """What becomes of each column, for a dry run, with a value of those that are kept.

    `key` is what a column has to be called, without which none is read.
    """
    columns = people.columns
    fates = dict.fromkeys(filter(None, (columns.key, columns.sex, columns.age)), USED)
    if not columns.key:
        return dict.fromkeys((*fates, *columns.others), f"left out: there is no {key}")
    for name in columns.others:
        cut = say_sample("") if name in people.cut else ", empty"
        sample = say_sample(people.samples[name]) if name in people.samples else cut
        fates[name] = KEPT + sample + (PROSE if name in people.prose else "")
    return fates | {name: f"left out: {explain_exclusion(name)}" for name in columns.identifying}


def _describe_problems(path: str, people: _People) -> Iterable[str]:
    columns = people.columns
    yield from (f"{path} {problem}" for problem in people.problems)
    if people.cut:
        yield f"{path}: {explain_cut(sorted(people.cut))}"
    for name, what in ((columns.sex, "a sex"), (columns.age, "an age")):
        words = {word: count for (column, word), count in people.unread.items() if column == name}
        if name and words:
            hint = "Levels" if name == columns.sex else "Units"
            yield (
                f"{path}: {sum(words.values()):,} cells of {show(name)} are not {what} that is "
                f"understood, such as “{show(next(iter(words)))}”: say what they mean with {hint} "
                f"in {path.removesuffix('.tsv')}.json"
            )
    if people.twice:
        names = show(", ".join(dict.fromkeys(people.twice)))
        yield f"{path}: rows of {names} contradict each other; where they differ nothing is known"
