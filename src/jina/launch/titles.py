"""The name of a process in what `ps` and `top` show. Linux only; elsewhere, and where it cannot be done, nothing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Collection, Sequence

WIDTH = 48
"""Characters of a name that a process can be given after its start."""

_PR_SET_NAME = 15
_ARG_START, _ARG_END = 48 - 3, 49 - 3  # fields of proc_pid_stat(5), counted from the first after the name


def show(name: str) -> None:
    """Name this process: in full in the last word of its command line, if that has the room, shortened in `top`."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0)  # the kernel takes 15 bytes
    with contextlib.suppress(OSError, ValueError, IndexError):
        _write_last_word(name.encode())


def _write_last_word(name: bytes) -> None:
    """The kernel reads the command line from this process's own memory (PR_SET_MM in prctl(2))."""
    line, _, end = _command_line()
    old = line.rstrip(b"\0").rpartition(b"\0")[2]
    if old.strip() == name:
        return
    ctypes.memmove(end - 1 - len(old), name[: len(old)].ljust(len(old)), len(old))


def _command_line() -> tuple[bytes, int, int]:
    """It, and where in memory it begins and ends; raises `ValueError` where it is somewhere else."""
    with open("/proc/self/cmdline", "rb") as file:
        line = file.read()
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    if not start or end - start != len(line) or ctypes.string_at(start, len(line)) != line:
        raise ValueError("the command line is not there")
    return line, start, end


def hide(words: Sequence[str], flags: Collection[str]) -> None:
    """Overwrite what follows some flags in the command line of this process, which every user can read."""
    if sys.platform != "linux" or not any(word.partition("=")[0] in flags for word in words):
        return
    with contextlib.suppress(OSError, ValueError, IndexError):
        _overwrite([os.fsencode(flag) for flag in flags])


def _overwrite(flags: Collection[bytes]) -> None:
    line, start, _ = _command_line()
    at, secret = start, False
    for word in line.split(b"\0")[:-1]:
        flag, given, value = word.partition(b"=")
        secret = flag in flags or (secret and not word.startswith(b"--"))
        if secret and flag not in flags:
            ctypes.memset(at, ord("*"), len(word))
        elif secret and given:
            ctypes.memset(at + len(word) - len(value), ord("*"), len(value))
        at += len(word) + 1
