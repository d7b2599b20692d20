"""The architecture, kept by tests. The rules and their reasons are in house_rules.py."""

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import pytest
from django.db import models

from medagg.management.commands.draw_schema import list_models
from medagg.tests import house_rules as rules
from medagg.tests.source_tree import (
    ROOT,
    Module,
    find_files,
    find_modules,
    parse_module,
    read_text,
)

# A style sheet is a list of rules, one declaration a line: its length says little.
CODE = {".py", ".html", ".js"}
# Generated, recorded or proving code may be as long as it has to be.
MAY_BE_LONG = {"migrations", "data", "tests"}

ModuleRule = Callable[[Module], Iterator[str]]
FileRule = Callable[[PurePosixPath, str], Iterator[str]]


def report(complaints: list[str]) -> str:
    return "\n".join(["", *complaints])


def check_files(rule: FileRule, paths: list[PurePosixPath]) -> list[str]:
    assert paths, "this rule finds no file to check: has a folder been renamed?"
    texts = ((path, read_text(path)) for path in paths)
    return [each for path, text in texts if text is not None for each in rule(path, text)]


# --- The project keeps its rules ---
@pytest.mark.parametrize("rule", rules.MODULE_RULES, ids=lambda rule: rule.__name__)
def test_modules_keep_the_rule(rule: ModuleRule) -> None:
    complaints = [each for module in find_modules() for each in rule(module)]

    assert not complaints, report(complaints)


def test_every_pure_module_still_exists() -> None:
    names = [module.name for module in find_modules()]

    gone = [pure for pure in rules.PURE if not any(f"{n}.".startswith(f"{pure}.") for n in names)]

    assert not gone, f"house_rules.PURE names what is gone: {gone}. Take it out, or rename it."


def test_templates_are_safe_under_the_security_policy() -> None:
    templates = [path for path in find_files() if "templates" in path.parts]
    complaints = check_files(rules.check_template, [p for p in templates if p.suffix == ".html"])

    assert not complaints, report(complaints)


def test_style_sheets_load_nothing_from_elsewhere() -> None:
    sheets = [path for path in find_files() if path.suffix == ".css"]
    complaints = check_files(rules.check_style_sheet, sheets)

    assert not complaints, report(complaints)


def test_no_file_names_a_folder_of_a_developers_machine() -> None:
    # This file holds what the rule has to find.
    paths = [path for path in find_files() if (ROOT / path).name != "test_house_rules.py"]
    complaints = check_files(rules.check_paths, paths)

    assert not complaints, report(complaints)


def test_files_stay_short() -> None:
    paths = [p for p in find_files() if p.suffix in CODE and not MAY_BE_LONG & set(p.parts)]
    complaints = check_files(rules.check_length, paths)

    assert not complaints, report(complaints)


@pytest.mark.parametrize("model", list_models(), ids=lambda model: model.__name__)
def test_every_relation_has_a_name_for_the_way_back(model: type[models.Model]) -> None:
    options = model._meta
    nameless = [
        field.name
        for field in (*options.local_fields, *options.local_many_to_many)
        if isinstance(field, models.ForeignKey | models.ManyToManyField)
        and not field.remote_field.related_name
    ]

    assert not nameless, f"{model.__name__}: give {nameless} a related_name, in the plural."


# --- The rules find what they are for ---
def complain(rule: ModuleRule, path: str, source: str) -> list[str]:
    return list(rule(parse_module(PurePosixPath(path), source)))


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (rules.check_layers, "vocab/services.py", "from catalog.models import Image"),
        (rules.check_layers, "vocab/lookup.py", "import collections_app.models"),
        (rules.check_layers, "catalog/admin.py", "from collections_app import services"),
        (rules.check_layers, "catalog/files.py", "from medagg.settings import VAR_DIR"),
        (rules.check_models, "catalog/models.py", "from catalog.services import delete_images"),
        (rules.check_models, "catalog/models.py", "from catalog import profiles"),
        (rules.check_models, "catalog/querysets.py", "from .search import search_datasets"),
        (rules.check_doors, "catalog/services.py", "from catalog.views import home"),
        (rules.check_doors, "catalog/services.py", "from catalog import forms"),
        (rules.check_doors, "catalog/importers/store.py", "from ..admin import DatasetAdmin"),
        (rules.check_doors, "collections_app/builds/build.py", "import collections_app.tasks"),
        (rules.check_doors, "collections_app/views.py", "import collections_app.delivery.download"),
        (rules.check_doors, "collections_app/views.py", "from catalog.views import home"),
        (
            rules.check_doors,
            "collections_app/contents/texts.py",
            "import catalog.management.commands",
        ),
        (rules.check_doors, "medagg/health.py", "from catalog.views import home"),
        (rules.check_http, "catalog/services.py", "from django.http import HttpResponse"),
        (rules.check_http, "catalog/search/paging.py", "from django.shortcuts import render"),
        (rules.check_purity, "catalog/query.py", "from django.conf import settings"),
        (rules.check_purity, "catalog/imaging/dicom/header.py", "import django"),
        (rules.check_purity, "collections_app/archive/sink.py", "from ..models import Status"),
        (rules.check_purity, "catalog/query.py", "from vocab import models"),
        (
            rules.check_import_places,
            "catalog/apps.py",
            "def ready():\n    import catalog.receivers",
        ),
        (
            rules.check_import_places,
            "vocab/apps.py",
            "class A:\n  async def f():\n    from a import b",
        ),
    ],
)
def test_a_forbidden_import_is_found(rule: ModuleRule, path: str, source: str) -> None:
    (complaint,) = complain(rule, path, source)

    assert complaint.startswith(f"{path}:")


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("collections_app/services.py", "from catalog.search.filters import ImageFilterSet"),
        ("catalog/models.py", "from vocab.models import Tag"),
        ("catalog/models.py", "from catalog.imaging.paths import check_relative_path"),
        ("catalog/models.py", "from catalog.querysets import ImageQuerySet"),
        ("collections_app/urls.py", "from collections_app import views, download"),
        ("collections_app/admin.py", "from catalog.admin import BigModelAdmin"),
        ("collections_app/views.py", "from collections_app.forms import NewCollectionForm"),
        ("collections_app/views.py", "from django.http import HttpResponse"),
        ("catalog/search/filters.py", "from django.http import QueryDict"),
        ("catalog/query.py", "import re\nfrom vocab.text import normalize"),
        ("medagg/runner/first_run.py", "from catalog.models import Dataset"),
        # Names that only begin alike.
        ("catalog/services.py", "from catalog.views_of_the_world import x\nimport medaggregate"),
        ("catalog/imaging/dicom/header.py", "import djangolike"),
        (
            "collections_app/querysets.py",
            "if TYPE_CHECKING:\n    from django.http import HttpRequest",
        ),
    ],
)
def test_an_import_that_is_allowed_is_left_alone(path: str, source: str) -> None:
    assert [each for rule in rules.MODULE_RULES for each in complain(rule, path, source)] == []


LIMITS = "soft_time_limit=9, time_limit=10"


@pytest.mark.parametrize(
    ("path", "source", "advice"),
    [
        ("collections_app/tasks.py", f"@shared_task({LIMITS})\ndef build(i): f(i)", "build_task"),
        ("collections_app/tasks.py", "@shared_task\ndef build_task(i): f(i)", "soft_time_limit"),
        ("catalog/tasks.py", f"@app.task({LIMITS})\ndef x_task(i):\n  a = g()\n  f(a)", "service"),
        ("catalog/tasks.py", f"@shared_task({LIMITS})\ndef x_task(i):\n  'Why.'", "service"),
        ("catalog/tasks.py", "def helper(): f()", "service"),
        (
            "catalog/search/full_text.py",
            f"@celery.shared_task({LIMITS})\ndef x_task(): f()",
            "tasks.py",
        ),
    ],
)
def test_a_task_that_is_more_than_a_call_is_found(path: str, source: str, advice: str) -> None:
    (complaint,) = complain(rules.check_tasks, path, source)

    assert advice in complaint


def test_a_thin_task_is_left_alone() -> None:
    source = f'@shared_task({LIMITS})\ndef build_task(pk: int):\n    """Why."""\n    build(pk=pk)'

    assert complain(rules.check_tasks, "collections_app/tasks.py", source) == []


@pytest.mark.parametrize(
    "source",
    [
        "<script>alert(1)</script>",
        "<script>{% if x %}go(){% endif %}</script>",
        "<style>p { color: red }</style>",
        '<p style="color: {{ color }}">',
        "<p class=a STYLE='top:0'>",
        '<button onclick="go()">',
        '<button {% if x %}disabled{% endif %} onclick="go()">',
        '<button hx-on:click="go()">',
        '<a href="javascript:go()">',
        '<script src="https://cdn.example.org/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/css">',
        '<img src="http://example.org/x.png" alt="">',
        '<form action="https://example.org/">',
        '<svg><use href="https://example.org/i.svg#a"/></svg>',
    ],
)
def test_a_template_that_the_policy_would_break_is_found(source: str) -> None:
    padded = f"{{# a comment\nof two lines #}}\n{source}"

    (complaint,) = rules.check_template(PurePosixPath("templates/x.html"), padded)

    assert complaint.startswith("templates/x.html:3:")


@pytest.mark.parametrize(
    "source",
    [
        "<script src=\"{% static 'js/medagg.js' %}\" defer></script>",
        '<a href="https://example.org/" rel="noopener">elsewhere</a>',
        '{# <p style="x"> #}{% comment %}<script>old()</script>{% endcomment %}',
        "<p>the style= of http://example.org and onclick=</p>",
        '<a href="{% url "home" %}"{% block nav %} aria-current="page"{% endblock %}>on</a>',
        '<meta name="htmx-config" content=\'{"allowEval": false}\'>',
    ],
)
def test_a_template_that_is_safe_is_left_alone(source: str) -> None:
    assert list(rules.check_template(PurePosixPath("templates/x.html"), source)) == []


@pytest.mark.parametrize("rule", ["@import 'a.css';", "a{background:url(https://e.org/a.png)}"])
def test_a_style_sheet_that_loads_is_found(rule: str) -> None:
    assert len(list(rules.check_style_sheet(PurePosixPath("x.css"), f"p{{}}\n{rule}"))) == 1
    assert list(rules.check_style_sheet(PurePosixPath("x.css"), "a{mask:url(../img/a.svg)}")) == []


@pytest.mark.parametrize(
    "line",
    [
        "cd /home/someone/medagg",
        'DATA = "/root/data"',
        "see /Users/someone/x",
        "file:///home/me/x",
        r"C:\Users\someone\x",
    ],
)
def test_a_path_of_a_developers_machine_is_found(line: str) -> None:
    assert len(list(rules.check_paths(PurePosixPath("x.md"), line))) == 1


@pytest.mark.parametrize(
    "line",
    ["https://example.org/home/page", "~/project/x", "/srv/medagg/data", "the homework/x", "/root"],
)
def test_other_paths_are_left_alone(line: str) -> None:
    assert list(rules.check_paths(PurePosixPath("x.md"), line)) == []


def test_a_long_file_is_found_and_blank_lines_do_not_count() -> None:
    path, limit = PurePosixPath("x.py"), rules.MAX_CODE_LINES

    assert list(rules.check_length(path, "x = 1\n\n" * limit)) == []
    assert len(list(rules.check_length(path, "x = 1\n" * (limit + 1)))) == 1


def test_files_that_git_ignores_are_not_looked_at() -> None:
    parts = {part for path in find_files() for part in path.parts}

    assert {"manage.py", "base.html", "models.py"} <= parts
    assert not {".git", ".venv", "var", "__pycache__"} & parts
