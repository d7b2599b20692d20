"""Text of datasets and users as Markdown that says just this text.

Any text comes in; a piece of one line goes out, in which no renderer finds a link, an image, HTML,
a heading or a table. (GitHub makes a link of an e-mail address all the same: to that address.)
"""

import re
import unicodedata
from urllib.parse import quote, urlsplit

# Wherever CommonMark or one of its usual extensions takes them for markup.
_SPECIAL = re.compile(r"[\\`*_\[\]<>#|&~^$@]")
# What renderers make links of without being asked: https://…, www.…, example.org.
_SCHEME = re.compile(r"(?<![A-Za-z0-9])(https?|ftp|mailto|xmpp):", re.IGNORECASE)
_DOMAIN = re.compile(r"\.(?=[^\W\d_]{2})")
# Joiners are letters' shapes in some scripts; all other invisible characters go, among them those
# that turn the direction of what follows.
_JOINERS = "\u200c\u200d"
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}
_SAFE_IN_ADDRESS = "%/:?#[]@!$&'()*+,;=-._~"
_SCHEMES = {"http", "https", "ftp"}


def escape(text: str) -> str:
    """The visible text on one line."""
    line = " ".join(_drop_invisible(text).split())
    line = _SPECIAL.sub(r"\\\g<0>", line)
    line = _SCHEME.sub(r"\1\\:", line)
    return _DOMAIN.sub(r"\\.", line)


def link(address: str) -> str:
    """A link to the address that shows it, or just its text where it is no address of the web."""
    try:
        parts = urlsplit(address.strip())
    except ValueError:
        return escape(address)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        return escape(address)
    return f"<{quote(address.strip(), safe=_SAFE_IN_ADDRESS, errors='replace')}>"


def _drop_invisible(text: str) -> str:
    return "".join(
        char
        for char in text
        if char.isspace() or char in _JOINERS or unicodedata.category(char) not in _INVISIBLE
    )
