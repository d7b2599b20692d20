"""Reads the names and values of a text that has elements of XML, also of a torn one."""

import re
from collections.abc import Iterator

Pair = tuple[str, str | None]

_MARK = re.compile(
    r"<(?P<end>/?+)(?:[\w.-]++:)?+(?P<name>[^\W\d][\w.-]*+)(?P<inside>[^<>]*+)(?P<open>>?+)"
    r"(?P<text>[^<]*+)"
)
_ATTRIBUTE = re.compile(r"""(?<![\w.:-])([\w.:-]++)\s*+=\s*+(?:"([^"<>]*+)"|'([^'<>]*+)')""")
# Attributes that say what their element's value is, and those that are the value.
_NAMING = frozenset({"tag", "keyword", "name", "key", "attribute", "field", "property"})
_VALUES = frozenset({"value", "v"})
# Each is written again with each of its attributes and of the elements in it.
_LONGEST_NAME = 200


def iter_marked(text: str) -> Iterator[Pair]:
    """The elements and attributes, also with the name of the element around them before theirs.

    None is the value of an element that has others in it, or of which nothing more is there.
    """
    around: list[str] = []
    marks = _MARK.finditer(text)
    found = next(marks, None)
    while found:
        following = next(marks, None)
        name = found["name"][:_LONGEST_NAME]
        if found["end"]:
            if around and around[-1] == name:
                around.pop()
        else:
            is_closed = found["inside"].rstrip().endswith("/")
            value: str | None = found["text"]
            if not found["text"].strip() and not is_closed and not (following and following["end"]):
                value = None
            yield from _iter_names(around[-1:], name, found["inside"], "" if is_closed else value)
            if not is_closed:
                around.append(name)
        found = following


def _iter_names(around: list[str], name: str, inside: str, value: str | None) -> Iterator[Pair]:
    names = [name, *(f"{each} {name}" for each in around)]
    yield from ((each, value) for each in names)
    for key, double, single in _ATTRIBUTE.findall(inside):
        key, given = key.rpartition(":")[2][:_LONGEST_NAME], double or single
        yield key, given
        yield f"{name} {key}", given
        if key.lower() in _VALUES:
            yield from ((each, given) for each in names)
        elif key.lower() in _NAMING:
            yield given, value
        elif key.lower() == "vr" and given.upper() == "PN":
            yield "PersonName", value
