"""The operating system account of the servers, and their private folders."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from medagg.runner.embedded.errors import EmbeddedError

# In order of preference. `nobody` exists everywhere, `postgres` is meant for this.
CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int

    @property
    def ids(self) -> tuple[int, int]:
        return self.uid, self.gid


def choose_account(data: Path) -> Account | None:
    """The account for a server with its data in `data`; None means: whoever runs medagg.

    Root hands over to the owner of existing data, so that a clone which an ordinary user has
    run before stays that user's. Raises EmbeddedError if there is no account to hand over to.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return _account_of(data)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it; "
        "create one, run medagg as an ordinary user, or set DATABASE_URL"
    )


def _account_of(path: Path) -> Account:
    status = path.stat()
    try:
        entry = pwd.getpwuid(status.st_uid)
    except KeyError:
        return Account(str(status.st_uid), status.st_uid, status.st_gid)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def make_private(folder: Path, account: Account | None) -> None:
    """Makes `folder` if needed and gives it, with all in it, to `account`, for nobody else.

    Folders above it keep their permissions. Raises EmbeddedError if another user owns it.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.stat().st_uid
        if account and owner != account.uid:
            _give_away(folder, account)
        elif not account and owner != os.geteuid():
            raise EmbeddedError(f"{folder} belongs to another user (id {owner}): run medagg as it")
        folder.chmod(0o700)
    except OSError as error:
        raise EmbeddedError(f"cannot write to {folder}: {error.strerror}") from error


def _give_away(folder: Path, account: Account) -> None:
    os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent, name), account.uid, account.gid, follow_symlinks=False)
