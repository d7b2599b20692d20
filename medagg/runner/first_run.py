"""The preparations of `manage.py up`: schema, first data, administrator, static files."""

import contextlib
import hashlib
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

from catalog.models import Dataset
from medagg.runner.embedded import read_or_make_secret
from vocab.models import Modality

ADMIN_NAME = "admin"
ADMIN_PASSWORD_BYTES = 12


@contextlib.contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Sends what is logged or warned of meanwhile to `path`: the samples that pydicom ships are
    odd on purpose, and a terminal full of that would hide what matters. Errors are raised anyway.
    """
    root = logging.getLogger()
    before = list(root.handlers)
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.handlers[:] = [handler]
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = before
        handler.close()


def load_first_data(*, demo: bool, say: Callable[[str], None]) -> None:
    """Migrates, then loads the first data, and terms that a newer medagg ships.

    Asks the database, not a file: an empty one behind DATABASE_URL is filled as well. One with
    vocabularies of its own alone gets no others.
    """
    say("Bringing the database up to date …")
    _run("migrate", interactive=False)
    if not Modality.objects.exists():
        say("Loading the vocabularies (only the first time) …")
        _run("load_vocab")
    elif Modality.objects.exclude(shipped_json={}).exists():
        _run("load_vocab")
    if demo and not Dataset.objects.exists():
        say("Loading the demo data (only the first time, it takes a moment) …")
        _run("load_demo")


def ensure_admin(password_file: Path, *, show: bool) -> str:
    """Creates the superuser if there is none, and returns a text on how to sign in.

    The password is random and kept in `password_file`, which only its owner can read. With
    `show`, the text has it once, when the superuser is made.
    """
    users = get_user_model().objects
    admin = users.filter(username=ADMIN_NAME).first()
    if admin is None and users.filter(is_superuser=True).exists():
        return "with your own superuser account"
    if admin is None:
        password = read_or_make_secret(password_file, length=ADMIN_PASSWORD_BYTES)
        users.create_superuser(ADMIN_NAME, None, password)
        if not show:
            return f"{ADMIN_NAME}, with the password in {password_file}"
        return f"{ADMIN_NAME} / {password}  (shown once, and kept in {password_file})"
    if not password_file.exists():
        return f"{ADMIN_NAME}, with the password that you chose"
    password = read_or_make_secret(password_file)
    if admin.check_password(password):
        return f"{ADMIN_NAME}, with the password in {password_file}"
    return f"{ADMIN_NAME}, with the password that you chose (not the one in {password_file})"


def collect_static_files(stamp: Path, *, say: Callable[[str], None]) -> None:
    """Collects static files into STATIC_ROOT, unless `stamp` has the hash of the present files."""
    root = Path(settings.STATIC_ROOT)
    state = _describe_static_files(root)
    complete = (root / "staticfiles.json").exists() and stamp.exists()
    if complete and stamp.read_text(encoding="ascii") == state:
        return
    say("Collecting the static files …")
    stamp.unlink(missing_ok=True)
    _run("collectstatic", interactive=False, clear=True)
    stamp.write_text(state, encoding="ascii")


def _describe_static_files(root: Path) -> str:
    """A hash of the names, sizes and times of all static files."""
    digest = hashlib.sha256(str(root).encode(errors="surrogateescape"))
    for finder in get_finders():
        for name, storage in finder.list([]):
            status = Path(storage.path(name)).stat()
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _run(command: str, **options: object) -> None:
    """Runs a command without its output; its errors are raised."""
    call_command(command, stdout=io.StringIO(), verbosity=0, **options)
