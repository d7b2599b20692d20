"""Random secrets that are made once and kept in a file that only its owner can read."""

import os
import secrets
import tempfile
from pathlib import Path

from medagg.runner.embedded.errors import EmbeddedError

# As Django's check security.W009 has it.
SHORTEST_KEY = 50
FEWEST_CHARACTERS = 5


def find_weakness(key: str) -> str:
    """Why nobody should sign with this key, and how to make a better one; empty if it may be used.

    An empty key is no key yet, and not weak.
    """
    different = len(set(key))
    if not key or (len(key) >= SHORTEST_KEY and different >= FEWEST_CHARACTERS):
        return ""
    return (
        f"can be guessed: it has {len(key)} characters, {different} of them different, and should "
        f"have {SHORTEST_KEY} or more, made at random. Make one: openssl rand -hex 32"
    )


def read_or_make_secret(path: Path, *, length: int = 50) -> str:
    """The secret kept in `path`, made at random the first time with `length` bytes of entropy.

    Two processes that come at once get the same secret. Raises EmbeddedError if the file can
    neither be read nor written.
    """
    return keep_secret(path, make_secret(length))


def make_secret(length: int = 50) -> str:
    """A random secret with `length` bytes of entropy."""
    return secrets.token_urlsafe(length)


def keep_secret(path: Path, secret: str) -> str:
    """The secret kept in `path`, which is `secret` from now on if there was none.

    Raises EmbeddedError if the file can neither be read nor written.
    """
    try:
        return read_secret(path) or _make_secret(path, secret)
    except OSError as error:
        raise EmbeddedError(f"cannot keep a secret in {path}: {error.strerror}") from error


def read_secret(path: Path) -> str:
    """The secret kept in `path`; empty if there is none. Raises EmbeddedError."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise EmbeddedError(f"cannot keep a secret in {path}: {error.strerror}") from error


def _make_secret(path: Path, secret: str) -> str:
    """Writes the whole file aside and links it in place, so that nobody reads half of it.

    A link and no rename, which would replace the secret of a process that came first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secret}\n")
        if path.exists() and not read_secret(path):
            draft.replace(path)  # an empty file is left by a full disk
        else:
            path.hardlink_to(draft)
    except FileExistsError:
        return read_secret(path)
    finally:
        draft.unlink(missing_ok=True)
    return secret
