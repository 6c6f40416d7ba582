"""Which waiting requests make the next batch: a pure state machine, requests in, batches out.

Times are seconds of any clock, given with each call. Requests with different keys never meet. A batch is made when
it is taken, not when it becomes due, so that what comes while the handler computes still joins.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Generator, Hashable, Iterator, Sequence
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")
Weights = int | Sequence[float]
"""A number of documents that weigh 1 each, or the weight of each document."""


class Rules(msgspec.Struct, frozen=True):
    """A batch is due when `size` waits or when the first part waited `timeout` seconds.

    A batch weighs at most `size`, unless one document alone weighs more. With `all_at_once` a batch is everything
    that waits, whatever it weighs.
    """

    size: float
    timeout: float
    all_at_once: bool = False


class Part(msgspec.Struct, Generic[T], eq=False):
    """The documents `start:stop` of one request; all of them unless the request alone is larger than a batch."""

    item: T
    start: int
    stop: int
    weight: float
    arrived: float
    dropped: bool = False

    def __len__(self) -> int:
        return self.stop - self.start


class _Queue(msgspec.Struct, Generic[T], eq=False):
    """What waits under one key, in the order of arrival; `weight` and `live` are without what was dropped."""

    parts: deque[Part[T]] = msgspec.field(default_factory=deque)
    weight: float = 0.0
    live: int = 0
    token: int = 0
    """That of the item in the heap of times that counts."""


class Batcher(Generic[T]):
    """The requests that wait at one endpoint. `T` is whatever stands for a request, hashable and unique."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._queues: dict[Hashable, _Queue[T]] = {}
        self._full: dict[Hashable, None] = {}
        """Keys with a whole batch; the longest served last."""
        self._dues: list[tuple[float, int, Hashable]] = []
        """A heap: when the first part of each queue will have waited long enough, a token, the key."""
        self._tokens = 0
        self._tickets: dict[T, tuple[Hashable, list[Part[T]]]] = {}
        self._flushing = False

    @property
    def requests(self) -> int:
        """How many requests wait, wholly or in part."""
        return len(self._tickets)

    def add(self, now: float, key: Hashable, item: T, weights: Weights) -> None:
        """A request arrives; `key` says which others it may share a batch with."""
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue()
        parts = [Part(item, start, stop, weight, now) for start, stop, weight in pieces(weights, self._rules)]
        first = not queue.live
        for part in parts:
            queue.parts.append(part)
            queue.weight += part.weight
        queue.live += len(parts)
        self._tickets[item] = (key, parts)
        if first:
            self._head(key, queue)
        if queue.weight >= self._rules.size:
            self._full[key] = None

    def discard(self, item: T) -> None:
        """The request is not wanted any more: what waits of it leaves."""
        found = self._tickets.pop(item, None)
        if found is None:
            return
        key, parts = found
        queue = self._queues[key]
        for part in parts:
            part.dropped = True
            queue.weight -= part.weight
        queue.live -= len(parts)
        self._changed(key, queue)

    def flush(self, *, on: bool = True) -> None:
        """From now on nothing waits for a batch to fill, or it does again."""
        self._flushing = on

    def due(self) -> float | None:
        """When a batch can be taken if nothing arrives until then; in the past where one can be taken now."""
        if not self._queues:
            return None
        return -math.inf if self._full or self._flushing else self._first_due()[0]

    def ready(self, now: float) -> bool:
        """Whether a batch can be taken."""
        return bool(self._queues) and bool(self._full or self._flushing or self._first_due()[0] <= now)

    def take(self, now: float) -> list[Part[T]]:
        """The next batch, all of one key; empty where none is due. What waited longest goes first."""
        if not self.ready(now):
            return []
        due, _, key = self._first_due()
        if due > now and self._full:
            key = next(iter(self._full))
        queue = self._queues[key]
        batch = list(self._filled(queue))
        for part in batch:
            parts = self._tickets[part.item][1]
            parts.remove(part)
            if not parts:
                del self._tickets[part.item]
        queue.live -= len(batch)
        queue.weight -= sum(part.weight for part in batch)
        self._full.pop(key, None)
        self._changed(key, queue)
        if queue.live and queue.weight >= self._rules.size:
            self._full[key] = None
        return batch

    def _filled(self, queue: _Queue[T]) -> Iterator[Part[T]]:
        """The longest beginning of the queue that is a batch, taken off it."""
        weight, parts = 0.0, queue.parts
        while parts:
            part = parts[0]
            if not part.dropped:
                if weight and weight + part.weight > self._rules.size and not self._rules.all_at_once:
                    return
                weight += part.weight
                yield part
            parts.popleft()

    def _changed(self, key: Hashable, queue: _Queue[T]) -> None:
        """Something left the queue."""
        if not queue.live:
            del self._queues[key]
            self._full.pop(key, None)
            return
        while queue.parts[0].dropped:
            queue.parts.popleft()
        self._head(key, queue)
        if queue.weight < self._rules.size:
            self._full.pop(key, None)

    def _head(self, key: Hashable, queue: _Queue[T]) -> None:
        """The queue has another first part."""
        self._tokens += 1
        queue.token = self._tokens
        heapq.heappush(self._dues, (queue.parts[0].arrived + self._rules.timeout, queue.token, key))
        if len(self._dues) > 4 * len(self._queues) + 64:
            self._dues = [item for item in self._dues if self._counts(item)]
            heapq.heapify(self._dues)

    def _first_due(self) -> tuple[float, int, Hashable]:
        while not self._counts(self._dues[0]):
            heapq.heappop(self._dues)
        return self._dues[0]

    def _counts(self, item: tuple[float, int, Hashable]) -> bool:
        queue = self._queues.get(item[2])
        return queue is not None and queue.token == item[1]


def pieces(weights: Weights, rules: Rules) -> list[tuple[int, int, float]]:
    """Start, stop and weight of the parts of one request: several where it is larger than a batch."""
    if isinstance(weights, int):
        if rules.all_at_once or weights <= rules.size:
            return [(0, weights, float(weights))]
        step = int(rules.size)
        return [(at, min(at + step, weights), float(min(step, weights - at))) for at in range(0, weights, step)]
    if rules.all_at_once or not weights:
        return [(0, len(weights), float(sum(weights)))]
    found, start, total = [], 0, 0.0
    for at, weight in enumerate(weights):
        if at > start and total + weight > rules.size:
            found.append((start, at, total))
            start, total = at, 0.0
        total += weight
    found.append((start, len(weights), total))
    return found


def attempts(batch: list[Part[T]], *, apart: bool) -> Generator[list[Part[T]], bool, None]:
    """What to call the handler with; to be told each time whether it went well.

    A batch that failed is tried again in halves if `apart`, so that in the end only requests that fail alone fail:
    with one bad one of n that takes 2 log2(n) more calls.
    """
    left = [batch]
    while left:
        parts = left.pop()
        went_well = yield parts
        if not went_well and apart and len(parts) > 1:
            middle = len(parts) // 2
            left += [parts[middle:], parts[:middle]]
