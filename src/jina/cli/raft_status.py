"""`jina raft status`: the replicas of stateful Deployments, as their consensus agents see them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from jina.cli import raft_places
from jina.replication.groups import Group

_HEADS = ("replica", "role", "vote", "serves", "term", "log", "committed", "applied", "snapshot", "address")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which groups, and in which form."""
    raft_places.add_place(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON array instead of text")


def run(options: argparse.Namespace) -> int:
    """Ask and print; 0 if each group has a leader and all replicas serve, else 1."""
    import msgspec

    found = [(group, group.status()) for group in raft_places.all_groups(options)]
    if options.json:
        print(msgspec.json.encode([{"group": group.name, "replicas": told} for group, told in found]).decode())
    else:
        for group, told in found:
            print(_shown(group, told))
    if not found:
        instead = raft_places.near(options)
        print(raft_places.none_there(options) + (f"; {instead}" if instead else ""), file=sys.stderr)
        return 1
    return 0 if all(_is_well(told) for _, told in found) else 1


def _leader(told: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    leaders = [one for one in told if one.get("role") == "Leader"]
    return max(leaders, key=lambda one: int(one["term"]), default=None)


def _is_well(told: Sequence[dict[str, Any]]) -> bool:
    return _leader(told) is not None and all(one.get("serving") for one in told)


def _shown(group: Group, told: Sequence[dict[str, Any]]) -> str:
    leader = _leader(told)
    serving = sum(bool(one.get("serving")) for one in told)
    leads = f"replica {leader['replica']} leads in term {leader['term']}" if leader else "nobody leads"
    rows = [_HEADS, *map(_row, told)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{group.name}: {serving} of {len(told)} replicas serve, {leads}"]
    lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines += [f"  replica {one['replica']}: {one['error']}" for one in told if "error" in one]
    lines += [_full(one) for one in told if one.get("disk")]
    lines += [_odd(one) for one in told if one.get("diverged")]
    lines += [f"  replica {one['replica']}: was removed from the group" for one in told if one.get("removed")]
    return "\n".join(lines)


def _full(one: dict[str, Any]) -> str:
    return f"  replica {one['replica']}: its log cannot be written: {one['disk']}"


def _odd(one: dict[str, Any]) -> str:
    return f"  replica {one['replica']}: its state differs from that of the others since entry {one['diverged']}"


def _row(one: dict[str, Any]) -> tuple[str, ...]:
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
