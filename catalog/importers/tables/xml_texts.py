"""Reads the names and values of a text that has elements of XML, also of a torn one."""

import re
from collections.abc import Iterator

Pair = tuple[str, str | None]

_MARK = re.compile(
    r"<(?P<end>/?+)(?:[\w.-]++:)?+(?P<name>[^\W\d][\w.-]*+)(?P<inside>[^<>]*+)(?P<open>>?+)"
    r"(?P<text>[^<]*+)"
)
_ATTRIBUTE = re.compile(
    r"""(?<![\w.:-])([\w.:-]++)\s*+=\s*+(?:"([^"<>]*+)"|'([^'<>]*+)'|([^\s"'<>/]++))"""
)
# A comment and CDATA are text.
_COMMENTS = re.compile(r"<!--|-->|<!\[CDATA\[|\]\]>")
# What has anything else in it is text, such as `<contains PNAME:(,,"Observer Name")="Doe^John">`.
_TAGS = re.compile(
    r"""</?+[^\W\d][\w:.-]*+(?<!:)
    (?:\s++(?:[\w:.-]++\s*+=\s*+(?:"[^"<>]*+"|'[^'<>]*+'|[^\s"'<>]++)|[a-z-]++))*+\s*+/?+>""",
    re.VERBOSE,
)
# Attributes that say what their element's value is, and those that are the value.
_NAMING = frozenset({"tag", "keyword", "name", "key", "attribute", "field", "property"})
_VALUES = frozenset({"value", "v"})
# Each is written again with each of its attributes and of the elements in it.
_LONGEST_NAME = 200


def strip_comments(text: str) -> str:
    """The text, of whose comments and CDATA only the marks are left out."""
    return _COMMENTS.sub("", text)


def strip_markup(text: str) -> str:
    """The text without elements."""
    return _TAGS.sub("\t", text)


def iter_marked(text: str) -> Iterator[Pair]:
    """The elements and attributes, also with the name of the element around them before theirs.

    So is the text of an element, as the name of that in the next one: `<dt>Age</dt><dd>4</dd>`.
    None is the value of an element that has others in it, or of which nothing more is there.
    """
    around: list[str] = []
    label = ""
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
            if label:
                yield label, found["text"]
            label = found["text"].strip()[:_LONGEST_NAME]
            if not is_closed:
                around.append(name)
        found = following


def _iter_names(around: list[str], name: str, inside: str, value: str | None) -> Iterator[Pair]:
    names = [name, *(f"{each} {name}" for each in around)]
    yield from ((each, value) for each in names)
    given = [
        (key.rpartition(":")[2][:_LONGEST_NAME], "".join(values))
        for key, *values in _ATTRIBUTE.findall(inside)
    ]
    told = next((each for key, each in given if key.lower() in _VALUES), value)
    for key, each in given:
        yield key, each
        yield f"{name} {key}", each
        if key.lower() in _VALUES:
            yield from ((outer, each) for outer in names)
        elif key.lower() in _NAMING:
            yield each, told
        elif key.lower() == "vr" and each.upper() == "PN":
            yield "PersonName", value
