"""Which of several replicas gets a request: the idlest that is up; and which shards of a Deployment get it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence

from jina.errors import Unavailable
from jina.plan.plans import PollingMode


class LoadBalancer:
    """The requests in flight at each replica of one Executor, and which one gets the next.

    Replicas are known by their positions in `replicas`, which holds their names for errors. `randrange(n)` gives a
    number in [0, n), to break ties: without it all gateways would start with the same replica.
    """

    __slots__ = ("_name", "_randrange", "_replicas", "in_flight", "taken")

    def __init__(self, name: str, replicas: Sequence[str], randrange: Callable[[int], int]) -> None:
        self._name = name
        self._replicas = list(replicas)
        self._randrange = randrange
        self.in_flight = [0] * len(self._replicas)
        self.taken = 0
        """How often a request was given to a replica."""

    def grow(self, name: str) -> None:
        """There is one more replica, after the others."""
        self._replicas.append(name)
        self.in_flight.append(0)

    def rename(self, replica: int, name: str) -> None:
        """The place belongs to another replica now; without a name it is empty."""
        self._replicas[replica] = name

    def take(self, up: Sequence[bool], tried: Collection[int] = ()) -> int:
        """Give a request to the idlest replica that is `up` and not among those already tried.

        `give_back` must follow. Raises `Unavailable` where there is none, saying whether all are down.
        """
        in_flight = self.in_flight
        if len(in_flight) == 1 and up[0] and not tried:
            in_flight[0] += 1
            self.taken += 1
            return 0
        open_ones = [place for place, is_up in enumerate(up) if is_up and place not in tried]
        if not open_ones:
            raise self._none_left(up)
        least = min(in_flight[place] for place in open_ones)
        idlest = [place for place in open_ones if in_flight[place] == least]
        chosen = idlest[self._randrange(len(idlest))] if len(idlest) > 1 else idlest[0]
        in_flight[chosen] += 1
        self.taken += 1
        return chosen

    def give_back(self, replica: int) -> None:
        """The request that `take` gave to this replica has ended, however."""
        self.in_flight[replica] -= 1

    def _none_left(self, up: Sequence[bool]) -> Unavailable:
        known = [name for name in self._replicas if name]
        names = ", ".join(known)
        if any(up):
            tried = ", ".join(name for name, is_up in zip(self._replicas, up, strict=True) if is_up)
            return Unavailable(f"no replica of {self._name} is left to try; tried: {tried}")
        if len(known) == 1:
            return Unavailable(f"{self._name} is down ({names})")
        return Unavailable(f"all {len(known)} replicas of {self._name} are down: {names}")


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
