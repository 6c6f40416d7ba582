"""`jina raft backup`: all that a stateful Deployment has acknowledged, in one file, while it runs."""

from __future__ import annotations

import argparse

from jina.cli import raft_places


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Into which file, and of which group."""
    parser.add_argument("file", metavar="FILE", help="the archive to write; it must not be there yet")
    raft_places.add_place(parser)


def run(options: argparse.Namespace) -> int:
    """Have a replica write a snapshot and copy it; 0 when the file is whole and synced."""
    from jina.replication import backups

    group = raft_places.the_group(options)
    manifest = backups.take(group.someone(leading=False), options.file)
    print(f"{options.file}: {group.name} up to entry {manifest.index}, {manifest.size:,} bytes")
    return 0
