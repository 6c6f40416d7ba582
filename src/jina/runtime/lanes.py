"""Lanes of single endpoints, which say themselves how many of their calls may run at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from jina.executor.endpoints import Endpoint
from jina.runtime.dispatch import Dispatcher, Job, Lane, LoopLane, ThreadLane


class NarrowLane:
    """At most `limit` jobs at once on the user loop; the others wait in the order in which they came."""

    def __init__(self, make: Callable[[Callable[[Job], None]], LoopLane], limit: int) -> None:
        self._lane = make(self._ended)
        self._free = limit
        self._waiting: deque[Job] = deque()
        self._left = 0

    @property
    def line(self) -> int:
        """How many jobs would wait for their turn if one more came."""
        return 0 if self._free else len(self._waiting) - self._left + 1

    @property
    def waiting(self) -> int:
        """How many jobs wait for their turn."""
        return len(self._waiting)

    def submit(self, job: Job) -> None:
        """Start the job's coroutine, now or when it is its turn."""
        if self._free:
            self._free -= 1
            self._lane.submit(job)
        else:
            self._waiting.append(job)

    def abandon(self, job: Job) -> None:
        """Cancel the job's coroutine; one that still waits is dropped when it is its turn."""
        if not job.abandoned and job in self._waiting:
            self._left += 1
        self._lane.abandon(job)

    def _ended(self, _: Job) -> None:
        """A job has ended; on the protocol loop."""
        if self._waiting:
            job = self._waiting.popleft()
            self._left -= job.abandoned
            self._lane.submit(job)
        else:
            self._free += 1


class Lanes:
    """Gives each endpoint its lane.

    Without a number, `def` methods of the Executor share one lane, where they take turns, and `async def` ones run
    as they come. A number above 1 gives a `def` method threads of its own beside that lane; 1 leaves it there. For an
    `async def` method the number is how many of its calls run at once. `configured` maps endpoints to numbers, which
    count before those of the class; its `*` counts where neither says anything.
    """

    def __init__(self, dispatcher: Dispatcher, configured: Mapping[str, int]) -> None:
        self._dispatcher = dispatcher
        self._configured = configured
        self._own: dict[tuple[str, int], NarrowLane | ThreadLane] = {}

    @property
    def waiting(self) -> int:
        """How many jobs wait for a thread or their turn."""
        return self._dispatcher.sync_lane.waiting + sum(lane.waiting for lane in self._own.values())

    def lane(self, endpoint: Endpoint) -> Lane:
        """The lane of the endpoint; endpoints of one method share it."""
        given = self._configured
        limit = given.get(endpoint.path) or endpoint.concurrency or given.get("*")
        if limit is None or (limit == 1 and not endpoint.is_async):
            return self._dispatcher.async_lane if endpoint.is_async else self._dispatcher.sync_lane
        key = (endpoint.method_name, limit)
        if key not in self._own:
            self._own[key] = self._made(endpoint, limit)
        return self._own[key]

    def _made(self, endpoint: Endpoint, limit: int) -> NarrowLane | ThreadLane:
        dispatcher = self._dispatcher
        if endpoint.is_async:
            return NarrowLane(dispatcher.new_loop_lane, limit)
        return dispatcher.new_thread_lane(f"handler-{endpoint.method_name}", limit)
