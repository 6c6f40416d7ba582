"""One request on its way through the graph: does what the walk says, and tells it what came of it."""

from __future__ import annotations

import time
from asyncio import CancelledError, Future, Task, get_running_loop
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from jina.errors import InternalError, JinaError
from jina.observe import logs
from jina.routing.route import GATEWAY, Step
from jina.routing.route import Route as Path
from jina.routing.walk import Action, Cancel, Done, Fail, Send, Walk, named
from jina.transport.server_messages import new_request_id
from jina.wire.messages import Payload, Reply, Request, Route
from jina.wire.payloads import BytesPayload
from jina.wire.standing import merged

RESULTS = "__results__"

_SENT_ON = BytesPayload(b"")
"""In the place of documents that went on, so that they do not live as long as the request."""

Parameters = dict[str, Any]


class Asked(Protocol):
    """One Deployment as a request meets it."""

    async def call(self, request: Request) -> Reply:
        """Its reply."""
        ...

    def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """What it yields; closing this closes the generator there."""
        ...


@dataclass(slots=True)
class Journeys:
    """What all requests of one gateway share; `background` holds the tasks of floating branches."""

    steps: Mapping[str, Asked]
    log: logs.JinaLogger
    background: set[Task[None]] = field(default_factory=set)
    active: set[Task[None]] = field(default_factory=set)


def onward(request: Request, payload: Payload, parameters: Parameters, *, as_json: bool) -> Request:
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
    )


async def travel(journeys: Journeys, path: Path, request: Request, routes: list[Route]) -> Reply:
    """Send a request along a path; raises what the first failing Executor raised, with the `routes` so far.

    `routes` gets a record for each Executor. A plain chain is followed without a task.
    """
    if path.chain is None:
        return await Trip(journeys, path, request, routes).run()
    payload, parameters = request.payload, request.parameters
    request.payload = _SENT_ON
    name, headers = "", None
    try:
        for name in path.chain:
            step = path.steps[name]
            visited = Route(name, time.time(), 0.0)
            routes.append(visited)
            reply = await journeys.steps[name].call(
                onward(request, payload, parameters, as_json=request.json_reply and step.json_ok)
            )
            visited.end_time = time.time()
            payload, parameters = reply.payload, reply.parameters or parameters
            if reply.headers:
                headers = merged((headers, reply.headers))
    except JinaError as error:
        named(error, name, request.request_id)
        raise
    return Reply(payload, parameters, headers=headers)


class Trip:
    """One request along a path with forks, joins, conditions or floating branches.

    Floating branches go on when the reply is there, and when the client has left.
    """

    def __init__(self, journeys: Journeys, path: Path, request: Request, routes: list[Route]) -> None:
        self._journeys = journeys
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
        for send in self._act(walk.begin(self._request.payload, time.monotonic())):
            self._start(send)
        try:
            payload = await self._outcome
        except CancelledError:
            self._act(walk.cancel())
            if self._outcome.done() and not self._outcome.cancelled():
                self._outcome.exception()  # seen: asyncio would complain that nobody looked at it
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
        kept = self._journeys.background if floating else self._journeys.active
        kept.add(task)
        task.add_done_callback(kept.discard)
        task.add_done_callback(self._ended)
        self._tasks[send.node] = task

    def _ended(self, task: Task[None]) -> None:
        """A task that failed is a mistake of ours; nobody must wait for ever because of it."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._journeys.log.error("the walk of a request failed: %r", error, exc_info=error)
        self._act(self._walk.cancel())
        if not self._outcome.done():
            self._outcome.set_exception(InternalError(f"{type(error).__name__}: {error}"))

    async def _go(self, send: Send) -> None:
        """Ask one Executor, and those after it for as long as there is but one."""
        task = self._tasks[send.node]
        following: Send | None = send
        while following is not None:
            send = following
            sends = self._act(await self._told(send))
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

    async def _told(self, send: Send) -> list[Action]:
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
            return self._walk.replied(send.node, reply.payload, time.monotonic())
        if step.floating:
            self._journeys.log.warning("floating %s failed: %s", send.node, failure)
        elif not self._outcome.done():
            # The last one is the one that failed: so read those who write the failure.
            self._routes.remove(visited)
            self._routes.append(visited)
        return self._walk.failed(send.node, failure)

    async def _asked(self, step: Step, send: Send) -> Reply:
        parameters = self._merged(step.needs)
        as_json = self._request.json_reply and step.json_ok
        request = onward(self._request, send.payload, parameters, as_json=as_json)
        request.branches = send.branches
        if step.floating:
            request.deadline = None  # the client does not wait for it
        reply = await self._journeys.steps[send.node].call(request)
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
        told = one.get(RESULTS)
        if isinstance(told, Mapping):
            results.update({name: value for name, value in told.items() if name not in results})
    if results:
        merged[RESULTS] = results
    return merged
