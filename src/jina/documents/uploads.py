"""Files in which large contents wait while a request lasts, handed over by name between processes of one machine.

Each process has a folder of its own below one of the user's, and a lock in it for as long as it lives: so the files of
processes that were killed are told from those in use, and removed at the next start.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import os
import re
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from typing import IO

from jina.errors import OutOfStorage

_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{32}")
_LOCK = "lock"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_UNFINISHED = 60.0
"""Seconds after which a folder without a lock is one that a process began and did not finish."""
_guard = threading.Lock()
_own: tuple[int, str, int] | None = None
"""Process, folder and the descriptor of the lock in it; a forked process makes its own."""


def folder_of_user() -> str:
    """Where the folders of all processes of this user are."""
    return os.path.join(_base(), f"jina-uploads-{os.getuid()}")


def create() -> tuple[str, IO[bytes]]:
    """A new file, by its name and open for writing; raises `OutOfStorage`."""
    with storage():
        name = _new_name()
        place = os.path.join(folder_of_user(), *name.split("-"))
        return name, os.fdopen(os.open(place, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600), "wb")


def offer(path: str) -> str:
    """A name by which another process finds a file of this one; it is not copied."""
    with storage():
        name = _new_name()
        os.symlink(os.path.abspath(path), os.path.join(folder_of_user(), *name.split("-")))
        return name


def path_of(name: str) -> str:
    """Where the file of a name is; raises ValueError for what is none, so that no client can name other files."""
    if _NAME.fullmatch(name):
        place = os.path.join(folder_of_user(), *name.split("-"))
        if os.path.isfile(place):
            return place
    raise ValueError("there is no such upload")


def remove(names: Iterable[str]) -> None:
    """Remove files, as far as they are there; of an offered file its name alone."""
    for name in names:
        if _NAME.fullmatch(name):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder_of_user(), *name.split("-")))


@contextlib.contextmanager
def storage() -> Iterator[None]:
    """Turn a full disk into `OutOfStorage`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OutOfStorage(
            f"no room for the file in {_base()}: {error.strerror}",
            help="free some, or set TMPDIR to a folder of a larger file system",
        ) from None


def remove_left_over() -> None:
    """Remove what processes left that live no more."""
    base = folder_of_user()
    mine = _own[1] if _own is not None and _own[0] == os.getpid() else ""
    try:
        found = [entry.path for entry in os.scandir(base) if entry.is_dir(follow_symlinks=False)]
        _check(base)
    except OSError:
        return
    for folder in found:
        if folder != mine and _is_left_over(folder):
            _remove(folder)


def _is_left_over(folder: str) -> bool:
    try:
        with open(os.path.join(folder, _LOCK), "r+b") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return not os.path.basename(folder).startswith(".") or _is_old(folder)
    except FileNotFoundError:
        return _is_old(folder)
    except OSError:
        return False


def _is_old(folder: str) -> bool:
    try:
        return time.time() - os.lstat(folder).st_mtime > _UNFINISHED
    except OSError:
        return False


def _new_name() -> str:
    return f"{os.path.basename(_folder())}-{os.urandom(16).hex()}"


def _folder() -> str:
    global _own
    with _guard:
        if _own is not None and _own[0] == os.getpid() and os.path.dirname(_own[1]) != folder_of_user():
            os.close(_own[2])
            _own = None
        if _own is None or _own[0] != os.getpid() or not os.path.isdir(_own[1]):
            _own = _made()
        return _own[1]


def _made() -> tuple[int, str, int]:
    base, name = folder_of_user(), os.urandom(8).hex()
    os.makedirs(base, mode=0o700, exist_ok=True)
    _check(base)
    unfinished, folder = os.path.join(base, f".{name}"), os.path.join(base, name)
    os.mkdir(unfinished, 0o700)
    # Open, and with it locked, for as long as the process lives.
    lock = os.open(os.path.join(unfinished, _LOCK), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.lockf(lock, fcntl.LOCK_EX)
    os.rename(unfinished, folder)
    atexit.register(_end, os.getpid(), folder)
    return os.getpid(), folder, lock


def _check(base: str) -> None:
    """Raise for a folder that others than this user may change."""
    found = os.lstat(base)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{base} is not a folder of this user alone; remove it, or set TMPDIR")


def _end(process: int, folder: str) -> None:
    if os.getpid() == process:
        _remove(folder)


def _base() -> str:
    from tempfile import gettempdir  # here, as most processes have no files, and these modules are large

    return gettempdir()


def _remove(folder: str) -> None:
    from shutil import rmtree

    rmtree(folder, ignore_errors=True)
