"""`jina raft transfer`: another replica leads."""

from __future__ import annotations

import argparse

from jina.cli import raft_places


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of which group, and to whom."""
    raft_places.add_place(parser)
    parser.add_argument(
        "--to", type=raft_places.replica, metavar="REPLICA", help="its number [default: any that serves]"
    )


def run(options: argparse.Namespace) -> int:
    """Have the leader hand over; 0 when another one has the lead."""
    group = raft_places.the_group(options)
    wish = {} if options.to is None else {"replica": options.to}
    group.change("transfer", **wish)
    print(f"{group.name}: the leadership was handed over")
    return 0
