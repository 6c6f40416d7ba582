"""Replicas that are left out because their requests fail, and asked now and then whether they are well again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence

from jina.errors import JinaError
from jina.observe import logs
from jina.routing.breaker import Breaker
from jina.transport.hop import Hop

_log = logs.get_logger("jina.gateway")
_ASKED_FOR = 5.0
"""Seconds in which a replica that was left out says whether it is well."""


class Trust:
    """What a gateway thinks of the replicas of one Deployment; `hops` is its own list, changed in place."""

    def __init__(self, hops: list[Hop]) -> None:
        self._hops = hops
        self._breaker = Breaker(len(hops))
        self._asking: set[asyncio.Task[None]] = set()

    def grow(self) -> None:
        """There is one replica more, the last of the list."""
        self._breaker.grow()

    def replaced(self, place: int) -> None:
        """Another process has the place of a replica."""
        self._breaker.replaced(place)

    def usable(self, tried: Collection[int]) -> Sequence[bool]:
        """The replicas that may have a request."""
        up = [hop.up for hop in self._hops]
        if self._breaker.all_trusted:
            return up
        for place in self._breaker.due(time.monotonic()):
            task = asyncio.get_running_loop().create_task(self._asked(place, self._hops[place]))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return self._breaker.usable(up, tried)

    def well(self, place: int) -> None:
        """The replica has answered."""
        self._breaker.well(place)

    def fault(self, place: int) -> None:
        """The replica has lost a request, refused it for not being ready, or let its time run out."""
        if self._breaker.fault(place, time.monotonic()):
            _log.warning("%s gets no requests for a while: several in a row failed", self._hops[place].name)

    async def _asked(self, place: int, hop: Hop) -> None:
        well = False
        try:
            async with asyncio.timeout(_ASKED_FOR):
                await hop.ready()
            well = True
            _log.info("%s gets requests again", hop.name)
        except (JinaError, TimeoutError) as error:
            _log.debug("%s is not well yet: %s", hop.name, error)
        finally:
            if place < len(self._hops) and self._hops[place] is hop:
                self._breaker.answered(place, time.monotonic(), well=well)
