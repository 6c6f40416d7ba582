"""`jina raft snapshot`: each replica writes its state and shortens its log."""

from __future__ import annotations

import argparse

from jina.cli import raft_places
from jina.replication import asking


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of which group."""
    raft_places.add_place(parser)


def run(options: argparse.Namespace) -> int:
    """Have the replicas write one after another; 0 when all have."""
    group = raft_places.the_group(options)
    for number, place in sorted(group.places.items()):
        asking.administer(place, "snapshot")
        print(f"{group.name}/rep-{number}: the newest snapshot is at entry {asking.status(place).get('snapshot')}")
    return 0
