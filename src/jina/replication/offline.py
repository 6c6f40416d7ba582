"""Work on the folders of a group that does not run, done by the agent's program."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from jina.errors import UsageError, ending_of
from jina.replication import binary

IN_USE: Final = "another agent runs here"
"""In what the program says of a folder that is in use."""


class Disk(msgspec.Struct):
    """What the folder of a replica holds: how far its log goes, and whom it takes for members."""

    id: str
    replica: int
    group: str
    generation: str
    term: int
    last: int
    last_term: int
    snapshot: int
    members: dict[str, str]
    unreadable: dict[int, str] = {}
    """Entries of the log that no worker can read, and why: `recover` has the group go on without them."""
    aside: str = ""
    """Where what was there before lies now."""


def inspect(folder: str) -> Disk:
    """Read a folder; raises `UsageError` where it is none, is damaged, or its agent runs."""
    return _do("inspect", dir=folder)


def members_of(folders: Iterable[str]) -> set[int]:
    """The numbers of the replicas that vote, by the newest of the folders of a group; none where nothing tells."""
    disks: list[Disk] = []
    for folder in folders:
        with contextlib.suppress(UsageError):  # its agent will tell what is wrong with it
            disks.append(inspect(folder))
    newest = max(disks, key=lambda disk: (disk.last_term, disk.last), default=None)
    found = {} if newest is None else newest.members
    return {int(member.partition("-")[0]) for member, suffrage in found.items() if suffrage == "Voter"}


def restore(
    folder: str, *, group: str, replica: int, replicas: list[int], generation: str, state: str, term: int
) -> Disk:
    """Make the folder of one replica of a group that begins with a snapshot; what was there is renamed."""
    return _do(
        "restore",
        dir=folder,
        group=group,
        replica=replica,
        replicas=replicas,
        generation=generation,
        state=state,
        term=term,
    )


def recover(folder: str, generation: str) -> Disk:
    """Make the replica in a folder the only member of its group, with all that its log holds."""
    return _do("recover", dir=folder, generation=generation)


def _do(what: str, **options: Any) -> Disk:
    done = subprocess.run(  # noqa: S603 - our own program
        [binary.checked(), "offline"],
        input=msgspec.json.encode({"do": what, **options}),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        told = binary.cause_of_crash(done.stderr.decode(errors="replace").strip().splitlines())
        raise UsageError(told.removeprefix("jina-raft: ") or f"the agent's program {ending_of(done.returncode)}")
    return msgspec.json.decode(done.stdout, type=Disk)
