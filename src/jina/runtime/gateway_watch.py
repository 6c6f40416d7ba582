"""Whether the workers of a gateway answer: each is asked again and again, so that a probe need not wait for them.

A gateway shares its interpreter with no handler. It can tell that a worker is stuck, also in C code that never lets
another thread of the worker run.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import Task
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from jina.errors import JinaError
from jina.observe import logs
from jina.runtime.gateway_replicas import Gone
from jina.transport.hop import HopLost

if TYPE_CHECKING:
    from jina.runtime.gateway_replicas import Replicas
    from jina.runtime.gateway_shards import Shards
    from jina.transport.hop import Hop

INTERVAL = 1.0
"""Seconds between two questions to a worker."""

LIMIT = 5.0
"""Seconds that an answer may take. What is told of a worker is never older than the sum of the two."""

_SCRAPE = 1.0
"""Seconds that a worker gets to give its metrics."""

_log = logs.get_logger("gateway.watch")


class Vitals:
    """What is known of one worker; all times are of one monotonic clock."""

    __slots__ = ("_asked", "_failure")

    def __init__(self) -> None:
        self._asked: float | None = None
        self._failure = ""

    def ask(self, now: float) -> bool:
        """Whether to ask now; a question that is still open is the only one."""
        if self._asked is not None:
            return False
        self._asked = now
        return True

    def answered(self, failure: str = "") -> None:
        """The answer is there; `failure` is why it is no good one."""
        self._asked = None
        self._failure = failure

    def answers(self, now: float) -> bool:
        """False from a bad answer, and from `LIMIT` seconds after a question, to the next good answer."""
        return not self._failure and (self._asked is None or now - self._asked <= LIMIT)


class Watch:
    """Asks every worker of this machine; those elsewhere count by their connection alone."""

    def __init__(self, steps: Mapping[str, Replicas | Shards], clock: Callable[[], float] = time.monotonic) -> None:
        self._steps = steps
        self._clock = clock
        self._vitals: dict[Hop, Vitals] = {}
        self._open: set[Task[None]] = set()
        self._asking: Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running loop."""
        self._asking = asyncio.get_running_loop().create_task(self._ask_on())

    def stop(self) -> None:
        """Ask no more."""
        for task in [*self._open, *([self._asking] if self._asking else [])]:
            task.cancel()

    def serves(self, step: Replicas | Shards) -> bool:
        """Whether a request to the Deployment could be answered."""
        return all(not part.plan.hops or any(self._answers(hop) for hop in part.hops) for part in step.parts)

    def replicas(self, step: Replicas | Shards) -> dict[str, bool]:
        """Which replicas answer, by their names; those that were removed are left out."""
        return {hop.name: self._answers(hop) for hop in step.hops if not isinstance(hop, Gone)}

    def checks(self) -> dict[str, bool]:
        """Each Deployment and its replicas, by name."""
        found: dict[str, bool] = {}
        for name, step in self._steps.items():
            found[name] = self.serves(step)
            found |= self.replicas(step)
        return found

    def answering(self) -> list[Hop]:
        """The workers that are worth a question."""
        return [hop for hop in self._hops() if self._answers(hop)]

    def _answers(self, hop: Hop) -> bool:
        known = self._vitals.get(hop)
        return hop.up and (known is None or known.answers(self._clock()))

    def _hops(self) -> Iterator[Hop]:
        for step in self._steps.values():
            yield from step.hops

    async def _ask_on(self) -> None:
        while True:
            local = {
                hop
                for step in self._steps.values()
                for hop in step.hops
                if any(plan.kind == "link" for plan in step.plan.hops)
            }
            self._vitals = {hop: self._vitals.get(hop) or Vitals() for hop in local}
            for hop, vitals in self._vitals.items():
                if hop.up and vitals.ask(self._clock()):
                    task = asyncio.create_task(self._ask(hop, vitals))
                    self._open.add(task)
                    task.add_done_callback(self._open.discard)
            await asyncio.sleep(INTERVAL)

    async def _ask(self, hop: Hop, vitals: Vitals) -> None:
        try:
            await hop.ready()
        except JinaError as error:
            if vitals.answers(self._clock()) and not isinstance(error, HopLost):  # that `up` tells
                _log.warning("%s is not ready: %s", hop.name, error.message)
            vitals.answered(error.message or type(error).__name__)
        else:
            vitals.answered()


async def worker_metrics(hops: Sequence[Hop], *, openmetrics: bool) -> list[tuple[str, bytes]]:
    """Name and metrics of each worker that gives them in time."""

    async def of(hop: Hop) -> bytes:
        try:
            async with asyncio.timeout(_SCRAPE):
                return await hop.metrics(openmetrics=openmetrics)
        except (JinaError, TimeoutError) as error:
            _log.debug("no metrics of %s: %r", hop.name, error)
            return b""

    texts = await asyncio.gather(*(of(hop) for hop in hops))
    return [(hop.name, text) for hop, text in zip(hops, texts, strict=True) if text]
