"""`jina raft add-voter`: a replica that runs somewhere becomes a member of a group."""

from __future__ import annotations

import argparse

from jina.cli import raft_places


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which replica, where it is, and of which group."""
    parser.add_argument("replica", metavar="REPLICA", type=raft_places.replica, help="its number")
    parser.add_argument("address", metavar="HOST:PORT", help="where the other agents reach its agent")
    raft_places.add_place(parser)


def run(options: argparse.Namespace) -> int:
    """Have the group take it in; 0 when it has caught up and has a vote."""
    raft_places.check_address("HOST:PORT", options.address)
    group = raft_places.the_group(options)
    group.change("add", replica=options.replica, address=options.address)
    print(f"{group.name}: replica {options.replica} at {options.address} has a vote")
    return 0
