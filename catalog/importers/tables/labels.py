"""Reads labels as published tables have them: separated words, lists, a column for each label."""

from collections.abc import Callable, Hashable, Iterable
from functools import cached_property
from itertools import combinations
from operator import itemgetter
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from catalog.importers.parsers import NotAList, clean, parse_list, parse_number, parse_share
from catalog.importers.rows import LabelRow
from catalog.importers.tables.identifying_cells import drop_from_text
from catalog.importers.tables.identifying_columns import is_identifying
from catalog.importers.tables.templates import Cells, Header, compile_raw
from catalog.importers.tables.toml_section import Pairs, Section, Text, Texts, Value, one_of

MAX_WORD = 120  # what a term's name holds
FINDINGS = ("positive", "uncertain", "negative")  # the stronger first
Labels = tuple[LabelRow, ...]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class CellError(Exception):
    """A cell that makes its row bad: its column, its text, and the reason."""

    def __init__(self, column: str, value: str, reason: str) -> None:
        super().__init__(reason)
        self.column, self.value, self.reason = column, value, reason


class Remembered(dict[K, V], Generic[K, V]):
    """A cache of the results of `read`, as the same cells recur in tables.

    It has at most `MOST` keys and no long ones, so its memory is bounded.
    """

    MOST = 1 << 15
    LONGEST = 1000

    def __init__(self, read: Callable[[K], V]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, key: K) -> V:
        value = self._read(key)
        if len(self) < self.MOST and _measure(key) <= self.LONGEST:
            self[key] = value
        return value


def _measure(key: object) -> int:
    return sum(map(len, key)) if isinstance(key, tuple) else len(str(key))


def fold(text: str) -> str:
    """The normal form of a cell of a label: equal for `1`, `1.0`, `01`, and for `Yes`, `yes`."""
    number = parse_number(text).value
    return clean(text).casefold() if number is None else repr(number + 0.0)


def _fold_all(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(map(fold, texts))


_USUAL_WORDS = {
    "positive": _fold_all(("1", "true", "t", "yes", "y", "positive", "pos", "x")),
    "negative": _fold_all(("0", "false", "f", "no", "n", "negative", "neg")),
    "uncertain": _fold_all(("-1", "uncertain", "maybe", "possible")),
}


def _to_columns(value: Any) -> Any:
    """A list of columns: each is its own label."""
    is_list = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return {each: each for each in value} if is_list else value


def _check_columns(columns: Pairs) -> Pairs:
    for column, word in columns.items():
        if is_identifying(column) or not word.strip():
            raise ValueError(f"the column “{column}” can be no label.")
    return columns


Finding = Annotated[Text, AfterValidator(one_of(FINDINGS))]


class LabelSpec(Section):
    """One notation of labels. Either `words` or `columns` is given.

    `words`: the cell, or text, that holds the words, parted by `separator`, or as a `list`.
    `columns`: the label of each column. `positive`, `uncertain` and `negative` say which cells mean
    it, and `others` what every other cell means that is not empty ('': it cannot be read).
    """

    words: Value = ()
    separator: Text = ""
    is_list: bool = Field(False, alias="list")
    finding: Finding = "positive"
    confidence: Value = ()
    columns: Annotated[Pairs, BeforeValidator(_to_columns), AfterValidator(_check_columns)] = {}
    positive: Texts = ()
    uncertain: Texts = ()
    negative: Texts = ()
    others: Finding = ""
    ignore: Texts = ()
    rename: Pairs = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.words) == bool(self.columns):
            raise ValueError("give either words or columns.")
        if self.is_list and self.separator:
            raise ValueError("give either separator or list.")
        for one, other in combinations(FINDINGS, 2):
            if both := _fold_all(getattr(self, one)) & _fold_all(getattr(self, other)):
                raise ValueError(f"{', '.join(sorted(both))} cannot mean both {one} and {other}.")
        return self

    @cached_property
    def meanings(self) -> dict[str, str]:
        """What cells mean: as told, and the usual words of a finding of which nothing is told."""
        told = [each for each in FINDINGS if each in self.model_fields_set]
        usual = {
            word: finding
            for finding, words in _USUAL_WORDS.items()
            if finding not in told
            for word in words
        }
        return usual | {word: each for each in told for word in _fold_all(getattr(self, each))}

    @cached_property
    def ignored(self) -> frozenset[str]:
        return frozenset(map(str.casefold, self.ignore))

    @property
    def whole_columns(self) -> list[str]:
        """The columns that contain only labels."""
        return [t.whole for t in self.words if t.whole] + [*self.columns]

    def read_word(self, word: str) -> str:
        """The word to be stored; '' if it is ignored. Raises `CellError`."""
        word = clean(word)
        if word.casefold() in self.ignored:
            return ""
        if len(word) > MAX_WORD:
            raise CellError(
                "", word, f"A label is longer than {MAX_WORD} characters. Check the separator."
            )
        return self.rename.get(word, word)

    def read_finding(self, text: str) -> str:
        """The finding of a cell of a label's column; '' if it is empty. Raises `CellError`."""
        value = fold(text)
        if finding := self.meanings.get(value):
            return finding
        if value and not self.others:
            raise CellError(
                "",
                text,
                "The cell is neither positive, uncertain nor negative. Correct it, or add it to "
                "one of these lists in the description.",
            )
        return self.others if value else ""


def compile_labels(
    specs: Iterable[LabelSpec], header: Header, cut: set[str]
) -> Callable[[Cells], Labels]:
    """A function that reads a row's labels; it raises `CellError` if they cannot be read.

    Words that tell who somebody is are left out, and `cut` gets their column. Raises `SourceError`
    for columns that the table does not have.
    """
    readers = [
        _compile_columns(spec, header) if spec.columns else _compile_words(spec, header, cut)
        for spec in specs
    ]
    if len(readers) == 1:
        return readers[0]
    return lambda cells: merge_labels(label for read in readers for label in read(cells))


def merge_labels(labels: Iterable[LabelRow]) -> Labels:
    """Each word once: the strongest finding counts, then the highest confidence, then the first."""
    found: dict[str, LabelRow] = {}
    for label in labels:
        known = found.get(label.word)
        if known is None or _strength(label) > _strength(known):
            found[label.word] = label
    return tuple(found.values())


def _strength(label: LabelRow) -> tuple[int, float]:
    return -FINDINGS.index(label.finding), label.confidence or 0.0


# --- One column a label ---
def _compile_columns(spec: LabelSpec, header: Header) -> Callable[[Cells], Labels]:
    # A column "Mass?" asks, and its cells answer.
    places = [
        (column, word.rstrip(" ?") or word, header.find(column))
        for column, word in spec.columns.items()
    ]
    present = [(column, word, index) for column, word, index in places if index is not None]
    if not present:
        return lambda cells: ()

    findings = Remembered(spec.read_finding)

    def read(texts: tuple[str, ...]) -> Labels:
        found = []
        for (column, word, _), text in zip(present, texts, strict=True):
            try:
                finding = findings[text]
            except CellError as error:
                raise CellError(column, text, error.reason) from error
            if finding:
                found.append(LabelRow(word, finding))
        return merge_labels(found)

    remembered = Remembered(read)
    if len(present) == 1:
        only = present[0][2]
        return lambda cells: remembered[(cells[only],)]
    take = itemgetter(*(index for _, _, index in present))
    return lambda cells: remembered[take(cells)]


# --- Words in a cell ---
def _compile_words(spec: LabelSpec, header: Header, cut: set[str]) -> Callable[[Cells], Labels]:
    get_text = compile_raw(spec.words, header)
    column = next((name for template in spec.words for name in template.columns), "")

    def read(text: str) -> Labels:
        try:
            words = [spec.read_word(word) for word in _split(spec, text)]
        except NotAList as error:
            raise CellError(column, text, str(error)) from error
        except CellError as error:
            raise CellError(column, text, error.reason) from error
        told = [word for word in words if drop_from_text(word, column) != word]
        # Of a name and an age that are parted neither tells who somebody is.
        told = words if not told and drop_from_text(text, column) != text else told
        cut.update([column] if told else ())
        words = [word for word in dict.fromkeys(words) if word and word not in told]
        return tuple(LabelRow(word, spec.finding) for word in words)

    remembered = Remembered(read)
    if not spec.confidence:
        return lambda cells: remembered[get_text(cells)]
    get_share = compile_raw(spec.confidence, header)
    shares: Remembered[str, float | None] = Remembered(lambda text: parse_share(text).value)

    def read_with_share(cells: Cells) -> Labels:
        share = shares[get_share(cells)]
        return tuple(label._replace(confidence=share) for label in remembered[get_text(cells)])

    return read_with_share


def _split(spec: LabelSpec, text: str) -> list[str]:
    if spec.is_list:
        return parse_list(text)
    return text.split(spec.separator) if spec.separator else [text]
