"""Runs one request through the graph, as the walk decides; and streams, document by document."""

from __future__ import annotations

import asyncio
import time
from asyncio import CancelledError, Future, Queue, Task, get_running_loop
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec

from jina.codec.messages import Payload, Reply, Request, Route
from jina.codec.payloads import BytesPayload
from jina.codec.raw_fields import documents_in, field_head
from jina.codec.session_headers import merged
from jina.errors import BadRequest, InternalError, JinaError
from jina.net.messages import new_request_id
from jina.net.service import Service
from jina.observe import logs
from jina.routing.graph import GATEWAY, Step
from jina.routing.graph import Route as Path
from jina.routing.walk import Action, Cancel, Done, Fail, Send, Walk, named

RESULTS = "__results__"
_SENT_ON = BytesPayload(b"")
"""In the place of documents that went on, so that they do not live as long as the request."""
Parameters = dict[str, Any]


class RunContext(msgspec.Struct):
    """What all requests of one gateway share; `background` holds the tasks of floating branches."""

    steps: Mapping[str, Service]
    log: logs.JinaLogger
    background: set[Task[None]] = msgspec.field(default_factory=set)
    active: set[Task[None]] = msgspec.field(default_factory=set)


def forwarded(request: Request, payload: Payload, parameters: Parameters, *, as_json: bool) -> Request:
    """The request as a worker gets it. `target_executor` has been obeyed."""
    return Request(
        request.endpoint,
        payload,
        parameters,
        request.request_id,
        "",
        request.headers,
        request.deadline,
        as_json,
        handed_over=request.handed_over,
    )


async def run_path(context: RunContext, path: Path, request: Request, routes: list[Route]) -> Reply:
    """Send a request along a path; raises what the first failing Executor raised, with the `routes` so far.

    `routes` gets a record for each Executor. A plain chain is followed without a task.
    """
    if path.chain is None:
        return await GraphRun(context, path, request, routes).run()
    payload, parameters = request.payload, request.parameters
    request.payload = _SENT_ON
    name, headers = "", None
    try:
        for name in path.chain:
            step = path.steps[name]
            visited = Route(name, time.time(), 0.0)
            routes.append(visited)
            reply = await context.steps[name].call(
                forwarded(request, payload, parameters, as_json=request.json_reply and step.json_ok)
            )
            visited.end_time = time.time()
            payload, parameters = reply.payload, reply.parameters or parameters
            if reply.headers:
                headers = merged((headers, reply.headers))
    except JinaError as error:
        named(error, name, request.request_id)
        raise
    return Reply(payload, parameters, headers=headers)


class GraphRun:
    """One request along a path with forks, joins, conditions or floating branches.

    Floating branches go on when the reply is there, and when the client has left.
    """

    def __init__(self, context: RunContext, path: Path, request: Request, routes: list[Route]) -> None:
        self._context = context
        self._path = path
        self._request = request
        self._routes = routes
        self._walk = Walk(path, new_id=new_request_id, request_id=request.request_id)
        self._given: dict[str, Parameters] = {GATEWAY: request.parameters}
        self._headers: dict[str, str] | None = None
        self._tasks: dict[str, Task[None]] = {}
        self._outcome: Future[Payload] = get_running_loop().create_future()

    async def run(self) -> Reply:
        """The reply; cancelling cancels all that is waited for."""
        walk = self._walk
        for send in self._act(walk.begin(self._request.payload)):
            self._start(send)
        try:
            payload = await self._outcome
        except CancelledError:
            self._act(walk.cancel())
            if self._outcome.done() and not self._outcome.cancelled():
                self._outcome.exception()  # seen: asyncio would log that it was never retrieved
            raise
        return Reply(payload, self._final_parameters(), headers=self._headers)

    def _act(self, actions: Iterable[Action]) -> list[Send]:
        """Do all but the sending; gives what is to be sent."""
        sends = []
        for action in actions:
            if isinstance(action, Send):
                sends.append(action)
            elif isinstance(action, Cancel):
                task = self._tasks.pop(action.node, None)
                if task is not None:
                    task.cancel()
            elif self._outcome.done():
                continue
            elif isinstance(action, Done):
                self._outcome.set_result(action.payload)
            elif isinstance(action, Fail):
                self._outcome.set_exception(action.error)
        return sends

    def _start(self, send: Send) -> None:
        task = get_running_loop().create_task(self._go(send))
        floating = self._path.steps[send.node].floating
        kept = self._context.background if floating else self._context.active
        kept.add(task)
        task.add_done_callback(kept.discard)
        task.add_done_callback(self._ended)
        self._tasks[send.node] = task

    def _ended(self, task: Task[None]) -> None:
        """End the request when a task failed unexpectedly, so that its caller does not wait for ever."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._context.log.error("processing a request failed: %r", error, exc_info=error)
        self._act(self._walk.cancel())
        if not self._outcome.done():
            self._outcome.set_exception(InternalError(f"{type(error).__name__}: {error}"))

    async def _go(self, send: Send) -> None:
        """Ask one Executor, and those after it for as long as there is but one."""
        task = self._tasks[send.node]
        following: Send | None = send
        while following is not None:
            send = following
            sends = self._act(await self._ask_step(send))
            self._tasks.pop(send.node, None)
            following = self._next(sends, floating=self._path.steps[send.node].floating)
            for other in sends:
                if other is not following:
                    self._start(other)
            if following is not None:
                self._tasks[following.node] = task

    def _next(self, sends: Sequence[Send], *, floating: bool) -> Send | None:
        """The one of which this task takes care: tasks of floating branches are counted apart."""
        return next((send for send in sends if self._path.steps[send.node].floating is floating), None)

    async def _ask_step(self, send: Send) -> list[Action]:
        """What the walk says to the Executor's answer."""
        step = self._path.steps[send.node]
        visited = Route(send.node, time.time(), 0.0)
        self._routes.append(visited)
        if step.floating:
            visited.end_time = visited.start_time
        try:
            reply = await self._asked(step, send)
        except JinaError as error:
            failure = error
        else:
            visited.end_time = time.time()
            return self._walk.replied(send.node, reply.payload)
        if step.floating:
            self._context.log.warning("floating %s failed: %s", send.node, failure)
        elif not self._outcome.done():
            # The last one is the one that failed: so read those who write the failure.
            self._routes.remove(visited)
            self._routes.append(visited)
        return self._walk.failed(send.node, failure)

    async def _asked(self, step: Step, send: Send) -> Reply:
        parameters = self._merged(step.needs)
        as_json = self._request.json_reply and step.json_ok
        request = forwarded(self._request, send.payload, parameters, as_json=as_json)
        request.branches = send.branches
        if step.floating:
            request.deadline = None  # the client does not wait for it
        reply = await self._context.steps[send.node].call(request)
        self._given[send.node] = reply.parameters or parameters
        if reply.headers:
            self._headers = merged((self._headers, reply.headers))
        return reply

    def _merged(self, names: Sequence[str]) -> Parameters:
        """The parameters of several steps: the left-most wins, results of Executors are collected."""
        found = [self._parameters_of(name) for name in names]
        if len(found) == 1:
            return found[0]
        return merged_parameters(found)

    def _parameters_of(self, name: str) -> Parameters:
        given = self._given.get(name)
        # A step whose documents all passed by, or a join without an Executor.
        return self._merged(self._path.steps[name].needs) if given is None else given

    def _final_parameters(self) -> Parameters:
        """Those of the ends, and the results of side branches that were waited for."""
        merged = self._merged(self._path.end.needs)
        beside = [
            self._given[name] for name, step in self._path.steps.items() if name in self._given and not step.floating
        ]
        return merged_parameters([merged, *beside]) if any(RESULTS in one for one in beside) else merged


def merged_parameters(found: Sequence[Parameters]) -> Parameters:
    """One set of parameters; of several values of one key the first counts, results of Executors are collected."""
    merged: Parameters = {}
    results: dict[str, Any] = {}
    for one in reversed(found):
        merged.update(one)
    for one in found:
        own_results = one.get(RESULTS)
        if isinstance(own_results, Mapping):
            results.update({name: value for name, value in own_results.items() if name not in results})
    if results:
        merged[RESULTS] = results
    return merged


WINDOW = 16
"""Documents of one stream between two generators."""
Item = TypeVar("Item")
Made = TypeVar("Made")


class Stage(msgspec.Struct, frozen=True):
    """The steps before a generator, and the generator."""

    before: Path
    generator: Step


class Cut(msgspec.Struct, frozen=True):
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
            f"no Executor streams on {endpoint}, so it cannot be streamed",
            help="call it without streaming, or let a method yield",
        )
    return Cut(stages, path)


def stream(context: RunContext, cut_path: Cut, request: Request) -> AsyncGenerator[Reply]:
    """The replies as they come; closing this closes all generators on the way."""
    first = cut_path.stages[0]
    if cut_path.is_plain and not first.before.steps:
        alone = forwarded(request, request.payload, request.parameters, as_json=request.json_reply)
        return _replies(context, first.generator, alone)
    return _staged(context, cut_path, request)


async def _staged(context: RunContext, cut_path: Cut, request: Request) -> AsyncGenerator[Reply]:
    first = cut_path.stages[0]
    payload, parameters = request.payload, request.parameters
    if first.before.steps:
        reply = await run_path(context, first.before, forwarded(request, payload, parameters, as_json=False), [])
        payload, parameters = reply.payload, reply.parameters
    if cut_path.is_plain:
        plain = forwarded(request, payload, parameters, as_json=request.json_reply)
        async with aclosing(_replies(context, first.generator, plain)) as replies:
            async for reply in replies:
                yield reply
        return
    stream_run = _StreamRun(context, request, parameters)
    items = stream_run.expanded(stream_run.once(payload), first.generator)
    for stage in cut_path.stages[1:]:
        items = stream_run.expanded(stream_run.through(items, stage.before), stage.generator)
    async with aclosing(stream_run.through(items, cut_path.after, as_json=request.json_reply)) as last:
        async for item in last:
            yield Reply(item)


async def _replies(context: RunContext, generator: Step, request: Request) -> AsyncGenerator[Reply]:
    """What one generator yields for one request."""
    try:
        async with aclosing(context.steps[generator.name].stream(request)) as replies:
            async for reply in replies:
                yield reply
    except JinaError as error:
        named(error, generator.name, request.request_id)
        raise


class _StreamRun:
    """One streamed request, whose documents go on one by one."""

    def __init__(self, context: RunContext, request: Request, parameters: Parameters) -> None:
        self._context = context
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
                    request = forwarded(self._request, part, self._parameters, as_json=False)
                    async with aclosing(_replies(self._context, generator, request)) as replies:
                        async for reply in replies:
                            for one in one_by_one(reply.payload):
                                yield one

    def through(self, items: AsyncGenerator[Payload], path: Path, *, as_json: bool = False) -> AsyncGenerator[Payload]:
        """What the steps of a path make of each item."""
        if not path.steps:
            return items

        async def work(item: Payload) -> Payload:
            request = forwarded(self._request, item, self._parameters, as_json=as_json)
            return (await run_path(self._context, path, request, [])).payload

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
