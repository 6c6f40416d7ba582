"""Backups of a running group: a tar archive of a snapshot, as agents keep it, and of a manifest that vouches for it."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import msgspec

from jina.errors import UsageError
from jina.replication.admin import AgentAddress, administer, check_name
from jina.replication.snapshots import sync

_STATE: Final = "state.tar"
_MANIFEST: Final = "manifest.json"
_FORMAT: Final = 1
_PART: Final = 4 << 20
_TRIES: Final = 3
MOST_REPLICAS: Final = 1000
_LONGEST_MANIFEST: Final = 4 << 20


class Manifest(msgspec.Struct, kw_only=True):
    """What a backup holds: the state after entry `index` of the log, and the group that it was taken from."""

    format: int = _FORMAT
    group: str
    index: int
    term: int
    members: dict[str, str]
    generation: str
    replicas: int
    made: str
    jina: str
    size: int
    sha256: str


class _Taken(msgspec.Struct):
    name: str
    size: int
    index: int
    term: int
    group: str
    generation: str
    members: dict[str, str]


def take(agent: AgentAddress, target: str) -> Manifest:
    """Write all that was acknowledged before the call into a new file; by the replica whose agent is at `agent`."""
    path = Path(target)
    if path.exists():
        raise UsageError(f"{target} exists already")
    folder = path.parent
    if not os.access(folder, os.W_OK):
        there = "cannot be written to" if folder.is_dir() else "is not a folder"
        raise UsageError(f"{target}: {folder} {there}")
    with tempfile.TemporaryFile(dir=folder) as state:
        manifest = _fetched(agent, state)
        # For this user alone, and by a name that others cannot foresee: the folder may be one that all may write to.
        descriptor, part = tempfile.mkstemp(dir=folder, prefix=f"{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                _write(file, state, manifest)
                file.flush()
                os.fsync(file.fileno())
            os.rename(part, path)
        except BaseException:
            os.unlink(part)
            raise
    sync(folder)
    return manifest


def _fetched(agent: AgentAddress, state: IO[bytes]) -> Manifest:
    """Take a snapshot and copy it; again where newer ones took its place meanwhile."""
    left = _TRIES
    while True:
        taken = msgspec.json.decode(administer(agent, "backup"), type=_Taken)
        left -= 1
        try:
            digest = _copy(agent, taken, state)
        except UsageError:
            if not left:
                raise
        else:
            state.seek(0)
            return _manifest(taken, _index_of(state), digest)


def _copy(agent: AgentAddress, taken: _Taken, state: IO[bytes]) -> str:
    state.seek(0)
    state.truncate()
    digest, at = hashlib.sha256(), 0
    while at < taken.size:
        data = administer(agent, "read", name=taken.name, offset=at, length=_PART)
        if not data:
            raise UsageError(f"the snapshot {taken.name} ends at {at} of {taken.size} bytes")
        state.write(data)
        digest.update(data)
        at += len(data)
    return digest.hexdigest()


def _index_of(state: IO[bytes]) -> int:
    """The entry up to which the Executor's state goes, by its own manifest."""
    with tarfile.open(fileobj=state, mode="r:") as archive:
        member = archive.extractfile("manifest.json")
        assert member is not None
        return int(msgspec.json.decode(member.read())["index"])


def _manifest(taken: _Taken, index: int, digest: str) -> Manifest:
    from jina.version import __version__

    return Manifest(
        group=taken.group,
        index=index,
        term=taken.term,
        members=taken.members,
        generation=taken.generation,
        replicas=max(int(member.partition("-")[0]) for member in taken.members) + 1,
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        jina=__version__,
        size=taken.size,
        sha256=digest,
    )


def _write(file: IO[bytes], state: IO[bytes], manifest: Manifest) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        result = msgspec.json.format(msgspec.json.encode(manifest))
        for name, size, content in ((_MANIFEST, len(result), io.BytesIO(result)), (_STATE, manifest.size, state)):
            content.seek(0)
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = size, 0o600, int(time.time())
            archive.addfile(member, content)


def read(source: str) -> Manifest:
    """What a backup says of itself."""
    try:
        with tarfile.open(source, mode="r:") as archive:
            manifest = msgspec.json.decode(_member(archive, _MANIFEST).read(_LONGEST_MANIFEST), type=Manifest)
    except (OSError, tarfile.TarError, KeyError, msgspec.MsgspecError) as error:
        raise UsageError(f"{source} is not a readable backup: {error}") from None
    if manifest.format != _FORMAT:
        raise UsageError(f"{source} has format {manifest.format}; this is {_FORMAT}")
    try:
        check_name(manifest.group)
    except UsageError as error:
        raise UsageError(f"{source} is not a readable backup: {error.message}") from None
    if not 0 < manifest.replicas <= MOST_REPLICAS:
        raise UsageError(f"{source} is not a readable backup: it is of {manifest.replicas} replicas")
    return manifest


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """A plain file of the archive: a link could lead to another one."""
    found = archive.getmember(name)
    member = archive.extractfile(found) if found.isreg() else None
    if member is None:
        raise tarfile.ReadError(f"{name} is not a plain file in it")
    return member


@contextmanager
def unpacked(source: str, folder: str) -> Iterator[str]:
    """The path of the state in a backup, in a file in `folder`; raises `UsageError` where it is damaged."""
    manifest = read(source)
    descriptor, path = tempfile.mkstemp(dir=folder, prefix="restore-")
    try:
        digest = hashlib.sha256()
        with os.fdopen(descriptor, "wb") as file, tarfile.open(source, mode="r:") as archive:
            try:
                member = _member(archive, _STATE)
                while data := member.read(_PART):
                    digest.update(data)
                    file.write(data)
            except (tarfile.TarError, KeyError) as error:
                raise UsageError(f"{source} is damaged: {error}") from None
        if digest.hexdigest() != manifest.sha256:
            raise UsageError(f"{source} is damaged: the checksum of the state differs")
        yield path
    finally:
        os.unlink(path)
