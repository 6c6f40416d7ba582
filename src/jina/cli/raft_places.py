"""Options of the `jina raft` commands that say which group is meant, and finding it."""

from __future__ import annotations

import argparse

from jina.errors import UsageError, nearest
from jina.replication import groups
from jina.replication.groups import Group
from jina.replication.papers import Papers
from jina.spec.address import split_address


def replica(text: str) -> int:
    """The number of a replica, for `argparse`."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a replica: they are counted from 0")
    return int(text)


def count(text: str) -> int:
    """A number of replicas, for `argparse`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of replicas: there is one at least")
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
            raise UsageError("--peer: agents answer only those who know the name of their Deployment", help="add NAME")
        return [groups.of_peer(options.peer, options.name, _papers(options), _key(options))]
    if options.workspace:
        return [group for group in groups.of_workspace(options.workspace, options.name) if group.places]
    return running(options.name)


def _key(options: argparse.Namespace) -> str:
    """That of a file, or of a folder of the group in the workspace; empty where neither is given."""
    if options.key_file:
        return groups.read_key(options.key_file)
    if not options.workspace:
        return ""
    folders = (
        folder for group in groups.of_workspace(options.workspace, options.name) for folder in group.folders.values()
    )
    return next(filter(None, map(groups.key_in, folders)), "")


def _papers(options: argparse.Namespace) -> Papers | None:
    if bool(options.ssl_certfile) != bool(options.ssl_keyfile):
        raise UsageError("--ssl-certfile and --ssl-keyfile come together")
    return Papers(options.ssl_certfile, options.ssl_keyfile, options.ssl_ca_certs) if options.ssl_certfile else None


def the_group(options: argparse.Namespace) -> Group:
    """The one that is meant; raises `UsageError` where there is none, or several."""
    return groups.one_of(all_groups(options), _where(options), lambda: near(options))


def none_there(options: argparse.Namespace) -> str:
    """What is said where no group that runs fits the options."""
    return f"there is no stateful Deployment {_where(options)}"


def _where(options: argparse.Namespace) -> str:
    named = f"of the name {options.name!r} " if options.name else ""
    return f"{named}running in {options.workspace}" if options.workspace else f"{named}running here"


def near(options: argparse.Namespace) -> str:
    """What may be meant by a name that no group has."""
    if not options.name:
        return ""
    every = groups.of_workspace(options.workspace) if options.workspace else running()
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
    found = groups.of_workspace(options.workspace, options.name)
    named = f"of the name {options.name!r} " if options.name else ""
    return groups.one_of(found, f"{named}in {options.workspace}", lambda: near(options))


def running(name: str | None = None) -> list[Group]:
    """The groups of this user's services on this machine; all, or that of a name."""
    from jina.launch.status import services

    found: dict[tuple[int, str], Group] = {}
    for service in services():
        for process in service.processes:
            if process.agent and name in {None, process.group, process.deployment, service.name}:
                number = int(process.name.rpartition("-")[2])
                group = found.setdefault((service.pid, process.group), Group(process.group))
                group.places[number] = process.agent
    return list(found.values())
