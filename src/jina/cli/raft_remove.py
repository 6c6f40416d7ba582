"""`jina raft remove`: a replica whose disk or machine is gone leaves its group."""

from __future__ import annotations

import argparse

from jina.cli import raft_places


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which replica of which group."""
    parser.add_argument("replica", metavar="REPLICA", help="its number, or the id of a member")
    raft_places.add_place(parser)


def run(options: argparse.Namespace) -> int:
    """Have the group go on without it; 0 when that is agreed."""
    group = raft_places.the_group(options)
    number = options.replica.isdecimal()
    wish = {"replica": int(options.replica)} if number else {"id": options.replica}
    group.change("remove", **wish)
    print(f"{group.name}: {'replica ' if number else ''}{options.replica} is no member any more")
    return 0
