"""The groups of agents on this machine: those that run, and the folders of those that do not."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from jina.errors import Unavailable, UsageError
from jina.replication import asking
from jina.replication.asking import Peer, Place
from jina.replication.papers import Papers
from jina.spec.address import is_name

_FOLDER = re.compile(r"rep-(\d+)")
_IDENTITY = "identity.json"
_AGENT = "agent.json"
KEY_FILE: Final = "key"
"""In the folder of a replica: what its agent proves to others that it has."""
_LEAST_KEY: Final = 32
_LONGEST_KEY: Final = 4096
_PATIENCE = 15.0
_PAUSE = 0.1


class _Identity(msgspec.Struct):
    """What the agent noted of whose folder it is."""

    group: str
    replica: int


@dataclass
class Group:
    """The replicas of one log: where their agents are asked, or which folders they have."""

    name: str
    places: dict[int, Place] = field(default_factory=dict)
    folders: dict[int, str] = field(default_factory=dict)

    def status(self) -> list[dict[str, Any]]:
        """What each agent tells, in the order of the replicas."""
        return [{"replica": number, **asking.status(self.places[number])} for number in sorted(self.places)]

    def someone(self, *, leading: bool | None = None) -> Place:
        """An agent that serves; one that leads or one that follows where `leading` says so and there is one."""
        told = [one for one in self.status() if "error" not in one]
        if not told:
            raise UsageError(f"no agent of {self.name} answers: it does not run")
        wanted = [one for one in told if one["serving"] and (leading is None or (one["role"] == "Leader") is leading)]
        return self.places[(wanted or told)[0]["replica"]]

    def change(self, do: str, **options: Any) -> None:
        """Have the leader do something; asked again for a while, as long as nobody leads or the lead changes."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                asking.administer(self.someone(leading=True), do, **options)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)
            else:
                return


def of_workspace(workspace: str, name: str | None = None) -> list[Group]:
    """The groups whose folders are in a workspace, with the agents that run on them.

    `name` is that of a Deployment, which has a group for each shard, or of one group.
    """
    groups: dict[str, Group] = {}
    root = Path(os.path.abspath(os.path.expanduser(workspace))) / "raft"
    for path in _folders(root):
        known = _identity(path)
        if name not in {None, known.group, known.group.partition("/")[0]}:
            continue
        group = groups.setdefault(known.group, Group(known.group))
        group.folders[known.replica] = str(path)
        if (path / _AGENT).is_file():
            group.places[known.replica] = msgspec.json.decode((path / _AGENT).read_bytes())["socket"]
    return list(groups.values())


def _identity(folder: Path) -> _Identity:
    try:
        known = msgspec.json.decode((folder / _IDENTITY).read_bytes(), type=_Identity)
        check_name(known.group)
        return known
    except (OSError, msgspec.MsgspecError, UsageError) as error:
        raise UsageError(f"{folder / _IDENTITY} cannot be read: {error}") from None


def of_peer(address: str, name: str, papers: Papers | None = None, key: str = "") -> Group:
    """The group that the agent at an address belongs to, with all the members that it knows."""
    told = asking.status(Peer(address, name, papers=papers, key=key))
    if "error" in told:
        raise UsageError(f"no agent of a group {name!r} answers at {address}: {told['error']}")
    peers = {int(number): Peer(where, name, told["generation"], papers, key) for number, where in told["peers"].items()}
    return Group(name, {**peers, told["replica"]: Peer(address, name, told["generation"], papers, key)})


def folder_of(workspace: str, group: str, replica: int) -> str:
    """Where a replica of a group has its log and its snapshots."""
    root = os.path.abspath(os.path.expanduser(workspace))
    check_name(group)
    return os.path.join(root, "raft", group, f"rep-{replica}")


def folders_in(root: str) -> dict[int, str]:
    """By replica: the folders in that of a group that an agent has worked in."""
    found = (path for path in Path(root).glob("rep-*") if (path / _IDENTITY).is_file())
    return {int(match[1]): str(path) for path in found if (match := _FOLDER.fullmatch(path.name))}


def check_name(group: str) -> None:
    """Raise `UsageError` unless a text is the name of a group: that of a Deployment, or of a shard of one.

    It becomes part of a path, and may come out of a file that anybody wrote.
    """
    name, slash, shard = group.partition("/")
    if not is_name(name) or (slash and not (shard.isascii() and shard.isdecimal())):
        raise UsageError(f"{group!r} is not the name of a group: a Deployment's name, or NAME/SHARD")


def read_key(path: str) -> str:
    """The key of a group that a file holds; raises `UsageError` where there is none."""
    try:
        with open(os.path.expanduser(path), encoding="ascii") as file:
            key = file.read(_LONGEST_KEY + 1).strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"the key of the group cannot be read from {path}: {error}") from None
    if not _LEAST_KEY <= len(key) <= _LONGEST_KEY or not key.isprintable():
        raise UsageError(
            f"{path} holds no key of a group: that is a line of {_LEAST_KEY} to {_LONGEST_KEY} characters",
            help="openssl rand -hex 32 writes one",
        )
    return key


def key_in(folder: str) -> str:
    """The key that a replica keeps in its folder; empty where it has none."""
    path = os.path.join(folder, KEY_FILE)
    return read_key(path) if os.path.lexists(path) else ""


def shared_key(folders: Iterable[str]) -> str:
    """The key of a group whose replicas, which are started together, have these folders; made where none has one.

    It is in each of the folders then, for this user alone. Raises `UsageError` where two have different ones.
    """
    known = {folder: key_in(folder) for folder in folders}
    keys: dict[str, str] = {}
    for folder, key in known.items():
        if key:
            keys.setdefault(key, folder)
    if len(keys) > 1:
        first, second, *_ = (os.path.join(folder, KEY_FILE) for folder in keys.values())
        raise UsageError(
            f"{first} and {second} are keys of different groups",
            help="if these are replicas of one group, delete the files: all get a new one",
        )
    key = next(iter(keys), "") or secrets.token_hex(32)
    for folder, own in known.items():
        if not own:
            keep_key(folder, key)
    return key


def keep_key(folder: str, key: str) -> None:
    """Write it whole or not at all, readable for this user from the beginning on."""
    descriptor, path = tempfile.mkstemp(dir=folder, prefix=f"{KEY_FILE}-")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(path, os.path.join(folder, KEY_FILE))
    except BaseException:
        os.unlink(path)
        raise


def one_of(groups: Iterable[Group], where: str, instead: Callable[[], str]) -> Group:
    """The only group; raises `UsageError` where there is none, with what may be meant `instead`, or several."""
    found = sorted(groups, key=lambda group: group.name)
    if not found:
        raise UsageError(f"there is no stateful Deployment {where}", help=instead())
    if len(found) > 1:
        names = ", ".join(group.name for group in found)
        raise UsageError(f"there are several stateful Deployments {where}: {names}", help="name one of them")
    return found[0]


def _folders(root: Path) -> Iterator[Path]:
    for pattern in ("*/rep-*", "*/*/rep-*"):  # of a Deployment, of the shards of one
        for path in sorted(root.glob(pattern)):
            if _FOLDER.fullmatch(path.name) and (path / _IDENTITY).is_file():
                yield path
