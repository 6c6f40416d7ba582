"""`jina raft`: the groups of stateful Deployments, that run and that do not."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jina.config.types import is_name, split_address
from jina.errors import UsageError, nearest
from jina.replication.admin import (
    Credentials,
    Disk,
    Group,
    administer,
    agent_status,
    group_of_peer,
    groups_of_workspace,
    key_in,
    one_group,
    read_key,
)


def replica(text: str) -> int:
    """The number of a replica, for `argparse`."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a replica number, such as 0, 1 or 2")
    return int(text)


def count_of(text: str) -> int:
    """A number of replicas, for `argparse`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of replicas, 1 or more")
    return int(text)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Where a group that runs is found."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="the Deployment, or NAME/SHARD [default: the only one]")
    parser.add_argument("--workspace", metavar="FOLDER", help="the workspace of its replicas on this machine")
    parser.add_argument("--peer", metavar="HOST:PORT", help="the address of one of its agents, on any machine")
    parser.add_argument(
        "--key-file", metavar="FILE", help="the key of the group, with --peer [default: of --workspace]"
    )
    for option, text in (
        ("certfile", "a replica's certificate, where its agents talk by TLS; with --peer"),
        ("keyfile", "the certificate's private key"),
        ("ca-certs", "the authorities of the others' certificates"),
    ):
        parser.add_argument(f"--ssl-{option}", metavar="FILE", help=text)


def add_folders(parser: argparse.ArgumentParser, name: str) -> None:
    """Where the folders of one that does not run are."""
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"the Deployment, or NAME/SHARD [default: {name}]")
    parser.add_argument("--workspace", metavar="FOLDER", required=True, help="the workspace of its replicas")


def all_groups(options: argparse.Namespace) -> list[Group]:
    """The groups that run and fit the options."""
    if options.peer:
        check_address("--peer", options.peer)
        if not options.name:
            raise UsageError("--peer: the name of the Deployment is missing, which agents ask for", help="add NAME")
        return [group_of_peer(options.peer, options.name, _credentials(options), _key(options))]
    if options.workspace:
        return [group for group in groups_of_workspace(options.workspace, options.name) if group.agents]
    return running_groups(options.name)


def _key(options: argparse.Namespace) -> str:
    """That of a file, or of a folder of the group in the workspace; empty where neither is given."""
    if options.key_file:
        return read_key(options.key_file)
    if not options.workspace:
        return ""
    folders = (
        folder for group in groups_of_workspace(options.workspace, options.name) for folder in group.folders.values()
    )
    return next(filter(None, map(key_in, folders)), "")


def _credentials(options: argparse.Namespace) -> Credentials | None:
    if bool(options.ssl_certfile) != bool(options.ssl_keyfile):
        raise UsageError("--ssl-certfile and --ssl-keyfile must be given together")
    return (
        Credentials(options.ssl_certfile, options.ssl_keyfile, options.ssl_ca_certs) if options.ssl_certfile else None
    )


def chosen_group(options: argparse.Namespace) -> Group:
    """The one that is meant; raises `UsageError` where there is none, or several."""
    return one_group(all_groups(options), _where(options), lambda: nearby_groups(options))


def no_replica_message(options: argparse.Namespace) -> str:
    """The message where no running group matches the options."""
    return f"there is no stateful Deployment {_where(options)}"


def _where(options: argparse.Namespace) -> str:
    named = f"of the name {options.name!r} " if options.name else ""
    return f"{named}running in {options.workspace}" if options.workspace else f"{named}running here"


def nearby_groups(options: argparse.Namespace) -> str:
    """What may be meant by a name that no group has."""
    if not options.name:
        return ""
    every = groups_of_workspace(options.workspace) if options.workspace else running_groups()
    found = nearest(options.name, [group.name for group in every])
    return f"did you mean {found!r}?" if found and found != options.name else ""


def check_address(option: str, text: str) -> None:
    """Raise unless it is that of an agent."""
    try:
        address = split_address(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if address.port is None or address.scheme:
        raise UsageError(f"{option}: {text!r} is not HOST:PORT")


def the_folders(options: argparse.Namespace) -> Group:
    """The folders of the one that is meant."""
    found = groups_of_workspace(options.workspace, options.name)
    named = f"of the name {options.name!r} " if options.name else ""
    return one_group(found, f"{named}in {options.workspace}", lambda: nearby_groups(options))


def running_groups(name: str | None = None) -> list[Group]:
    """The groups of this user's services on this machine; all, or that of a name."""
    from jina.supervisor.status import services

    found: dict[tuple[int, str], Group] = {}
    for service in services():
        for process in service.processes:
            if process.agent and name in {None, process.group, process.deployment, service.name}:
                number = int(process.name.rpartition("-")[2])
                group = found.setdefault((service.pid, process.group), Group(process.group))
                group.agents[number] = process.agent
    return list(found.values())


_HEADS = ("replica", "role", "vote", "serves", "term", "log", "committed", "applied", "snapshot", "address")


def add_raft_status(parser: argparse.ArgumentParser) -> None:
    """Which groups, and in which form."""
    add_place(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON array instead of text")


def run_raft_status(options: argparse.Namespace) -> int:
    """Ask and print; 0 if each group has a leader and all replicas serve, else 1."""
    import msgspec

    found = [(group, group.status()) for group in all_groups(options)]
    if options.json:
        print(msgspec.json.encode([{"group": group.name, "replicas": result} for group, result in found]).decode())
    else:
        for group, result in found:
            print(_status_table(group, result))
    if not found:
        instead = nearby_groups(options)
        print(no_replica_message(options) + (f"; {instead}" if instead else ""), file=sys.stderr)
        return 1
    return 0 if all(_is_healthy(result) for _, result in found) else 1


def _leader(statuses: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    leaders = [one for one in statuses if one.get("role") == "Leader"]
    return max(leaders, key=lambda one: int(one["term"]), default=None)


def _is_healthy(statuses: Sequence[dict[str, Any]]) -> bool:
    return _leader(statuses) is not None and all(one.get("serving") for one in statuses)


def _status_table(group: Group, statuses: Sequence[dict[str, Any]]) -> str:
    leader = _leader(statuses)
    serving = sum(bool(one.get("serving")) for one in statuses)
    leads = f"replica {leader['replica']} leads in term {leader['term']}" if leader else "no replica leads"
    rows = [_HEADS, *map(_status_row, statuses)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{group.name}: {serving} of {len(statuses)} replicas serve, {leads}"]
    lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines += [f"  replica {one['replica']}: {one['error']}" for one in statuses if "error" in one]
    lines += [_full(one) for one in statuses if one.get("disk")]
    lines += [_odd(one) for one in statuses if one.get("diverged")]
    lines += [f"  replica {one['replica']}: was removed from the group" for one in statuses if one.get("removed")]
    return "\n".join(lines)


def _full(one: dict[str, Any]) -> str:
    return f"  replica {one['replica']}: its log cannot be written: {one['disk']}"


def _odd(one: dict[str, Any]) -> str:
    return f"  replica {one['replica']}: its state differs from that of the others since entry {one['diverged']}"


def _status_row(one: dict[str, Any]) -> tuple[str, ...]:
    number = str(one["replica"])
    if "error" in one:
        return (number, "-", *[""] * (len(_HEADS) - 2))
    return (
        number,
        one["role"],
        "yes" if one["voter"] else "no",
        "yes" if one["serving"] else "no",
        str(one["term"]),
        f"{one['first']}-{one['last']}",
        str(one["committed"]),
        str(one["applied"]),
        str(one["snapshot"] or "-"),
        one["peers"].get(number, ""),
    )


def add_raft_add_voter(parser: argparse.ArgumentParser) -> None:
    """Which replica, where it is, and of which group."""
    parser.add_argument("replica", metavar="REPLICA", type=replica, help="its number")
    parser.add_argument("address", metavar="HOST:PORT", help="where the other agents reach its agent")
    add_place(parser)


def run_raft_add_voter(options: argparse.Namespace) -> int:
    """Add it to the group; 0 when it has caught up and has a vote."""
    check_address("HOST:PORT", options.address)
    group = chosen_group(options)
    group.change("add", replica=options.replica, address=options.address)
    print(f"{group.name}: replica {options.replica} at {options.address} has a vote")
    return 0


def add_raft_remove(parser: argparse.ArgumentParser) -> None:
    """Which replica of which group."""
    parser.add_argument("replica", metavar="REPLICA", help="its number, or the id of a member")
    add_place(parser)


def run_raft_remove(options: argparse.Namespace) -> int:
    """Remove it from the group; 0 when that is agreed."""
    group = chosen_group(options)
    number = options.replica.isdecimal()
    which = {"replica": int(options.replica)} if number else {"id": options.replica}
    group.change("remove", **which)
    print(f"{group.name}: {'replica ' if number else ''}{options.replica} is no longer a member")
    return 0


def add_raft_transfer(parser: argparse.ArgumentParser) -> None:
    """Of which group, and to which replica."""
    add_place(parser)
    parser.add_argument("--to", type=replica, metavar="REPLICA", help="its number [default: any that serves]")


def run_raft_transfer(options: argparse.Namespace) -> int:
    """Transfer the leadership; 0 when another replica leads."""
    group = chosen_group(options)
    which = {} if options.to is None else {"replica": options.to}
    group.change("transfer", **which)
    print(f"{group.name}: the leadership was handed over")
    return 0


def add_raft_snapshot(parser: argparse.ArgumentParser) -> None:
    """Of which group."""
    add_place(parser)


def run_raft_snapshot(options: argparse.Namespace) -> int:
    """Write a snapshot of one replica after another; 0 when all have."""
    group = chosen_group(options)
    for number, agent in sorted(group.agents.items()):
        administer(agent, "snapshot")
        print(f"{group.name}/rep-{number}: the newest snapshot is at entry {agent_status(agent).get('snapshot')}")
    return 0


def add_raft_backup(parser: argparse.ArgumentParser) -> None:
    """Into which file, and of which group."""
    parser.add_argument("file", metavar="FILE", help="the archive to write; it must not be there yet")
    add_place(parser)


def run_raft_backup(options: argparse.Namespace) -> int:
    """Take a snapshot of a replica and copy it; 0 when the file is complete and synced."""
    from jina.replication import backups

    group = chosen_group(options)
    manifest = backups.take(group.any_member(leading=False), options.file)
    print(f"{options.file}: {group.name} up to entry {manifest.index}, {manifest.size:,} bytes")
    return 0


def add_raft_restore_backup(parser: argparse.ArgumentParser) -> None:
    """From which file, where to, and how many replicas."""
    parser.add_argument("file", metavar="FILE", help="what `jina raft backup` wrote")
    add_folders(parser, "that of the backup")
    parser.add_argument(
        "--replicas", type=count_of, metavar="N", help="how many the group has [default: as in the backup]"
    )
    parser.add_argument("--replica", type=replica, metavar="REPLICA", help="fill the folder of this one only")
    parser.add_argument("--generation", metavar="TEXT", help="with --replica: the one that the first call printed")


def run_raft_restore_backup(options: argparse.Namespace) -> int:
    """Fill one folder after another; what was there is renamed. 0 when all are whole and synced."""
    from jina.replication import backups
    from jina.replication.admin import folder_of, keep_key, key_in, restore_folder

    manifest = backups.read(options.file)
    if options.generation is not None and not is_name(options.generation):
        raise UsageError(f"--generation: {options.generation!r} is not one that `jina raft restore-backup` has printed")
    count = options.replicas or manifest.replicas
    if count > backups.MOST_REPLICAS:
        raise UsageError(f"--replicas {count}: a group has {backups.MOST_REPLICAS} replicas at most")
    replicas = list(range(count))
    chosen = replicas if options.replica is None else [options.replica]
    if not set(chosen) <= set(replicas):
        raise UsageError(f"--replica {options.replica}: the group has the replicas 0 to {count - 1}")
    group, generation = options.name or manifest.group, options.generation or secrets.token_hex(8)
    folders = {number: folder_of(options.workspace, group, number) for number in chosen}
    parent = os.path.dirname(folders[chosen[0]])
    try:
        os.makedirs(parent, mode=0o700, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--workspace: {parent} cannot be made: {error.strerror}") from None
    _require_stopped(folders.values())
    with backups.unpacked(options.file, parent) as state:
        for number, folder in folders.items():
            disk = restore_folder(
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
                if key := key_in(disk.aside):
                    keep_key(folder, key)
                print(f"{disk.aside}: what was there before")
    print(f"generation {generation}")
    return 0


def _require_stopped(folders: Iterable[str]) -> None:
    """Raise before anything is changed where one of the agents runs."""
    from jina.replication.admin import inspect_folder

    for folder in folders:
        if os.path.exists(os.path.join(folder, "identity.json")):
            inspect_folder(folder)


def add_raft_recover(parser: argparse.ArgumentParser) -> None:
    """In which workspace, from which replica."""
    add_folders(parser, "the only one there")
    parser.add_argument(
        "--replica",
        type=replica,
        metavar="REPLICA",
        help="the replica to recover from [default: the one whose log goes furthest]",
    )
    parser.add_argument("--yes", action="store_true", help="do it; without this option, only print what would be done")


def run_raft_recover(options: argparse.Namespace) -> int:
    """Make one replica the only member; 0 when that is done, 1 when the plan was only printed."""
    from jina.replication.admin import recover_folder

    group = the_folders(options)
    disks = _readable(group)
    chosen = _furthest(disks) if options.replica is None else options.replica
    if chosen not in disks:
        there = ", ".join(map(str, disks))
        raise UsageError(
            f"{options.workspace} has no folder of {group.name} to recover from; readable are those of the replicas: "
            f"{there or 'none'}"
        )
    for number, disk in disks.items():
        mark = "  <- recovered from" if number == chosen else ""
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
    recover_folder(group.folders[chosen], generation)
    for number, folder in group.folders.items():
        if number != chosen:
            aside = f"{folder}.before-{generation}"
            os.rename(folder, aside)
            print(f"{aside}: what replica {number} had")
    print(f"{group.name}: replica {chosen} is the only member now; others that start with blank folders join it")
    return 0


def _readable(group: Group) -> dict[int, Disk]:
    """What the folders hold; those that are damaged are named and left out, one in use is an error."""
    from jina.replication.admin import IN_USE, inspect_folder

    disks = {}
    for number, folder in sorted(group.folders.items()):
        try:
            disks[number] = inspect_folder(folder)
        except UsageError as error:
            if IN_USE in error.message:
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
        f"WARNING: of {len(disk.members)} members, only replica {number} goes on. Writes that the others "
        "acknowledged and it has not received are lost; writes that it has received and that were not acknowledged "
        "take effect. The other replicas cannot join with their present folders. Do this only when a majority will "
        "never come back."
    )
