"""Becomes another program that dies with its parent and, for root, runs under another account.

Run as a script: `python -I launch.py OPTIONS PROGRAM [ARGUMENT ...]`, OPTIONS being the JSON that
`launch_command` writes. It imports nothing of medagg, so that it starts fast and from any folder.

PostgreSQL refuses to run as root. An ordinary account may be unable to reach a clone below
/root; opening the folders above it to everybody is not ours to do. The program then keeps one
capability of root, the one to pass folders and read files (see capabilities(7)).
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

PARENT_VARIABLE = "MEDAGG_PARENT_PID"

# From linux/prctl.h and linux/capability.h.
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_SETPCAP = 8
CAPABILITY_VERSION_3 = 0x20080522

CANNOT_START = 126


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapabilityWord(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def launch_command(
    command: Sequence[str | Path],
    *,
    parent_death_signal: signal.Signals,
    account: tuple[int, int] | None = None,
    reach: Sequence[Path] = (),
    nice: int = 0,
) -> list[str]:
    """The argument list that runs `command` through this script.

    `account` is the (uid, gid) to run under, None for the caller's own. `reach` names what that
    account must be able to enter or execute. With `nice` it gives way to other programs: for
    processors and, where the disk's scheduler has priorities, for the disk. Start it with
    `launch_environment()`.
    """
    options = {
        "parent_death_signal": int(parent_death_signal),
        "account": account,
        "reach": [str(path) for path in reach],
        "nice": nice,
    }
    return [sys.executable, "-I", __file__, json.dumps(options), *map(str, command)]


def launch_environment(environment: dict[str, str]) -> dict[str, str]:
    """`environment`, with the caller's pid: a child that finds another parent came too late."""
    return {**environment, PARENT_VARIABLE: str(os.getpid())}


def main(arguments: list[str]) -> NoReturn:
    options, command = json.loads(arguments[0]), arguments[1:]
    if options["nice"]:
        _be_nice(options["nice"])
    if options["account"]:
        uid, gid = options["account"]
        _change_account(uid, gid, options["reach"])
    # After the change of account, which clears it.
    _die_with_parent(options["parent_death_signal"])
    try:
        os.execv(command[0], command)  # noqa: S606 - our own list  # nosec
    except OSError as error:
        _give_up(f"cannot run {command[0]}: {error.strerror}")


def _be_nice(increment: int) -> None:
    os.nice(increment)
    # Where Linux shares processors out among sessions first, the session's own number counts.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(increment), encoding="ascii")


def _die_with_parent(number: int) -> None:
    """Linux only; elsewhere a killed parent leaves its children behind."""
    parent = os.environ.pop(PARENT_VARIABLE, "")
    if sys.platform != "linux":
        return
    _prctl(PR_SET_PDEATHSIG, number)
    if parent and os.getppid() != int(parent):
        raise SystemExit(CANNOT_START)


def _change_account(uid: int, gid: int, reach: Sequence[str]) -> None:
    on_linux = sys.platform == "linux"
    try:
        if on_linux:
            _prctl(PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        _give_up(f"cannot change from root to the user with the id {uid}: {error.strerror}")
    # os.access() asks for the bare account: the kernel leaves capabilities aside there.
    closed = [path for path in reach if not os.access(path, os.X_OK)]
    if on_linux:
        _keep_capability(_best_capability() if closed else None)
    if closed and not all(_can_reach(path) for path in closed):
        _give_up(
            f"the user with the id {uid} cannot reach {closed[0]}; "
            "move the clone out of that folder, or set DATABASE_URL and REDIS_URL"
        )


def _can_reach(path: str) -> bool:
    try:
        Path(path).stat()
    except PermissionError:
        return False
    return True


def _best_capability() -> int | None:
    """Reading is all that is needed; container engines often leave root only the wider one."""
    permitted = _capabilities()[0].permitted
    if not permitted & (1 << CAP_SETPCAP):
        return None
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        if permitted & (1 << capability):
            return capability
    return None


def _capabilities() -> Any:
    words = (_CapabilityWord * 2)()
    header = _CapabilityHeader(CAPABILITY_VERSION_3, 0)
    _check(_libc().capget(ctypes.byref(header), words))
    return words


def _keep_capability(capability: int | None) -> None:
    """Gives up all of root's capabilities but this one, which programs started later keep too."""
    if capability is None:
        _set_capabilities(0)
        return
    kept = 1 << capability
    _set_capabilities(kept | 1 << CAP_SETPCAP)
    # Else access(2), by which initdb looks for its own programs, leaves the capability aside.
    _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    _set_capabilities(kept)
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def _set_capabilities(mask: int) -> None:
    words = (_CapabilityWord * 2)(_CapabilityWord(mask, mask, mask))
    header = _CapabilityHeader(CAPABILITY_VERSION_3, 0)
    _check(_libc().capset(ctypes.byref(header), words))


def _prctl(option: int, *values: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    _check(_libc().prctl(option, *padded))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _give_up(reason: str) -> NoReturn:
    print(f"medagg: {reason}", file=sys.stderr)  # noqa: T201
    raise SystemExit(CANNOT_START)


if __name__ == "__main__":
    main(sys.argv[1:])
