"""Which columns of the tables of a BIDS dataset have the participant, the sex and the age."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from catalog.importers.parsers import clean
from catalog.importers.tables.identifying_columns import find_unsafe_together, is_left_out
from catalog.importers.tables.labels import fold
from vocab.text import normalize

PEOPLE = ("participantid", "participant", "subjectid", "subject", "sub")
VISITS = ("sessionid", "session", "ses")
_SEXES = ("sex", "gender", "sexatbirth", "biologicalsex", "participantsex", "patientsex",
          "subjectsex", "geschlecht", "sexe", "sexo", "genero", "sesso",
          "geslacht")  # fmt: skip
_WORDS = {
    "years": ("years", "year", "yrs", "yr", "y"),
    "months": ("months", "month", "mos", "mo"),
    "weeks": ("weeks", "week", "wks", "wk"),
    "days": ("days", "day", "d"),
}
_UNITS = {word: unit for unit, words in _WORDS.items() for word in words}
# Ages at other times than that of the image, such as the onset or the baseline, are not its age.
_SCANS = ("scan|scanning|mri?|pet|ct|imaging|acquisition|session|visit|exam|examination|study|test"
          "|testing")  # fmt: skip
_NAMED_UNITS = "years?|yrs?|months?|weeks?|days?"
_AGE_THEN = re.compile(
    rf"(?:participant|patient|subject)?(?:ageat(?:the)?(?:timeof)?(?:{_SCANS})|(?:{_SCANS})age)"
    rf"(?:in)?(?P<unit>{_NAMED_UNITS})?"
)
_AGE = re.compile(
    rf"(?:participant|patient|subject)?(?:age|alter|edad|idade|leeftijd)"
    rf"(?:in)?(?P<unit>{_NAMED_UNITS})?"
)


# Counted from conception, a newborn has 40 weeks. dHCP gives no unit, but the age at birth, too.
_FROM_CONCEPTION = re.compile(r"post ?menstrual|post ?concept|gestation|\bpma\b|corrected age")
_AT_BIRTH = frozenset({"birthage", "ageatbirth", "gestationalage", "gestage", "gaatbirth"})


@dataclass(slots=True)
class Columns:
    """The columns of a table: which of them has what, and what the JSON file beside it says."""

    key: str
    session: str  # where participants have a row for each
    sex: str
    age: str
    age_unit: str  # '' if it is none that is understood
    stated_unit: str  # '' if nothing says it
    levels: Mapping[str, str]  # the words for the codes of sexes
    others: list[str]
    identifying: list[str]
    is_m_unsure: bool = False
    have_ages_a_sex: bool = False


def find_columns(names: Iterable[str], notes: Mapping[str, Any], keys: Iterable[str]) -> Columns:
    """The columns among `names`; `keys` are what that of participants or sessions is called.

    `notes` are those of the JSON file beside the table, by column.
    """
    compact: dict[str, str] = {}
    for name in names:
        compact.setdefault(normalize(name).replace(" ", ""), name)
    key, sex = (next((compact[each] for each in words if each in compact), "")
                for words in (keys, _SEXES))  # fmt: skip
    age, unit_of_name = _find_age(compact)
    told = {name.strip().casefold(): note for name, note in notes.items() if isinstance(note, dict)}
    stated = _find_stated_unit(age, unit_of_name, told.get(age.casefold(), {}))
    others = [name for name in names if name and name not in (key, sex, age)]
    together = find_unsafe_together(others)
    unsafe = [name for name in others if name in together or is_left_out(name)]
    return Columns(
        key=key,
        session="" if keys is VISITS else next((compact[w] for w in VISITS if w in compact), ""),
        sex=sex,
        age=age,
        age_unit="years" if stated is None else stated,
        stated_unit=stated or "",
        levels=_read_levels(told.get(sex.casefold(), {})),
        others=[name for name in others if name not in unsafe],
        identifying=unsafe,
    )


def _find_age(compact: Mapping[str, str]) -> tuple[str, str]:
    """The column of the age at the scan, or else of the age, and the unit in its name, if any."""
    for pattern in (_AGE_THEN, _AGE):
        for form, name in compact.items():
            if found := pattern.fullmatch(form):
                return name, _UNITS.get(found["unit"], "")
    return "", ""


def _find_stated_unit(age: str, unit_of_name: str, note: Mapping[str, Any]) -> str | None:
    """The unit that the JSON file or the column's name says; '' if none can be told from these.

    None if nothing is said, as where BIDS means years.
    """
    said = {str(key).strip().casefold(): clean(str(text)) for key, text in note.items()}
    units = said.get("units") or said.get("unit") or ""
    description = f"{said.get('longname', '')} {said.get('description', '')}"
    if _FROM_CONCEPTION.search(normalize(f"{age} {units} {description}")):
        return ""
    if units:
        return _read_unit(units)
    return unit_of_name or _read_unit(description) or None


def has_ages_at_birth(names: Iterable[str]) -> bool:
    """Whether ages at birth stand beside others, which may be counted from conception, too."""
    return any(normalize(name).replace(" ", "") in _AT_BIRTH for name in names)


def _read_unit(text: str) -> str:
    """The unit that a text such as ``years (decimal)`` names; '' if it names none, or several."""
    units = {_UNITS[word] for word in normalize(text).split() if word in _UNITS}
    return units.pop() if len(units) == 1 else ""


def _read_levels(note: Mapping[str, Any]) -> dict[str, str]:
    """``{"1": "male"}`` or ``{"1": {"Description": "male"}}``, the codes in their normal form."""
    levels = note.get("Levels")
    if not isinstance(levels, dict):
        return {}
    words = {
        fold(str(code)): word.get("Description", "") if isinstance(word, dict) else word
        for code, word in levels.items()
    }
    return {code: word for code, word in words.items() if isinstance(word, str)}
