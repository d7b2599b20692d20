"""The rules that keep the architecture. Each gives complaints that say what to do instead."""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import PurePosixPath

from medagg.tests.source_tree import APPS, Import, Module

PURE = (
    "vocab.text",
    "catalog.imaging",
    "catalog.search.query",
    "collections_app.archive",
    "collections_app.selection.name_check",
    "collections_app.delivery.ranges",
)
# The outermost rooms of an app, and from which rooms each may be imported; all others are
# services, which know none of these. A download view has a module of its own.
DOORS: dict[str, set[str]] = {
    "views": {"urls"},
    "download": {"urls"},
    "forms": {"views", "admin", "forms"},
    "admin": {"admin"},
    "templatetags": {"templatetags"},
    "tasks": set(),
    "urls": set(),
    "management": {"management"},
    "receivers": set(),
    "context_processors": set(),
}
HTTP_ROOMS = {"views", "download", "admin"}
MAX_CODE_LINES = 400


# --- Modules ---
def check_layers(module: Module) -> Iterator[str]:
    """vocab ← catalog ← collections_app ← medagg."""
    if module.package not in APPS:
        return
    above = APPS[APPS.index(module.package) + 1 :]
    for each in module.imports:
        if any(each.is_of(app) for app in above):
            yield (
                f"{module.place(each.line)} imports {each.name} from an app above. Move what both "
                "need down, or send a signal (vocab/signals.py) that the upper app receives."
            )
        if each.is_of("medagg"):
            yield (
                f"{module.place(each.line)} imports {each.name}: apps do not know the project. "
                "Read django.conf.settings, or move it into the app that needs it."
            )


def check_models(module: Module) -> Iterator[str]:
    """Models and querysets know only each other and pure modules."""
    if module.room not in {"models", "querysets"}:
        return
    for each in module.imports:
        is_ours = each.is_of(module.package)
        is_known = any(each.is_of(f"{module.package}.{name}") for name in ("models", "querysets"))
        if is_ours and not is_known and not _is_pure(each.name):
            yield (
                f"{module.place(each.line)}: {module.room} import {each.name}. Put what decides or "
                "writes into services, and let that import the models."
            )


def check_doors(module: Module) -> Iterator[str]:
    """Services know no views, admin, tasks, forms or commands; views are for urls alone."""
    for each in module.imports:
        app, _, rest = each.name.partition(".")
        door = rest.split(".")[0]
        if app not in APPS or door not in DOORS or _is_inside(module, app, door):
            continue
        if module.room not in DOORS[door]:
            allowed = " and ".join(sorted(DOORS[door])) or "nobody"
            yield (
                f"{module.place(each.line)} imports {each.name}; {allowed} may. Move what is "
                "needed into a service; announce a task by its name (builds/queue.py)."
            )


def _is_inside(module: Module, app: str, door: str) -> bool:
    return module.package == app and module.room == door


def check_http(module: Module) -> Iterator[str]:
    """HTTP stays in views; services get values and give values or exceptions."""
    if module.package not in APPS or module.room in HTTP_ROOMS:
        return
    for each in module.imports:
        is_response = each.is_of("django.http") and "Response" in each.name
        if is_response or each.is_of("django.shortcuts"):
            yield (
                f"{module.place(each.line)} imports {each.name}. Return a value or raise an "
                f"exception, and answer in {' or '.join(sorted(HTTP_ROOMS))}."
            )


def check_purity(module: Module) -> Iterator[str]:
    """Pure modules run and are tested without Django."""
    if not _is_pure(module.name):
        return
    for each in module.imports:
        if each.is_of("django") or (_is_ours(each) and not _is_pure(each.name)):
            yield (
                f"{module.place(each.line)} imports {each.name}, but {module.name} is pure. Take "
                "plain values as arguments, and read the database or the settings in the caller."
            )


def _is_pure(name: str) -> bool:
    return any(f"{name}.".startswith(f"{pure}.") for pure in PURE)


def _is_ours(each: Import) -> bool:
    return any(each.is_of(package) for package in (*APPS, "medagg"))


def check_import_places(module: Module) -> Iterator[str]:
    """Imports stand at the top, where the module graph can be seen."""
    for function in _functions(module):
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield (
                    f"{module.place(node.lineno)}: an import inside {function.name}(). Move it to "
                    "the top; if that makes a cycle, move the shared part to a module of its own."
                )


Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(module: Module) -> Iterator[Function]:
    for node in ast.walk(module.tree):
        if isinstance(node, Function):
            yield node


def check_tasks(module: Module) -> Iterator[str]:
    """Tasks stand in tasks.py, end in ``_task``, have both limits and make one service call."""
    for function in _functions(module):
        decorator = next((each for each in function.decorator_list if _makes_task(each)), None)
        where = f"{module.place(function.lineno)}: {function.name}"
        if decorator is None:
            if module.room == "tasks":
                yield f"{where} is no task. Move it into the service that the task calls."
            continue
        if module.room != "tasks":
            yield f"{where} is a task. Move it to tasks.py of its app, where all of them are found."
        if not function.name.endswith("_task"):
            yield f"{where} is a task. Name it {function.name}_task, to tell it from its service."
        if not {"soft_time_limit", "time_limit"} <= _keywords(decorator):
            yield f"{where} can run forever. Give it soft_time_limit and time_limit."
        if not _is_one_call(function):
            yield f"{where} does more than one call. Move the body into a service."


def _makes_task(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (isinstance(called, ast.Name) and called.id == "shared_task") or (
        isinstance(called, ast.Attribute) and called.attr in {"task", "shared_task"}
    )


def _keywords(decorator: ast.expr) -> set[str | None]:
    return {each.arg for each in decorator.keywords} if isinstance(decorator, ast.Call) else set()


def _is_one_call(function: Function) -> bool:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return len(body) == 1 and isinstance(getattr(body[0], "value", None), ast.Call)


MODULE_RULES = (
    check_layers,
    check_models,
    check_doors,
    check_http,
    check_purity,
    check_import_places,
    check_tasks,
)


# --- Templates and style sheets ---
_DJANGO = re.compile(r"\{%\s*comment.*?endcomment\s*%\}|\{[%{#].*?[%}#]\}", re.DOTALL)
_ELSEWHERE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
_LOADING = {"src", "srcset", "poster", "data", "background", "action", "formaction", "xlink:href"}
_STYLE_LOADS = re.compile(r"@import|url\(\s*['\"]?\s*(?:https?:)?//", re.IGNORECASE)


def check_template(path: PurePosixPath, source: str) -> Iterator[str]:
    """No inline code and nothing from other servers, as the security policy demands."""
    reader = _TemplateReader()
    # Tags are blanked rather than rendered, so that each line keeps its number.
    reader.feed(_DJANGO.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), source))
    reader.close()
    for line, problem in reader.problems:
        yield f"{path}:{line}: {problem}"


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
            if self._loads(tag, name) and _ELSEWHERE.match(value or ""):
                self._complain(f"{name}={value} loads from elsewhere. Ship the file in static/.")
            if (value or "").strip().lower().startswith("javascript:"):
                self._complain(f"{name} is a script. Use a button, and static/js/.")

    @staticmethod
    def _loads(tag: str, name: str) -> bool:
        return name in _LOADING or (name == "href" and tag not in {"a", "area"})

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in {"script", "style"} and data.strip():
            self._complain(f"a <{self._inside}> with a body. Move it to a file in static/.")


def check_style_sheet(path: PurePosixPath, source: str) -> Iterator[str]:
    """Style sheets load nothing from other servers, and one another only by <link>."""
    for number, line in enumerate(source.splitlines(), start=1):
        if _STYLE_LOADS.search(line):
            yield f"{path}:{number}: {line.strip()}. Ship the file in static/, <link> style sheets."


# --- All files ---
# The name of a folder must follow, so that a bare "/root" stays possible.
_MACHINE_PATH = re.compile(r"(?<![\w.~-])(?:/(?:work|root|home|Users)/|[A-Z]:\\Users\\)[\w.-]+")


def check_paths(path: PurePosixPath, source: str) -> Iterator[str]:
    """Nothing names a folder of the machine on which it was written."""
    for number, line in enumerate(source.splitlines(), start=1):
        if found := _MACHINE_PATH.search(line):
            yield (
                f"{path}:{number} names {found[0]}. Name a path relative to the repository; "
                "in examples /srv/… ."
            )


def check_length(path: PurePosixPath, source: str) -> Iterator[str]:
    """A file is one thing that can be read in one go."""
    lines = sum(1 for line in source.splitlines() if line.strip())
    if lines > MAX_CODE_LINES:
        yield (
            f"{path} has {lines} lines of code, more than {MAX_CODE_LINES}. Find the two things "
            "that it does, and give each a file (the aim is 300)."
        )
