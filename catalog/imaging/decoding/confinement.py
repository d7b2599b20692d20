"""Takes files and the network from a process, and from those that it forks, by Linux' Landlock.

A decoder that is broken into could else read whatever medagg's user can: datasets, keys, mails.
Numbers and layouts: the Linux kernel's documentation, userspace-api/landlock, and its header
linux/landlock.h. Landlock needs no rights; kernels have it from version 5.13 on.
"""

import ctypes
import os
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

# The system calls, whose numbers are the same on all architectures.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
# How many kinds of access to files each version knows; later ones know as many as the last.
_FILE_KINDS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_FIRST_WITH_TCP, _FIRST_WITH_SCOPES = 4, 6
_TCP = 1 << 0 | 1 << 1  # to listen, to connect
_SCOPES = 1 << 0 | 1 << 1  # abstract sockets, signals to other processes
_MODULES = Path(__file__).parents[2]  # catalog, whose code may be loaded at its first use
_LIBRARIES = ("/lib", "/lib64", "/usr/lib")


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("folder", ctypes.c_int32))


def find_landlock_version() -> int:
    """The version that this kernel has; 0 if it has none, or has it switched off."""
    if sys.platform != "linux":
        return 0
    version = _libc().syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    return max(0, int(version))


def confine() -> bool:
    """From now on open nothing but programs' own libraries, to read; connect to nothing by TCP.

    What is open stays so. Returns False, and does nothing, on a kernel without Landlock.

    Raises:
        OSError: the kernel has it, but refuses.
    """
    if not (version := find_landlock_version()):
        return False
    rules = _Ruleset(files=(1 << _FILE_KINDS.get(version, max(_FILE_KINDS.values()))) - 1)
    if version >= _FIRST_WITH_TCP:
        rules.tcp = _TCP
    if version >= _FIRST_WITH_SCOPES:
        rules.scopes = _SCOPES
    # An older kernel refuses the fields that it does not know.
    size = 24 if version >= _FIRST_WITH_SCOPES else 16 if version >= _FIRST_WITH_TCP else 8
    ruleset = _call(_CREATE_RULESET, ctypes.byref(rules), size, 0)
    try:
        for folder in _find_libraries():
            _allow_reading(ruleset, folder)
        if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return True


def _find_libraries() -> set[str]:
    paths = sysconfig.get_paths()
    python = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return {str(_MODULES), *_LIBRARIES, *python, f"{sys.base_prefix}/lib"}


def _allow_reading(ruleset: int, folder: str) -> None:
    with suppress(FileNotFoundError):
        opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = _PathBeneath(access=_EXECUTE | _READ_FILE | _READ_DIR, folder=opened)
            _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
        finally:
            os.close(opened)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc().syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
