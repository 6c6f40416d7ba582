"""What a read waits for: that this replica has applied enough of the log. Belongs to one loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from jina.errors import DeadlineExceeded, Unavailable
from jina.replication import frames
from jina.replication.link import AgentLink, Refused
from jina.replication.progress import Progress
from jina.replication.writes import FIRST_PAUSE, LONGEST_PAUSE, MAJORITY
from jina.wire.messages import Request

T = TypeVar("T")


class Reads:
    """Waits for at most `patience` seconds.

    `agent()` gives the link to the agent or raises `Unavailable`; `hopeless()` says that asking again is no use.
    """

    def __init__(
        self,
        name: str,
        agent: Callable[[], AgentLink],
        hopeless: Callable[[], bool],
        progress: Progress,
        patience: float,
    ) -> None:
        self._name = name
        self._agent = agent
        self._hopeless = hopeless
        self._progress = progress
        self._patience = patience
        self.asking = 0
        """Reads that wait for the agent now."""

    async def covered(self) -> None:
        """Return when all is applied that was acknowledged anywhere before the call."""
        self.asking += 1
        try:
            index = await self._agreed()
        finally:
            self.asking -= 1
        await self._progress.wait(index)

    async def _agreed(self) -> int:
        """The entry that covers all that was acknowledged, as the group's leader tells it."""
        pause, give_up = FIRST_PAUSE, time.monotonic() + self._patience
        while True:
            try:
                (index,) = frames.NUMBER.unpack(await self._agent().ask(frames.READ))
                return int(index)
            except (Refused, Unavailable) as error:
                if time.monotonic() > give_up or self._hopeless():
                    raise Unavailable(
                        f"no majority of the replicas of {self._name}: {error.message}", help=MAJORITY
                    ) from None
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def reached(self, index: int) -> None:
        """Return when the entry is applied, which the client has seen elsewhere."""
        try:
            async with asyncio.timeout(self._patience):
                await self._progress.wait(index)
        except TimeoutError:
            raise Unavailable(
                f"{self._name} is at entry {self._progress.applied} of the log, and the client has seen entry {index}",
                help="ask again in a moment, or another replica: this one has to catch up",
            ) from None


async def in_time(work: Awaitable[T], request: Request, name: str) -> T:
    """The result of the work, as long as the deadline of the request has not passed."""
    if request.deadline is None:
        return await work
    limit = asyncio.timeout(max(0.0, request.deadline - time.monotonic()))
    try:
        async with limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"the deadline of the request passed before {name} could answer") from None
