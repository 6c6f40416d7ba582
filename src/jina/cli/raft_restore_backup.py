"""`jina raft restore-backup`: the folders of a stateful Deployment that does not run, filled from a backup."""

from __future__ import annotations

import argparse
import os
import secrets
from collections.abc import Iterable

from jina.cli import raft_places
from jina.errors import UsageError
from jina.spec.address import is_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From which file, where to, and how many replicas."""
    parser.add_argument("file", metavar="FILE", help="what `jina raft backup` wrote")
    raft_places.add_folders(parser, "that of the backup")
    parser.add_argument(
        "--replicas", type=raft_places.count, metavar="N", help="how many the group has [default: as in the backup]"
    )
    parser.add_argument(
        "--replica", type=raft_places.replica, metavar="REPLICA", help="fill the folder of this one only"
    )
    parser.add_argument("--generation", metavar="TEXT", help="with --replica: what the first call has printed")


def run(options: argparse.Namespace) -> int:
    """Fill one folder after another; what was there is renamed. 0 when all are whole and synced."""
    from jina.replication import backups, groups, offline

    manifest = backups.read(options.file)
    if options.generation is not None and not is_name(options.generation):
        raise UsageError(f"--generation: {options.generation!r} is not what the first call has printed")
    count = options.replicas or manifest.replicas
    if count > backups.MOST_REPLICAS:
        raise UsageError(f"--replicas {count}: a group has {backups.MOST_REPLICAS} replicas at most")
    replicas = list(range(count))
    chosen = replicas if options.replica is None else [options.replica]
    if not set(chosen) <= set(replicas):
        raise UsageError(f"--replica {options.replica}: the group has the replicas 0 to {count - 1}")
    group, generation = options.name or manifest.group, options.generation or secrets.token_hex(8)
    folders = {number: groups.folder_of(options.workspace, group, number) for number in chosen}
    parent = os.path.dirname(folders[chosen[0]])
    try:
        os.makedirs(parent, mode=0o700, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--workspace: {parent} cannot be made: {error.strerror}") from None
    _require_stopped(folders.values())
    with backups.unpacked(options.file, parent) as state:
        for number, folder in folders.items():
            disk = offline.restore(
                folder,
                group=group,
                replica=number,
                replicas=replicas,
                generation=generation,
                state=state,
                term=manifest.term,
            )
            print(f"{folder}: {group} up to entry {disk.last}")
            if disk.aside:
                if key := groups.key_in(disk.aside):
                    groups.keep_key(folder, key)
                print(f"{disk.aside}: what was there before")
    print(f"generation {generation}")
    return 0


def _require_stopped(folders: Iterable[str]) -> None:
    """Raise before anything is changed where one of the agents runs."""
    from jina.replication import offline

    for folder in folders:
        if os.path.exists(os.path.join(folder, "identity.json")):
            offline.inspect(folder)
