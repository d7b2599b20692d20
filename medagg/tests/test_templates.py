"""Templates and style sheets keep what the security policy demands, and the order of the apps."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import models

_FILES = (settings.BASE_DIR / "templates").rglob("*.*")
TEMPLATES: list[Path] = sorted(path for path in _FILES if path.suffix in (".html", ".jinja"))
STYLE_SHEETS: list[Path] = sorted((settings.BASE_DIR / "static").rglob("*.css"))

_DJANGO = re.compile(r"\{%\s*comment.*?endcomment\s*%\}|\{[%{#].*?[%}#]\}", re.DOTALL)
_ELSEWHERE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
_LOADING = {"src", "srcset", "poster", "data", "background", "action", "formaction", "xlink:href"}
_STYLE_LOADS = re.compile(r"@import|url\(\s*['\"]?\s*(?:https?:)?//", re.IGNORECASE)


def test_templates_hold_no_inline_code_and_load_nothing_from_elsewhere() -> None:
    problems = [each for path in TEMPLATES for each in find_problems(path)]

    assert TEMPLATES
    assert problems == []


def test_style_sheets_load_nothing_from_elsewhere() -> None:
    loading = [path.name for path in STYLE_SHEETS if _STYLE_LOADS.search(path.read_text("utf-8"))]

    assert STYLE_SHEETS
    assert loading == []


def test_an_inline_script_in_a_template_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("{# a comment\nof two lines #}<p>\n<b onclick='go()' style='top: 0'>on</b>")

    assert [problem.split()[0] for problem in find_problems(page)] == ["page.html:3", "page.html:3"]


def find_problems(path: Path) -> Iterator[str]:
    reader = _TemplateReader()
    # Tags are blanked rather than rendered, so that each line keeps its number.
    source = _DJANGO.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), path.read_text("utf-8"))
    reader.feed(source)
    reader.close()
    for line, problem in reader.problems:
        yield f"{path.name}:{line} {problem}"


def test_the_catalogs_templates_link_to_no_app_above() -> None:
    above = re.compile(r"""\{%[^%]*["'](collection|picked)""")
    naming = [
        path.name
        for path in TEMPLATES
        if path.parent.name == "catalog" and above.search(path.read_text("utf-8"))
    ]

    assert naming == [], "templates/site/ is where the project adds what stands above the catalog"


class _TemplateReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.problems: list[tuple[int, str]] = []
        self._inside = ""

    def _complain(self, problem: str) -> None:
        self.problems.append((self.getpos()[0], problem))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        for name, value in attrs:
            if name == "style":
                self._complain("style=. Write a class, and its rule in static/css/.")
            if name.startswith(("on", "hx-on")):
                self._complain(f"{name}=. Listen for the event in static/js/.")
            is_loading = name in _LOADING or (name == "href" and tag not in {"a", "area"})
            if is_loading and _ELSEWHERE.match(value or ""):
                self._complain(f"{name}={value} loads from elsewhere. Ship the file in static/.")
            if (value or "").strip().lower().startswith("javascript:"):
                self._complain(f"{name} is a script. Use a button, and static/js/.")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in {"script", "style"} and data.strip():
            self._complain(f"a <{self._inside}> with a body. Move it to a file in static/.")


def test_every_relation_has_a_name_for_the_way_back() -> None:
    nameless = [
        str(field)
        for app in ("vocab", "catalog", "collections_app")
        for model in apps.get_app_config(app).get_models()
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many)
        if isinstance(field, models.ForeignKey | models.ManyToManyField)
        and not field.remote_field.related_name
    ]

    assert nameless == []
