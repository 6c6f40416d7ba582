"""Where the consensus agent is, and what keeps it from running."""

from __future__ import annotations

import errno
import importlib
import os
import platform
import stat
import subprocess
from collections.abc import Sequence

import jina
from jina.errors import MissingExtra, RuntimeFailToStart, ending_of, install_command

_PATIENCE = 30.0
"""Seconds that the program gets to say its version."""
_BY_HAND = "dev"
"""The version of a program that was built without `consensus/build.py`."""
_AGAIN = (
    f"pip install --force-reinstall --no-deps --find-links dist rejina-raft=={jina.__version__}"
    " (dist: the folder that `make wheels` fills); in a checkout make agent"
)


def path() -> str:
    """The program; raises `MissingExtra` where it is not installed."""
    try:
        return str(importlib.import_module("jina_raft").PATH)
    except ImportError:
        raise MissingExtra(
            "a stateful Deployment needs the consensus agent, which is not installed",
            help=f"{install_command('stateful')} (dist: the folder that `make wheels` fills); in a checkout make agent",
        ) from None


def checked() -> str:
    """The program, once it has told its version; raises `RuntimeFailToStart` where it cannot run, or is of another."""
    program = path()
    name = f"the consensus agent {program}"
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
        )
    except OSError as error:
        why, way_out = cannot_run(program, error)
        raise RuntimeFailToStart(f"the consensus agent {why}", help=way_out) from None
    except subprocess.TimeoutExpired:
        raise RuntimeFailToStart(f"{name} does not say its version within {_PATIENCE:g} s", help=_AGAIN) from None
    if done.returncode != 0:
        said = cause_of_crash(done.stderr.decode(errors="replace").splitlines())
        raise RuntimeFailToStart(
            f"{name} {ending_of(done.returncode)}" + (f": {said}" if said else ""),
            help=f"see what `{program} --version` says, or {_AGAIN}",
        )
    version = done.stdout.decode(errors="replace").strip()
    if version not in {jina.__version__, _BY_HAND}:
        raise RuntimeFailToStart(f"{name} is of version {version}, jina is of {jina.__version__}", help=_AGAIN)
    return program


def cannot_run(program: str, error: OSError) -> tuple[str, str]:
    """Why the system does not start the program, with its path, and what to do about it."""
    if isinstance(error, PermissionError):
        return _not_permitted(program)
    if isinstance(error, FileNotFoundError):
        if os.path.exists(program):
            return f"{program} needs an interpreter or a loader that is not on this machine", _AGAIN
        return f"{program} is missing", _AGAIN
    if error.errno == errno.ENOEXEC:
        return f"{program} is no program for this machine ({platform.system()} {platform.machine()})", _AGAIN
    return f"{program} cannot be started: {error.strerror}", ""


def _not_permitted(program: str) -> tuple[str, str]:
    try:
        mode = stat.S_IMODE(os.stat(program).st_mode)
        noexec = os.statvfs(program).f_flag & getattr(os, "ST_NOEXEC", 0)
    except OSError as error:
        return f"{program} cannot be reached: {error.strerror}", "give this user the right to enter its folder"
    if noexec:
        way_out = "mount it with exec, or install jina and the agent into an environment on another file system"
        return f"{program} is on a file system that is mounted noexec", way_out
    if not mode & 0o111:
        return f"{program} is not executable (its mode is {mode:04o})", f"chmod +x {program}"
    return f"{program} may not be executed by this user (its mode is {mode:04o})", f"chmod a+rx {program}"


def cause_of_crash(lines: Sequence[str]) -> str:
    """The line that names the cause among the last that the program said: a Go program that dies writes many."""
    return next((line for line in lines if line.startswith(("panic:", "fatal error:"))), lines[-1] if lines else "")
