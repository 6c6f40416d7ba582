"""Streams through a graph: what generators yield goes on, document by document, through the steps behind them.

A path is cut at each generator. Between two cuts a few documents are on their way at once and keep their order; the
generator before is resumed only while there is room.
"""

from __future__ import annotations

import asyncio
from asyncio import Queue, Task
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from jina.errors import BadRequest, JinaError
from jina.routing.route import Route as Path
from jina.routing.route import Step
from jina.routing.walk import named
from jina.runtime.gateway_trip import Journeys, Parameters, onward, travel
from jina.wire.messages import Payload, Reply, Request, Route
from jina.wire.payloads import BytesPayload
from jina.wire.slicing import documents_in
from jina.wire.splicing import field_head

WINDOW = 16
"""Documents of one stream between two generators."""

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Stage:
    """The steps before a generator, and the generator."""

    before: Path
    generator: Step


@dataclass(frozen=True, slots=True)
class Cut:
    """A path cut at its generators; `after` is what follows the last one."""

    stages: Sequence[Stage]
    after: Path

    @property
    def is_plain(self) -> bool:
        """Whether the documents of one generator are the reply, as they come."""
        return len(self.stages) == 1 and not self.after.steps and self.stages[0].generator.condition is None


def cut(path: Path, yields: Mapping[str, bool], endpoint: str) -> Cut:
    """Cut a path; `yields` tells which steps are generators.

    Raises `BadRequest` where there is none, and `NotSupportedError` where a branch beside it would be joined.
    """
    stages = []
    while True:
        found = next((one for one in path.steps.values() if one.runs and yields[one.name] and not one.floating), None)
        if found is None:
            break
        before, path = path.split_at(found.name)
        stages.append(Stage(before, found))
    if not stages:
        raise BadRequest(
            f"no Executor yields on {endpoint}, so it cannot be streamed",
            help="call it without streaming, or let a method yield",
        )
    return Cut(stages, path)


async def stream(journeys: Journeys, way: Cut, request: Request, routes: list[Route]) -> AsyncGenerator[Reply]:
    """The replies as they come; closing this closes all generators on the way."""
    first = way.stages[0]
    payload, parameters = request.payload, request.parameters
    if first.before.steps:
        reply = await travel(journeys, first.before, onward(request, payload, parameters, as_json=False), routes)
        payload, parameters = reply.payload, reply.parameters
    if way.is_plain:
        plain = onward(request, payload, parameters, as_json=request.json_reply)
        async with aclosing(_replies(journeys, first.generator, plain)) as replies:
            async for reply in replies:
                yield reply
        return
    journey = _Journey(journeys, request, parameters)
    items = journey.expanded(journey.once(payload), first.generator)
    for stage in way.stages[1:]:
        items = journey.expanded(journey.through(items, stage.before), stage.generator)
    async with aclosing(journey.through(items, way.after, as_json=request.json_reply)) as last:
        async for item in last:
            yield Reply(item)


async def _replies(journeys: Journeys, generator: Step, request: Request) -> AsyncGenerator[Reply]:
    """What one generator yields for one request."""
    try:
        async with aclosing(journeys.steps[generator.name].stream(request)) as replies:
            async for reply in replies:
                yield reply
    except JinaError as error:
        named(error, generator.name, request.request_id)
        raise


class _Journey:
    """One streamed request, whose documents go on one by one."""

    def __init__(self, journeys: Journeys, request: Request, parameters: Parameters) -> None:
        self._journeys = journeys
        self._request = request
        self._parameters = parameters

    async def once(self, payload: Payload) -> AsyncGenerator[Payload]:
        """The documents with which it starts."""
        yield payload

    async def expanded(self, items: AsyncGenerator[Payload], generator: Step) -> AsyncGenerator[Payload]:
        """Each document that the generator yields for each item, and those that its condition leaves out."""
        async with aclosing(items):
            async for item in items:
                for part, matches in _parts(item, generator):
                    if not matches:
                        yield part
                        continue
                    request = onward(self._request, part, self._parameters, as_json=False)
                    async with aclosing(_replies(self._journeys, generator, request)) as replies:
                        async for reply in replies:
                            for one in one_by_one(reply.payload):
                                yield one

    def through(self, items: AsyncGenerator[Payload], path: Path, *, as_json: bool = False) -> AsyncGenerator[Payload]:
        """What the steps of a path make of each item."""
        if not path.steps:
            return items

        async def work(item: Payload) -> Payload:
            request = onward(self._request, item, self._parameters, as_json=as_json)
            return (await travel(self._journeys, path, request, [])).payload

        return pipelined(items, work)


def one_by_one(payload: Payload) -> list[Payload]:
    """The documents, each as a payload of its own; none is parsed."""
    data = payload.to_bytes()
    docs = documents_in(data)
    if len(docs) == 1:
        return [BytesPayload(data)]
    return [BytesPayload(field_head(1, len(doc)) + doc) for doc in docs]


def _parts(item: Payload, generator: Step) -> list[tuple[Payload, bool]]:
    """What a generator gets at once; with a condition one document after the other, and whether it matches."""
    condition = generator.condition
    if condition is None:
        return [(item, True)]
    return [(one, bool(condition.split(one).places)) for one in one_by_one(item)]


async def pipelined(
    items: AsyncGenerator[Item], work: Callable[[Item], Awaitable[Made]], window: int = WINDOW
) -> AsyncGenerator[Made]:
    """What `work` makes of each item, in their order, on at most `window` of them at once.

    A failure of `items` comes after all that came before it. Closing cancels the work and closes `items`.
    """
    queue: Queue[Task[Made] | None] = Queue()
    room = asyncio.Semaphore(window)
    running: set[Task[Made]] = set()

    async def feed() -> None:
        try:
            async with aclosing(items):
                async for item in items:
                    await room.acquire()
                    task = asyncio.ensure_future(work(item))
                    running.add(task)
                    queue.put_nowait(task)
        finally:
            queue.put_nowait(None)

    feeding = asyncio.create_task(feed())
    try:
        while (task := await queue.get()) is not None:
            made = await task
            running.discard(task)
            room.release()
            yield made
        await feeding
    finally:
        await _cancelled([feeding, *running])


async def _cancelled(tasks: Sequence[Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
