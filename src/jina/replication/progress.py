"""How far a replica has applied the log, and who waits for it to get somewhere."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count


class Progress:
    """The cursor of one replica; belongs to one loop."""

    def __init__(self) -> None:
        self.applied = 0
        self.begun = 0
        """Up to where a handler that runs now may see something of the log, if further."""
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def reach(self, index: int) -> None:
        """The log is applied up to `index`."""
        self.applied = max(self.applied, index)
        while self._waiting and self._waiting[0][0] <= self.applied:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)

    def begin(self, index: int) -> None:
        """What follows up to `index` is being applied."""
        self.begun = max(self.begun, index)

    async def wait(self, index: int) -> None:
        """Return when the log is applied up to `index`."""
        if index > self.applied:
            future = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (index, next(self._order), future))
            await future
