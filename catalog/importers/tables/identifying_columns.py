"""Which columns, and keys of objects in them, tell who somebody is. One rule for all importers.

The rule has three parts, by a column's name alone, in any spelling (`PatientName`, `patient_name`,
`Prénom`), and by the parts of a name (`Name, Vorname`, `PatName_Last`): in English, German, French,
Spanish, Italian, Portuguese or Dutch by the patterns below, in further languages and scripts by the
lists of `identifying_words`, and by tags of DICOM (`00100010`), which is how DICOM's JSON has them:

- What *identifies* people never gets into the catalog: names and initials of patients, relatives
  and staff; user names; date, year and place of birth; addresses, telephone numbers, mail; numbers
  by which authorities, insurers and hospitals know somebody; accession numbers. A description
  that names such a column is refused; only an age may be computed from a date of birth.
- What *may* identify people is kept only if a description names the column: a `Patient ID` is a
  pseudonym in most published tables and a hospital's own number in others, a bare `Name` is that
  of a file, a finding or a person, and a `Radiologist` is a number or a name. So may a longer name
  with one of the above in it (`date_of_birth_known` says nothing, `date_of_birth_iso` all), also as
  one word of several (`surname_en`) or within one (`rawpatientname`).
  `subject = "{Patient ID}"` says that these are pseudonyms.
- *Free text*, such as reports, findings in words, comments and notes, may name people. It is kept
  only if `[metadata]` names the column: `keep = ["Report"]`.

Every other column is kept. Dates of studies and places are among them, so whoever publishes a table
must have removed people from these. The import report names each column that was left out. DICOM
files, and the JSON files beside NIfTI volumes, need no such rule: of these only fixed lists are
read, in which this rule finds nothing.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from pydicom.datadict import keyword_for_tag

from catalog.imaging.dicom.identifying import is_listed
from catalog.importers.tables import identifying_words as words
from catalog.importers.tables.lines import show
from vocab.text import decompose, normalize

# Names are compared in lower case without accents and without anything between their words.
# English after the Basic Application Level Confidentiality Profile, DICOM PS3.15 table E.1-1.
_PATIENT = "(?:patient(?:s|en|in|innen)?|pats?|pts?|pacientes?|pazient[ei])"
_PERSON = (
    f"(?:{_PATIENT}|subjects?|persons?|participants?|mothers?|fathers?|guardians?|probanden?"
    "|sujets?|personas?|pessoas?)"
)
_OF = "(?:of(?:the)?|de(?:l|la|llo|lla|r|s)?|d[aiou]?s?|van(?:de)?)?"
_NUMBER = "(?:numbers?|nummer|nos?|nr|num|numero|ids?)"
_NAME = "(?:names?|namen|noms?|nombres?|nomes?|naam)"
_PART_OF_NAME = "(?:first|middle|last|given|family|full|maiden)"
_SCRIPT = "(?:kanji|kana|katakana|hiragana|romaji|ideographic|phonetic|alphabetic|latin)"
_CALLED = "(?:attending|treating|referring|reporting|requesting|ordering|consulting|reading)"

_NAMES = rf"""
    {_PERSON}?(?:first|middle|second|last|given|family|full|maiden|legal|birth|mothers?maiden
        |mothers?birth|nick|fore|sur)names?
    | {_PERSON}?names?(?:{_PART_OF_NAME}|{_SCRIPT}) | {_PART_OF_NAME}nm | (?:patient|pat)nm
    | [lm]name | nextofkin | emergencycontact
    | (?:spouse|husband|wife|relative|(?:nextof)?kin|contact|emergencycontact|employ(?:er|ee))s?name
    | (?:other)?{_PERSON}{_NAME} | {_NAME}{_OF}{_PERSON}
    | (?:patienten)?(?:vor|nach|zu|familien|geburts|madchen|ruf)namen? | vorundnachname
    | prenoms?{_OF}{_PATIENT}? | nom(?:et)?prenoms? | nom{_OF}(?:famille|naissance|jeunefille)
    | (?:primer|segundo)?apellidos?(?:paterno|materno)? | (?:primer|segundo)nombre
    | nombres?y?apellidos?
    | apellidos?y?nombres? | nom(?:br)?ecompleto | cognome{_OF}{_PATIENT}? | nomee?cognome
    | cognomee?nome | nominativo | sobrenome | apelido | nome{_OF}mae | nomesocial
    | (?:voor|achter|familie|geboorte|roep|meisjes)na(?:am|men) | tussenvoegsel
    | {_PERSON}?(?:middle)?initials | (?:{_PERSON}|middle)initial | nameinitials?
    | initialen | initiales | iniziali | iniciais | iniciales | voorletters
    | user(?:login)?names? | login(?:name)? | benutzername | nom{_OF}utilisateur
    | nombre{_OF}usuario | nomeutente | nome{_OF}usuario | gebruikersnaam
"""
_BIRTHS = rf"""
    {_PERSON}?(?:birth(?:date|day|time|year|month|place|city|country)?|dob|yob
        |bday|bdate)
    | (?:patient|pat)bd
    | {_PERSON}?birthdateinalternativecalendar
    | {_PERSON}?(?:date|day|time|year|month|place|city|country)ofbirth | datebirth | birthdt
    | (?:patienten)?geburts(?:datum|tag|jahr|monat|ort|land|zeit) | geb(?:datum|dat|jahr)
    | (?:date|jour|annee|mois|lieu|pays|ville){_OF}naissance | naissance | ddn
    | (?:fecha|dia|ano|mes|lugar|pais){_OF}nac(?:imiento)?
    | (?:data|giorno|anno|mese|luogo){_OF}nascita
    | (?:data|dt|dia|ano|mes|local){_OF}nasc(?:imento)?
    | geboorte(?:datum|dag|jaar|maand|plaats|land)
"""
_CONTACTS = rf"""
    {_PERSON}?(?:(?:home|e?mail|ip|street|postal)?address(?:line)?|e?mail|street(?:name|{_NUMBER})?
        |zip(?:code)?|pincode|post(?:al)?code|(?:home|e?mail|street|postal)?addr)
    | ph(?:numbers?|nos?|num) | whatsapp{_NUMBER}?
    | {_PERSON}?(?:(?:home|mobile|cell|work|tele)?phone{_NUMBER}?|tel{_NUMBER}?|mobile{_NUMBER}?
        |fax{_NUMBER}?) | (?:place|region|country)ofresidence
    | {_PERSON}(?:telecominformation|institutionresidence) | current{_PERSON}location
    | adressen? | anschrift | wohnort | strasse | hausnummer | plz | postleitzahl
    | (?:telefon|mobil|mobilfunk|handy){_NUMBER} | telefon | emailadresse
    | adresse(?:postale|{_OF}{_PATIENT}) | codepostal | numero{_OF}telephone | courriel
    | direccion | domicilio | calle | codigopostal | (?:numero{_OF})?telefono(?:movil|celular)?
    | movil | correo(?:electronico)? | indirizzo | codicepostale | (?:numero{_OF})?cellulare
    | endereco | morada | cep | (?:numero{_OF})?(?:telefone|telemovel)
    | adres | straat(?:naam)? | huisnummer | woonplaats | telefoon(?:nummer)?
"""
_NUMBERS = rf"""
    {_PERSON}?(?:ssn|socialsecurity{_NUMBER}?|national{_NUMBER}|passport{_NUMBER}?
        |drivers?licen[cs]e{_NUMBER}?|(?:health)?insurance{_NUMBER}|nhs{_NUMBER}|mrn
        |hosp(?:ital)?(?:numbers?|nos?|nr)|med(?:ical)?rec(?:ord)?(?:{_NUMBER}|locator)
        |(?:mrn|mrd|nhi|chart|uhid|chi|nric|tax|healthcard|medicare|medicaid){_NUMBER}|mr(?:no|number)
        |(?:ip|op)d?(?:numbers?|nos?|nr)
        |ur(?:numbers?|nos?)|uhid|nhi|nric|aadha?a?r{_NUMBER}?|healthcard|idcard|drivinglicen[cs]e{_NUMBER}?|licen[cs]eplate
        |bankaccount{_NUMBER}?|iban)
    | otherpatientids?(?:sequence)? | patientinsuranceplancode(?:sequence)? | accession{_NUMBER}?
    | (?:acc|policy|contact){_NUMBER}
    | (?:kranken|sozial|renten)?versicher(?:ungs|ten){_NUMBER} | krankenkassen{_NUMBER}
    | ahv{_NUMBER}? | kv(?:nr|nummer)
    | (?:personal)?ausweis{_NUMBER} | reisepass{_NUMBER}? | steuer{_NUMBER}
    | (?:numero{_OF})?(?:securitesociale|seguridadsocial|segurancasocial|passeport|pasaporte
        |passaporto|tesserasanitaria|cartaosus) | numero{_OF}secu
    | dni | nif | curp | rut | cpf | codicefiscale | bsn | burgerservicenummer | paspoortnummer
    | (?:polis|verzekerings)nummer | nhc | historiaclinica
    | numero{_OF}historia(?:clinica)? | nss | (?:numero{_OF})?expediente(?:clinico)?
    | (?:numero{_OF})?cedula(?:{_OF}(?:identidad|ciudadania))?
    | (?:numero{_OF})?(?:prontuario|cartellaclinica) | personnummer
"""
_STAFF = rf"""
    (?:referring|requesting|consulting|performing|scheduledperforming)?physicians?(?:name|address)?
    | physicianapprovinginterpretation | interpretation(?:author|recorder|transcriber)
    | (?:secondary)?reviewername | evaluatorname | humanperformername | contentcreatorname
    | verifyingobservername | namesofintendedrecipients.* | distributionname | orderenteredby
    | documentauthor(?:trial)? | currentobserver(?:trial)? | verbalsource(?:trial)?
    | roiinterpreter | selectorpnvalue
    | {_CALLED}(?:doctors?|drs?|gps?)(?:name)? | doctors?name | physiciansofrecord
    | nameofphysicians.* | operators?(?:name)? | (?:radiologist|annotator|reader|surgeon|nurse
        |technician|technologist|radiographer|sonographer|pathologist|dr|gp|consultant|clinician
        |practitioner|registrar|resident|specialist|referrer|reporter|typist)s?name
    | responsibleperson | institutionaddress
    | (?:behandelnder|zuweisender|uberweisender|haus)arzt | (?:arzt|radiologen)namen? | zuweiser
    | nom{_OF}(?:medecin|radiologue) | medecin(?:traitant|prescripteur|referent)
    | nom(?:br)?e{_OF}(?:medico|radiologo) | medic[oa](?:tratante|solicitante|curante|responsable)
    | huisarts | verwijzer
"""
_OTHERS = rf"patientcomments | occupation | {_PERSON}?religiouspreference"
_IDENTIFYING = re.compile(
    "|".join((_NAMES, _BIRTHS, _CONTACTS, _NUMBERS, _STAFF, _OTHERS)), re.VERBOSE
)
_BARE_NAME = re.compile(_NAME)
# People who have a name in some tables, and a number in others.
_CLIENT = r"(?:child|baby|infant|newborn|donor|client)s?names?"
_CLIENT_NAME = re.compile(_CLIENT)
# With a thing before it, this is that thing's: `class_full_name`, `image_address`.
_NAME_OF_THING = re.compile(r"(?:full|family)names?|nom(?:br)?ecompleto|address")
_MAYBE = re.compile(
    rf"""
    {_NAME} | {_CLIENT} | (?:patient|paciente|paziente) | {_PATIENT}{_NUMBER} | {_PATIENT}identifier
    | (?:numero|id|identifiant|identificador|identificativo|codigo|codice){_OF}
        (?:patient|paciente|paziente) | ipp | (?:numero{_OF})?dossier{_NUMBER}?
    | hospital{_NUMBER} | klinik{_NUMBER} | fall{_NUMBER} | aufnahme{_NUMBER} | auftrags{_NUMBER}
    | (?:zis|dossier){_NUMBER} | doctors? | arzt(?:in)? | medecin | medic[oa] | behandelaar
    | surgeons? | technicians? | technologists? | radiographers? | sonographers? | pathologists?
    | (?:case|reg(?:istration)?)(?:numbers?|nos?|nr)
    | consultants? | {_CALLED}(?:radiologists?|consultants?|clinicians?)
    | attending(?:physicians?)? | (?:signed|reported|read|approved|verified|dictated|transcribed
        |referred|refe?r?d)by
    | radiolog(?:ists?|en?|in|ue|[oa]) | radioloog
    """,
    re.VERBOSE,
)
_FREE_TEXT = re.compile(
    r"""
    (?:ct|mri?|xray|us|pet|radiology|radiological|pathology|clinical|medical|doctors?|physicians?|nurses?|study|image
        |exam(?:ination)?|original|full|final|free)*
    (?:reports?|findings|impressions?|indications?|comments?|remarks?|notes?|narratives?
        |conclusions?|history|(?<=free)text)(?:text|section|body|raw)?(?:en|english|translated)?
    | clinical(?:info(?:rmation)?|details) | reasonfor(?:the)?(?:exam(?:ination)?|study)
    | diagnos[ie]stext | dictations?(?:text)? | transcript(?:ion)?s?(?:text)?
    | (?:chief)?complaints? | dischargesummary
    | (?:radiologischer)?befund(?:e|text|bericht)? | beurteilung | bemerkung(?:en)? | kommentare?
    | notiz(?:en)? | anamnese | freitext | bericht | arztbrief
    | compterendu | rapport(?:radiologique)? | commentaires? | remarques? | observations?
    | informe(?:radiologico)? | hallazgos | impresion | comentarios? | observacion(?:es)?
    | conclusion(?:es)? | referto | commenti | osservazioni | conclusioni
    | laudo | relatorio | achados | impressao | observacoes
    | verslag | bevindingen | opmerking(?:en)? | conclusie
    """,
    re.VERBOSE,
)
_IDENTIFYING_NAMES, _MAYBE_NAMES, _FREE_TEXT_NAMES = map(
    words.fold_names, (words.IDENTIFYING, words.MAYBE, words.FREE_TEXT)
)
# The last words of keys whose names are not those of people.
_THING = re.compile(
    r"(?:.* )?(?:categor(?:y|ies)|diagnos[ie]s|stud(?:y|ies)|series|class(?:es)?|anatomy|modality"
    r"|(?:annotation|attribute|box|code|column|concept|dataset|device|disease|file|finding|image"
    r"|label|lesion|manufacturer|mask|model|organ|part|procedure|protocol|region|scanner|sequence"
    r"|structure|tag|task|view)(?:e?s)?)"
)
# Each part between them is a name of its own: `Name, Vorname`.
_BETWEEN_NAMES = re.compile(r"[,;/|&+()\[\]{}]+")
# As in `MR#`.
_NUMBER_SIGN = re.compile(r"#\s*$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# `fname` is the name of a file, and `pTNM` a stage of cancer.
_SEPARATED = re.compile(r"f (?:name|nm)|pts? nm|[lm] nm")
# In a longer name these tell nobody: `patient_birth_weight`, `mobile_phone_model`.
_VAGUE = re.compile(
    rf"{_PERSON}?(?:birth|initials?|mobile|tel|fax|zip|street|login|(?:mobile|cell)phone)|rut|cep"
)
# As a name of its own among several, fewer tell nobody (`age (birth)`), or only maybe somebody.
_VAGUE_PART = re.compile(rf"{_PERSON}?birth")
_UNSURE_PART = re.compile(rf"{_PERSON}?(?:mobile|zip|login)|rut|cep")
# As one word of several, these tell nobody either: `username_count`, `valores_iniciales`.
_VAGUE_WORD = re.compile(
    rf"user(?:login)?names?|login(?:name)?|operators?|{_PERSON}?physicians?|occupation|cellulare"
    r"|movil|naissance|ini(?:tialen|tiales|ziali|ciais|ciales)|.{0,4}"
)
_SURE_WORD = re.compile(r"e?mail|[dy]ob|bday|mrn|ssn|bsn|iban|uhid|nric")
# Words after which a word alone is not that of a person: `phone_model`.
_OF_DEVICE = frozenset({"app", "brand", "camera", "make", "model", "os", "resolution", "type"})
# Nor does a span that ends so, as in `mr_no_contrast`, unless it is a number of people.
_COUNTED = frozenset({"no", "nos", "nr", "num", "number", "numbers", "id", "ids"})
_COUNTS_PEOPLE = re.compile(
    r"accession|national|record|insurance|licen[cs]e|security|passport|health|medica(?:re|id)"
)
# Within a word without anything between its parts: `rawpatientname`.
_WITHIN_WORD = re.compile(
    r"(?:patient(?:s|en)?|surgeon|physician)(?:sur|last|first|middle|given|full|birth)?names?"
    r"|(?:first|sur|maiden|(?<![bp])last)names?|dateofbirth|birth(?:date|day)|geburtsdatum"
    r"|accessionn|phonen(?:o|u)m?|emailaddr|socialsecurity|(?<!fla)(?<!fa)vorname|nachname"
)
_LONGEST_WITHIN = 4
_LONGEST_JOINED = 60
_MOST_WORDS = 40
# Letters that look like Latin ones, in lower case.
_LOOK_ALIKE = str.maketrans(
    "асԁеһіјкмнорԛѕтвԝхуαεικνορτυχβηıօ", "acdehijkmhopqstbwxyaeiknoptuxbhio"
)
# A tag of DICOM, as in `00100010`, `(0010,0010)`, `tag_00100010` or `00100010.Value`.
_TAG = re.compile(
    r"(?<![0-9a-z])(?:0?x|tag|dicom)?([0-9a-f]{4})[ ,_-]{0,2}(?:0x)?([0-9a-f]{4})(?![0-9a-z])"
)
_AROUND_TAG = re.compile(r"(?:tag|dicom|[\W_])*")
# What a name has beyond is not looked at: none is so long.
_LONGEST_NAME = 200
# As German is written where there are no umlauts.
_UMLAUTS = (("ae", "a"), ("oe", "o"), ("ue", "u"))


def is_identifying(column: str) -> bool:
    """Whether a column identifies people, by any spelling of its name."""
    return _identifies(_cut(column))


def may_identify(column: str) -> bool:
    """Whether a column identifies people or not, depending on the table."""
    return _matches(_MAYBE, _MAYBE_NAMES, column) or _may_identify_within(_cut(column))


def is_free_text(column: str) -> bool:
    """Whether a column is text that somebody wrote, such as a report, and may name people."""
    return _matches(_FREE_TEXT, _FREE_TEXT_NAMES, column)


def is_left_out(column: str) -> bool:
    """Whether a column is left out where no description names it."""
    return is_identifying(column) or may_identify(column) or is_free_text(column)


def is_bare_name(column: str) -> bool:
    """Whether a column is just called `Name`: that of a file, a finding or a person."""
    return bool(_BARE_NAME.fullmatch(normalize(_cut(column))))


def is_identifying_within(parent: str, key: str) -> bool:
    """The same for the key of an object in `parent`, such as `name` in `patient`.

    A bare name is regarded as that of a person, unless the parent is a thing such as `finding`. No
    description can name such a key, so neither what may identify people nor free text is kept.
    """
    return _is_identifying_within(_cut(parent), _cut(key))


@lru_cache(maxsize=1 << 12)
def _is_identifying_within(parent: str, key: str) -> bool:
    if is_bare_name(key):
        return not _THING.fullmatch(normalize(parent))
    return is_free_text(key) or any(
        is_identifying(each) or may_identify(each) for each in (key, f"{parent} {key}")
    )


def describe_excluded(columns: Iterable[str]) -> Iterator[str]:
    """What a report says of the columns that were left out by this rule."""
    every = list(dict.fromkeys(columns))
    if sure := [name for name in every if is_identifying(name)]:
        yield f"columns left out, as they identify people: {', '.join(map(show, sure))}"
    if texts := [name for name in every if name not in sure and is_free_text(name)]:
        keep = ", ".join(f'"{show(name)}"' for name in texts)
        yield (
            f"columns left out, as free text may name people: {', '.join(map(show, texts))} (read "
            f"them, and keep what names nobody: keep = [{keep}] below [metadata] in a dataset.toml)"
        )
    if unsure := [name for name in every if name not in {*sure, *texts}]:
        yield (
            f"columns left out, as they may identify people: {', '.join(map(show, unsure))} (a "
            'dataset.toml that names a column uses it, as in subject = "{Patient ID}")'
        )


class _Forms(NamedTuple):
    """What is compared of a name: its letters as lists have them, and as patterns have them."""

    folded: frozenset[str]
    plain: frozenset[str]


def _matches(pattern: re.Pattern[str], names: frozenset[str], column: str) -> bool:
    forms = _find_forms(_cut(column))
    return not names.isdisjoint(forms.folded) or any(map(pattern.fullmatch, forms.plain))


def _identifies(column: str) -> bool:
    return (
        _matches(_IDENTIFYING, _IDENTIFYING_NAMES, column)
        or _has_identifying_part(column)
        or _is_tag_of_person(column)
    )


def _is_tag_of_person(column: str) -> bool:
    """Whether a name is a tag of DICOM, and nothing else, that tells who somebody is."""
    tags = _find_tags(column)
    is_alone = bool(tags) and bool(_AROUND_TAG.fullmatch(_TAG.sub("", column.lower())))
    return is_alone and any(map(_is_of_person, tags))


@lru_cache(maxsize=1 << 12)
def _is_of_person(tag: int) -> bool:
    return is_listed(tag) or is_identifying(keyword_for_tag(tag))


def _find_tags(column: str) -> list[int]:
    return [int("".join(found), 16) for found in _TAG.findall(column.lower())]


@lru_cache(maxsize=1 << 12)
def _has_identifying_part(column: str) -> bool:
    """Whether one of several names, such as `Name, Vorname`, identifies people."""
    return any(
        _matches(_IDENTIFYING, _IDENTIFYING_NAMES, part)
        and not _VAGUE_PART.fullmatch(_join(part))
        and not _UNSURE_PART.fullmatch(_join(part))
        for part in _split_parts(column)
    ) or _has_names_alone(column)


def _has_names_alone(column: str) -> bool:
    """Whether each word is a name, as in `Name Vorname`, and one of them a person's."""
    found = _split_words(column)
    return (
        len(found) > 1
        and all(
            (_BARE_NAME.fullmatch(word) or _IDENTIFYING.fullmatch(word))
            and not _VAGUE.fullmatch(word)
            for word in found
        )
        and not all(map(_BARE_NAME.fullmatch, found))
    )


@lru_cache(maxsize=1 << 12)
def _may_identify_within(column: str) -> bool:
    """Whether some words of a longer name, such as `PatientName_Kanji`, identify people."""
    if any(_UNSURE_PART.fullmatch(_join(part)) for part in _split_parts(column)):
        return True
    if any(_is_of_person(tag) or is_left_out(keyword_for_tag(tag)) for tag in _find_tags(column)):
        return True
    found = _split_words(column)
    if _SEPARATED.fullmatch(" ".join(found)) or any(map(_WITHIN_WORD.search, found)):
        return True
    spans = (
        (start, start + length)
        for length in range(1, min(_LONGEST_WITHIN, len(found) - 1) + 1)
        for start in range(len(found) - length + 1)
    )
    return any(_tells_within(found, start, end) for start, end in spans)


def _tells_within(found: list[str], start: int, end: int) -> bool:
    name = "".join(found[start:end])
    if not _identifies_within(name) or _VAGUE.fullmatch(name):
        return False
    if _NAME_OF_THING.fullmatch(name) and _THING.fullmatch(" ".join(found[:start])):
        return False
    if end - start == 1:
        return _is_sure_word(name) and not _OF_DEVICE.intersection(found[end : end + 1])
    return found[end - 1] not in _COUNTED or bool(_COUNTS_PEOPLE.search(name))


@lru_cache(maxsize=1 << 14)
def _identifies_within(name: str) -> bool:
    return len(name) <= _LONGEST_JOINED and bool(
        _IDENTIFYING.fullmatch(name) or _CLIENT_NAME.fullmatch(name)
    )


def _is_sure_word(word: str) -> bool:
    return bool(_SURE_WORD.fullmatch(word)) or not _VAGUE_WORD.fullmatch(word)


def _split_parts(column: str) -> list[str]:
    """The parts of a name that has several."""
    parts = _BETWEEN_NAMES.split(column)
    return [part for part in parts if part.strip()] if len(parts) > 1 else []


def _split_words(column: str) -> list[str]:
    return _fold(_CAMEL.sub(" ", column)).split()[:_MOST_WORDS]


def _join(name: str) -> str:
    return _fold(name).replace(" ", "")


def _fold(name: str) -> str:
    """The normal form, with Latin letters for those of other scripts that look like them."""
    return normalize(name).translate(_LOOK_ALIKE)


def _cut(name: str) -> str:
    """The part of a name that is looked at; one sign may be eighteen letters."""
    short = name.strip()[:_LONGEST_NAME]
    return short if short.isascii() else decompose(short)[:_LONGEST_NAME]


@lru_cache(maxsize=1 << 12)
def _find_forms(column: str) -> _Forms:
    column = _NUMBER_SIGN.sub(" no", column)
    name = words.strip_endings(_fold(column), " x", " y", "dicom").replace(" ", "")
    plain = name
    for written, umlaut in _UMLAUTS:
        plain = plain.replace(written, umlaut)
    return _Forms(words.fold_parts(column), frozenset((name, plain)))
