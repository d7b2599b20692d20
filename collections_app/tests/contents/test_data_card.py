"""The data card, read as renderers of Markdown read it: what datasets say stays their text."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from collections_app.contents.data_card import data_card
from collections_app.models import Collection
from vocab.models import Kind

# With tables, strikethrough, and links made of bare addresses.
RENDERER = MarkdownIt("gfm-like")
HOSTILE = [
    "[click](https://evil.example)", "![x](https://evil.example/x.png)", "<https://evil.example>",
    "https://evil.example", "www.evil.example", "HTTPS://EVIL.EXAMPLE", "evil.com", "a@evil.com",
    "<script>alert(1)</script>", "<img src=x>", "&lt;b&gt;", "&#60;b&#62;", "\n# Heading\n",
    "\n\nHeading\n===\n", "\r## Heading", "\u2028# Heading", "a | b\n--- | ---\n1 | 2", "`code`",
    "```\ncode", "**bold**", "_it_", "~~gone~~", "[ref]: https://evil.example", "[ref]", "[^1]",
    "\\", "\\[a](b)", "> [!NOTE]", "- item", "1. item", "$x$", "\u202ereversed", "\u2066", "\x00",
    "\ufeff", "mailto:a@evil.com", "javascript:alert(1)", "]", "(", ">", "\ud800",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=6), max_size=4).map(
    " ".join
) | st.lists(st.sampled_from(HOSTILE), max_size=4).map("".join)


def card_of(*, text: str, url: str) -> str:
    licence = {
        "license": "x", "license_name": text, "license_url": url, "num_images": 1,
        "allows_commercial_use": False,
    }  # fmt: skip
    dataset = {
        "title": text, "slug": "x", "num_images": 1, "source_url": url, "doi": text,
        "citation": text, "is_synthetic": False, "licenses": [licence], **licence,
    }  # fmt: skip
    words = [{"filter": "Label", "value": text}]
    collection = Collection(
        title=text, slug="slug", num_images=1, num_files=1, num_bytes=1,
        provenance={"datasets": [dataset], "words": words, "kinds": {Kind.PICTURE: 1}},
    )  # fmt: skip
    return data_card(collection, "fingerprint").decode()


def structure_of(card: str) -> list[tuple[str, str, str]]:
    """All that is more than text: the kinds of elements, their names and their addresses."""
    found = []
    for block in RENDERER.parse(card):
        for token in (block, *(block.children or ())):
            if token.type not in ("text", "inline", "text_special", "softbreak"):
                found.append((token.type, token.tag, str(token.attrGet("href") or "")))
    return found


def texts_of(card: str, tag: str) -> list[str]:
    blocks = RENDERER.parse(card)
    heads = [
        n for n, block in enumerate(blocks) if block.type == "heading_open" and block.tag == tag
    ]
    return ["".join(child.content for child in blocks[n + 1].children or ()) for n in heads]


def without_addresses(structure: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    return [(kind, tag) for kind, tag, _ in structure]


@given(text=TEXTS)
@settings(max_examples=60, deadline=None)
def test_no_text_of_a_dataset_becomes_more_than_text(text: str) -> None:
    url = "https://example.org/rays"
    hostile = structure_of(card_of(text=text or "x", url=url))
    plain = structure_of(card_of(text="x", url=url))

    assert without_addresses(hostile) == without_addresses(plain)
    addresses = {href for _, _, href in hostile if href}
    assert all(href == url or href.startswith("https://doi.org/") for href in addresses)


@given(url=TEXTS, prefix=st.sampled_from(["", "https://", "http://example.org/", "javascript:"]))
@settings(max_examples=40, deadline=None)
def test_an_address_leads_where_it_says_or_nowhere(url: str, prefix: str) -> None:
    card = card_of(text="x", url=prefix + url)

    assert not [kind for kind, _, _ in structure_of(card) if kind in ("image", "html_inline")]
    for line in card.splitlines():
        if line.startswith("- Source: <"):
            assert line.casefold().startswith(("- source: <http", "- source: <ftp"))
            (shown,) = [
                t for t in RENDERER.parseInline(line)[0].children or () if t.type == "link_open"
            ]
            assert shown.attrGet("href")


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Chest X-ray (14), 10% | CT & MR", "Chest X-ray (14), 10% | CT & MR"),
        ("a_b*c <i>d</i> \\ e.g. www.x.org", "a_b*c <i>d</i> \\ e.g. www.x.org"),
        ("evil\u202e gnp.exe\n\n# two", "evil gnp.exe # two"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_a_title_reads_as_it_was_written(title: str, shown: str) -> None:
    card = card_of(text=title, url="")

    assert texts_of(card, "h1") == [shown]
    assert texts_of(card, "h3") == [shown]


def test_what_needs_no_escape_stays_readable_unrendered() -> None:
    plain: Any = "Wang X, et al. ChestX-ray8: hospital-scale. CVPR 2017; doi 10.1109/CVPR.2017.369"
    assert f"- Please cite: {plain}" in card_of(text=plain, url="").replace("\\.", ".")
