"""`jina raft recover`: a stateful Deployment that lost its majority goes on from what one replica has."""

from __future__ import annotations

import argparse
import os
import secrets
from collections.abc import Mapping

from jina.cli import raft_places
from jina.errors import UsageError
from jina.replication.groups import Group
from jina.replication.offline import Disk


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """In which workspace, from which replica."""
    raft_places.add_folders(parser, "the only one there")
    parser.add_argument(
        "--replica",
        type=raft_places.replica,
        metavar="REPLICA",
        help="the one to go on from [default: the one whose log goes furthest]",
    )
    parser.add_argument("--yes", action="store_true", help="do it; without, only what would be done is told")


def run(options: argparse.Namespace) -> int:
    """Make one replica the only member; 0 when that is done, 1 when it was only told."""
    from jina.replication import offline

    group = raft_places.the_folders(options)
    disks = _readable(group)
    chosen = _furthest(disks) if options.replica is None else options.replica
    if chosen not in disks:
        there = ", ".join(map(str, disks))
        raise UsageError(f"{options.workspace} has the replicas {there or 'none'} of {group.name} that can be read")
    for number, disk in disks.items():
        mark = "  <- goes on" if number == chosen else ""
        print(f"{group.folders[number]}: up to entry {disk.last} of term {disk.last_term}{mark}")
    for index, why in sorted(disks[chosen].unreadable.items()):
        print(f"entry {index} is skipped, which no Executor can read: {why}")
    if _are_majority(disks, chosen):
        print("The folders of a majority are here, and the log that goes furthest: all that was acknowledged is in it.")
    print(_warning(chosen, disks[chosen]))
    if not options.yes:
        print("nothing was done: say --yes")
        return 1
    generation = secrets.token_hex(8)
    offline.recover(group.folders[chosen], generation)
    for number, folder in group.folders.items():
        if number != chosen:
            aside = f"{folder}.before-{generation}"
            os.rename(folder, aside)
            print(f"{aside}: what replica {number} had")
    print(f"{group.name}: replica {chosen} is the only member now; others that start with blank folders join it")
    return 0


def _readable(group: Group) -> dict[int, Disk]:
    """What the folders hold; those that are damaged are named and left out, one in use is an error."""
    from jina.replication import offline

    disks = {}
    for number, folder in sorted(group.folders.items()):
        try:
            disks[number] = offline.inspect(folder)
        except UsageError as error:
            if offline.IN_USE in error.message:
                raise
            print(f"{folder}: cannot be read: {error.message}")
    return disks


def _furthest(disks: Mapping[int, Disk]) -> int:
    return max(disks, key=lambda number: (disks[number].last_term, disks[number].last), default=-1)


def _are_majority(disks: Mapping[int, Disk], chosen: int) -> bool:
    """Whether the log of the chosen one has all that was ever acknowledged, as the furthest one of a majority has."""
    voters = {member for member, kind in disks[chosen].members.items() if kind == "Voter"}
    held = sum(disk.id in voters for disk in disks.values())
    return 2 * held > len(voters) and chosen == _furthest(disks)


def _warning(number: int, disk: Disk) -> str:
    return (
        f"WARNING: of {len(disk.members)} members, only replica {number} goes on. What others acknowledged and it has "
        "not received is lost; what it has received and nobody acknowledged becomes true. No disk of before can join "
        "again. Do this only when a majority will never come back."
    )
