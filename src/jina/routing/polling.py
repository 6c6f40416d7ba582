"""Which shards of a Deployment get a request: any one of them, or all."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

from jina.plan.plans import PollingMode


class Polling:
    """How the requests of one Deployment are shared out among its shards.

    `modes` maps endpoints to ANY or ALL, `*` stands for the others. ANY takes the shards in turn, beginning with
    `first`, so that what is indexed spreads evenly; those that are down are left out while others are up.
    """

    __slots__ = ("_modes", "_next", "_shards")

    def __init__(self, modes: Mapping[str, PollingMode], shards: int, first: int = 0) -> None:
        self._modes = modes
        self._shards = shards
        self._next = first

    def all_of(self, endpoint: str) -> bool:
        """Whether a request to the endpoint goes to all shards; with a single one that is the same as any."""
        if self._shards == 1:
            return False
        modes = self._modes
        mode = modes.get(endpoint) or modes.get(endpoint.removeprefix("/")) or modes.get("*")
        return mode == "ALL"

    def any_of(self, up: Sequence[bool]) -> int:
        """The shard whose turn it is."""
        first = self._next % self._shards
        turn = next((shard for shard in self._in_turn(first) if up[shard]), first)
        self._next = turn + 1
        return turn

    def _in_turn(self, first: int) -> Sequence[int]:
        return [(first + step) % self._shards for step in range(self._shards)]


def chosen_by(key: str, shards: int) -> int:
    """A shard that is always the same one for a key, while keys spread evenly."""
    return zlib.crc32(key.encode()) % shards
