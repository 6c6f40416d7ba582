"""Snapshots as folders: what the Executor wrote, the window of requests, and a manifest that vouches for every byte."""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from jina.errors import ExecutorDefinitionError, InternalError
from jina.executor import Executor
from jina.executor.decorators import location

_STATE: Final = "state"
_WINDOW: Final = "window"
_MANIFEST: Final = "manifest.json"
_FORMAT: Final = 2
_FILE: Final = "a file"
_FOLDER: Final = "a folder"


class Manifest(msgspec.Struct):
    """`files` maps names to SHA-256; `kind` is what the Executor's methods take: a folder or (as in Jina 3) a file."""

    format: int
    index: int
    kind: str
    files: dict[str, str]


def can_snapshot(executor: Any) -> bool:
    """Whether the class has both methods of its own; otherwise the log is kept and replayed.

    Raises `ExecutorDefinitionError` where what one writes could not be read by the other, which would show when the
    log that it took the place of is gone.
    """
    cls = type(executor)
    if cls.snapshot is Executor.snapshot or cls.restore is Executor.restore:
        return False
    forms = [_form(method) for method in (cls.snapshot, cls.restore)]
    if set(forms) == {_FILE, _FOLDER}:
        takes = "its snapshot() takes the path of {}, and restore() that of {}".format(*forms)
        raise ExecutorDefinitionError(
            f"{cls.__name__} ({location(cls)}): {takes}", help="name both parameters snapshot_dir, or snapshot_file"
        )
    return True


def never_taken(executor: Any) -> Iterator[str]:
    """Why no snapshots are taken although the class could write them."""
    cls = type(executor)
    if cls.snapshot is not Executor.snapshot and cls.restore is Executor.restore:
        yield (
            f"{cls.__name__} ({location(cls)}) has snapshot() but no restore(): no snapshot is taken, as nothing would "
            "read it, and the log is kept"
        )


def _form(method: Any) -> str:
    names = inspect.signature(method).parameters
    return _FILE if "snapshot_file" in names else _FOLDER if "snapshot_dir" in names else ""


def require_restore(executor: Any) -> None:
    """Raise where there is a snapshot to begin from, and the class would pass over it."""
    cls = type(executor)
    if cls.restore is Executor.restore:
        raise ExecutorDefinitionError(
            f"{cls.__name__} ({location(cls)}) has no restore(), and its state begins with a snapshot",
            help="give it the restore() of the class that wrote the snapshot",
        )


def takes_file(method: Any) -> bool:
    """Whether a `snapshot` or `restore` wants the path of a file, as in Jina 3, rather than of a folder."""
    return "snapshot_file" in inspect.signature(method).parameters


def prepare(folder: str, executor: Any) -> str:
    """Where the Executor is to write its state."""
    state = os.path.join(folder, _STATE)
    if not takes_file(executor.snapshot):
        os.mkdir(state)
    return state


def is_empty(state: str) -> bool:
    """Whether the Executor was given a folder and wrote nothing into it."""
    return os.path.isdir(state) and not os.listdir(state)


def seal(folder: str, index: int, window: bytes) -> None:
    """Add the window and the manifest to what the Executor wrote; all is synced."""
    root = Path(folder)
    if not (root / _STATE).exists():
        raise InternalError("snapshot() wrote no file where it was asked to")
    (root / _WINDOW).write_bytes(window)
    kind = "folder" if (root / _STATE).is_dir() else "file"
    manifest = Manifest(_FORMAT, index, kind, {name: _digest(root / name) for name in _names(root)})
    (root / _MANIFEST).write_bytes(msgspec.json.encode(manifest))
    for name in [*manifest.files, _MANIFEST]:
        sync(root / name)


def check(folder: str) -> tuple[str, int, bytes]:
    """The state's path, its index and the window; raises `InternalError` naming the file that is not as it was."""
    root = Path(folder)
    manifest = msgspec.json.decode((root / _MANIFEST).read_bytes(), type=Manifest)
    if manifest.format != _FORMAT:
        raise InternalError(f"the snapshot has format {manifest.format}; this is {_FORMAT}")
    for name, digest in manifest.files.items():
        if not _is_inside(name):
            raise InternalError(f"the snapshot names {name!r}, which is outside of its folder")
        if not (root / name).is_file():
            raise InternalError(f"the snapshot lacks {name}")
        if _digest(root / name) != digest:
            raise InternalError(f"{name} of the snapshot is damaged: its checksum differs")
    if manifest.kind == "folder":
        (root / _STATE).mkdir(exist_ok=True)
    return str(root / _STATE), manifest.index, (root / _WINDOW).read_bytes()


def fresh_workspace(directory: str) -> str:
    """A folder for one incarnation of an Executor; those of earlier ones are removed.

    What an earlier incarnation wrote may be of operations that are applied again: snapshot and log are the truth.
    """
    root = os.path.join(directory, "work")
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root, mode=0o700, exist_ok=True)  # it may be a mount of its own
    return tempfile.mkdtemp(prefix="", dir=root)


def _is_inside(name: str) -> bool:
    """Whether a name in a manifest is one that `_names` gives."""
    return not name.startswith("/") and not {"", ".", ".."} & set(name.split("/"))


def _names(root: Path) -> Iterator[str]:
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InternalError(f"snapshot() wrote {path.name}, which is neither a file nor a folder")
        if path.is_file():
            yield path.relative_to(root).as_posix()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Sync a file or folder to the disk before anything that follows."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
