"""Whether a text that is no object tells who somebody is: a name, and a value behind it.

The names are those of the rule for columns, as `named_values` finds them in any notation and as
elements and attributes of XML; and the attributes of DICOM, by tag in any form that programs print.
The value has to tell something.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain

from catalog.importers.tables.embedded_files import SHORTEST_FILE, is_file_of_words
from catalog.importers.tables.identifying_columns import is_bare_name, is_identifying
from catalog.importers.tables.identifying_dicom import (
    is_dumped,
    is_keyword,
    is_listed_tag,
    strip_tag,
)
from catalog.importers.tables.identifying_patterns import NAME_AND_MORE
from catalog.importers.tables.identifying_values import (
    has_mail_address,
    is_name_of_person,
    tells_value,
)
from catalog.importers.tables.named_values import FACTS, SURE_WORDS, iter_named
from catalog.importers.tables.xml_texts import iter_marked, strip_comments, strip_markup
from vocab.text import normalize

# A text without these has no name and value, unless a tag or a keyword stands in it.
_SIGNS = re.compile(r"[:=：＝<\[(\t\n^#@]")
# Most other texts are addresses, dates, times and numbers.
_PLAIN = re.compile(r"\w++://\S++|[\d\s:./TZ+,-]++|[][\d\s.,+e-]++")
# The segment of HL7 with the patient's name.
_HL7 = re.compile(r"\bPID\|")
# A person's name as DICOM's toolkit prints it of a report.
_PNAME = re.compile(r"""\bPNAME:\([^()]{0,300}\)="([^"]{1,300})""")
# As in `D.O.B.`, and what else an ending may be: `né(e)`.
_DOTTED = re.compile(r"(?<!\w)(?:[^\W\d_]\.){1,5}[^\W\d_](?!\w)\.?")
_ENDING = re.compile(r"(?<=[^\W\d_])\([^\W\d_]{1,2}\)")
# A number behind its sign: `MRN#12`.
_NUMBERED = re.compile(
    r"(?<!\w)(?P<name>[^\W\d_]{1,20}(?: [^\W\d_]{1,20}){0,2})#\s*+:?\s*+(?P<number>\S{1,99})"
)
# Whose name it is that stands behind a colon.
_WHOSE = r"""
    patient(?:in|e|s)?|pat\.?|pt|paciente|paziente|pacjent(?:ka)?|пациент(?:ка)?
    |pasien|bệnh\snhân|ασθενής|pacient(?:ka)?|beteg|potilas|врач(?:-рентгенолог)?|doktor
    |(?:attending\s|reading\s|referring\s|reporting\s|ordering\s|interpreting\s)?
        (?:physician|radiologist|surgeon|doctor|sonographer|technologist|cardiologist|pathologist)
    |m[ée]dic[oa]|radi[óo]log[oa]|m[ée]decin|radiologue|[äa]rzt(?:in)?|radiolog(?:e|in)
    |attending|consultant|reader|ref(?:erred)?\.?\sby
    |(?:reported|read|dictated|interpreted|signed|approved|verified|finali[sz]ed|transcribed)\sby
"""
_PATIENT = re.compile(
    rf"(?<![\w-])(?:{_WHOSE})[\s*]*+[:=][\s*]*+([^\n\t|;(\[<>]{{2,60}})", re.IGNORECASE | re.VERBOSE
)
_WHO = re.compile(_WHOSE, re.IGNORECASE | re.VERBOSE)
# The day of a birth without a sign before it.
_BORN = re.compile(
    r"(?<!\w)(?:born(?:\son)?|geb(?:oren)?\.?(?:\s(?:am|op))?|n[ée]e?\sle|nat[oa]\sil|nacid[oa]\sel)"
    r"\s(?:\d{1,2}[./-]\d{1,2}[./-]\d\d|\d{4}-\d\d-\d\d|\d{1,2}\.?\s[^\W\d]{3,10}\s\d{4})",
    re.IGNORECASE,
)
# The same where names have no capitals: of a patient beside the sex or the age.
_PATIENT_OF_CJK = re.compile(
    r"(?:患者|患儿|病人|病患|受检者)\s*[:：]\s*(?![^，,、\s]{0,5}[男女性岁歲歳年儿兒])[\u4e00-\u9fff]{2,4}"
    r"[，,、\s(（/]+(?:[男女]|\d{1,3}\s*[岁歲歳])"
    r"|환자\s*[:：]\s*(?![남여]|소아|성인)[가-힣]{2,4}[,，\s(（/]+(?:[남여]|\d{1,3}\s*세)"
)
_STAFF_OF_CJK = re.compile(
    r"(?:(?:报告|審核|审核|診斷|诊断|判讀|主治|検査|読影|担当)(?:医师|医生|醫師|医)|판독의|담당의)\s*[:：]\s*"
    r"(?!未知|不明|匿名|主任|미상)(?:[\u4e00-\u9fff]{2,4}|[가-힣]{2,4})(?![\w名の])"
)
_LETTERS, _DIGITS = re.compile(r"[^\W\d_]{2}"), re.compile(r"\d+")
_TELLING = (_BORN, _PATIENT_OF_CJK, _STAFF_OF_CJK)
# No name that identifies people is longer, or has more words.
_LONGEST_NAME, _MOST_SPACES = 80, 8
_BIRTH = re.compile("birth|dob")
# Before a bare name: the title of a form, in whose line it stands.
_TITLE = re.compile(
    r".*(?<!\w)(?:report|informe|laudo|rapport|rendu|bericht|referto|verslag|film|form)\s",
    re.IGNORECASE,
)
# In texts about a study these are mostly firms and kinds: `operator=GE`.
_VAGUE = re.compile("operators?|occupation", re.IGNORECASE)
_IDENTIFIES, _BARE, _FACT, _OTHER = "identifies", "bare", "fact", ""


def may_tell(text: str) -> bool:
    """Whether a text is to be looked at; soon told for most."""
    if _SIGNS.search(text):
        return not _PLAIN.fullmatch(text)
    if "|" in text and not SURE_WORDS.isdisjoint(map(str.strip, text.split("|"))):
        return True
    if " " not in text:
        return len(text) >= SHORTEST_FILE
    is_sure = "00" in text or "  " in text or not SURE_WORDS.isdisjoint(text.split())
    return is_sure or bool(_BORN.search(text))


def tells_person(text: str) -> bool:
    """Whether a text has the name of what identifies people, and its value; or a mail address.

    So has a file within it, such as a report.
    """
    segment = _HL7.search(text)
    if has_mail_address(text) or is_dumped(text) or (segment and "^" in text[segment.end() :]):
        return True
    if is_file_of_words(text) or any(each.search(text) for each in _TELLING):
        return True
    if any(tells_value("name", found[1]) for found in _PNAME.finditer(text)):
        return True
    marked: list[tuple[str, str | None]] = []
    if "<" in text:
        text = strip_comments(text)
        marked, text = list(iter_marked(text)), strip_markup(text)
    if any(is_name_of_person(told or "") for name, told in marked if _WHO.fullmatch(name)):
        return True
    text = _ENDING.sub("", _DOTTED.sub(lambda found: found[0].replace(".", ""), text))
    return any(map(is_name_of_person, _PATIENT.findall(text))) or _has_pair(
        chain(marked, _iter_numbers(text), iter_named(text))
    )


def _iter_numbers(text: str) -> Iterator[tuple[str, str]]:
    """What stands before a `#`, each of its last words also alone, and the number behind it."""
    for found in _NUMBERED.finditer(text):
        words = found["name"].split()
        for start in range(len(words)):
            yield f"{' '.join(words[start:])}#", found["number"]


def _has_pair(pairs: Iterable[tuple[str, str | None]]) -> bool:
    """Whether a name identifies people; so does a bare one beside an age or a sex."""
    has_name = has_fact = False
    for name, value in pairs:
        name = _shorten(_TITLE.sub("", name[: 3 * _LONGEST_NAME]))
        kind = _find_kind(name)
        if kind == _IDENTIFIES and _is_value(name, value):
            return True
        has_name = has_name or (kind == _BARE and _is_value("name", value))
        has_fact = has_fact or kind == _FACT or (kind == _IDENTIFIES and _is_birth(name))
    return has_name and has_fact


def _shorten(name: str) -> str:
    """What is judged of a name: without a tag before it, and one for all of a numbered series."""
    # A tag before it is all that is judged besides.
    if len(name) > 2 * _LONGEST_NAME:
        return ""
    if is_listed_tag(name):
        return name
    name = strip_tag(name)
    if len(name) > _LONGEST_NAME or name.count(" ") > _MOST_SPACES or not _LETTERS.search(name):
        return ""
    return _DIGITS.sub("0", name)


def _is_birth(name: str) -> bool:
    return bool(_BIRTH.search(name.casefold()))


@lru_cache(maxsize=1 << 14)
def _find_kind(name: str) -> str:
    if is_identifying(name) or is_listed_tag(name) or NAME_AND_MORE.fullmatch(normalize(name)):
        return _OTHER if _VAGUE.fullmatch(name) else _IDENTIFIES
    if is_bare_name(name):
        return _BARE
    words = {*normalize(name).split()} - {"and"}
    return _FACT if words and words <= FACTS else _OTHER


def _is_value(name: str, value: str | None) -> bool:
    """Whether a value tells something, and is not the next one of several names of columns."""
    if value and (is_keyword(value) or value.strip().lower() in FACTS):
        return False
    return tells_value(name, value)
