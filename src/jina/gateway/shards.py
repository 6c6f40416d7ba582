"""The shards of one Deployment as a gateway reaches them, and the Executors around them."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from asyncio import Task
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from msgspec.structs import replace

from jina.codec.messages import Payload, Reply, Request, Route
from jina.codec.session_headers import MISSED, merged
from jina.errors import ExecutorError, JinaError, NotSupportedError
from jina.gateway.discovery import answers
from jina.gateway.graph_runner import Parameters, merged_parameters
from jina.gateway.replicas import Replicas, rng
from jina.net.messages import new_request_id
from jina.net.service import EndpointInfo, Upstream
from jina.observe import logs
from jina.observe.metrics import UpstreamMetrics
from jina.plan.plans import NodePlan, UpstreamPlan
from jina.routing.balance import Polling, chosen_by
from jina.routing.merge import merge_shards, together, with_ids
from jina.routing.walk import named

Made = TypeVar("Made")
_log = logs.get_logger("gateway.shards")
_LACKS = frozenset({"IndexError", "KeyError", "LookupError"})
"""What a handler raises, by name, when its shard has nothing under the key that was asked for."""


def has_parts(plan: NodePlan) -> bool:
    """Whether a step is more than replicas of one Executor."""
    return plan.shards > 1 or any(upstream.part for upstream in plan.upstreams)


class Shards:
    """Sends each request to one shard or to all of them, and merges their replies into one.

    Before the shards comes `uses_before`, after them `uses_after`, where there are such; an Executor around the
    shards that does not know the endpoint is passed. A request fails if any shard that it needs fails, which the
    error names. Only a write to all is also done when some shards lack what it names: see `_written`.
    """

    def __init__(self, plan: NodePlan, upstreams: Sequence[Upstream], counts: Callable[[str], UpstreamMetrics]) -> None:
        self.plan = plan
        self.name = plan.name
        self._counts = counts
        self._known: Mapping[str, EndpointInfo] = {}
        self._polling = Polling(plan.polling, plan.shards, rng.randrange(plan.shards))
        self._shards = [
            self._replicas(f"{plan.name}/shard-{shard}" if plan.shards > 1 else plan.name, upstreams, shard)
            for shard in range(plan.shards)
        ]
        self._before = _Beside(self._replicas(f"{plan.name}/uses_before", upstreams, part="uses_before"))
        self._after = _Beside(self._replicas(f"{plan.name}/uses_after", upstreams, part="uses_after"))
        self._parts = [*self._shards, self._before.replicas, self._after.replicas]

    def _replicas(self, name: str, upstreams: Sequence[Upstream], shard: int = 0, part: str = "") -> Replicas:
        plans = [upstream for upstream in self.plan.upstreams if (upstream.shard, upstream.part) == (shard, part)]
        names = {upstream.name for upstream in plans}
        plan = replace(self.plan, name=name, upstreams=plans)
        return Replicas(plan, [upstream for upstream in upstreams if upstream.name in names], self._counts(name))

    @property
    def parts(self) -> list[Replicas]:
        """The shards, and the Executors around them, each with its replicas."""
        return self._parts

    @property
    def upstreams(self) -> list[Upstream]:
        """All upstreams of all parts."""
        return [upstream for part in self._parts for upstream in part.upstreams]

    @property
    def up(self) -> bool:
        """Whether any request could arrive: every shard is needed."""
        return all(part.up for part in self._parts)

    def put(self, upstream: Upstream, endpoints: Mapping[str, EndpointInfo] | None = None) -> Upstream | None:
        """Add an upstream, whose endpoints may be known; returns the one of the same name that it replaces."""
        return self._part_of(upstream.name).put(upstream, endpoints)

    def _part_of(self, name: str) -> Replicas:
        """The part that a worker belongs to; one that is not in the plan was added since, and its name tells."""
        planned = (part for part in self._parts if name in _names(part.plan.upstreams))
        return next(planned, None) or next(part for part in self._parts if _was_added(part, name))

    def remove(self, name: str) -> Upstream | None:
        """Send no more requests to a worker; gives its upstream, on which requests may be in flight."""
        return next(filter(None, (part.remove(name) for part in self._parts)), None)

    def is_idle(self, name: str) -> bool:
        """Whether no request is in flight at a worker that was removed."""
        return all(part.is_idle(name) for part in self._parts)

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """The endpoints of the first shard that is up, with what the Executors around the shards take and give."""
        *shards, before, after = await asyncio.gather(*(part.describe() for part in self._parts))
        # What is down now answers as it did before.
        self._known = next(filter(None, shards), self._known)
        self._before.known, self._after.known = before or self._before.known, after or self._after.known
        return {path: self._described(path, info) for path, info in self._known.items()}

    def _described(self, path: str, info: EndpointInfo) -> EndpointInfo:
        before, after = self._before.info(path), self._after.info(path)
        if before is not None:
            info = replace(
                info,
                input_name=before.input_name,
                input_schema=before.input_schema,
                flat_fields=before.flat_fields,
                is_single=before.is_single,
                answers=before.answers and info.answers,
                input_is_value=before.input_is_value,
            )
        if after is not None:
            info = replace(
                info,
                output_name=after.output_name,
                output_schema=after.output_schema,
                answers=info.answers and (after.answers or "each"),
                output_is_value=after.output_is_value,
            )
        return info

    async def ready(self) -> list[Route]:
        """Ask all workers whether they would serve; raises what the first failure was, naming the Deployment."""
        await asyncio.gather(*(part.ready() for part in self._parts))
        return []

    def flush(self, *, on: bool = True) -> None:
        """See `Service`."""
        for part in self._parts:
            part.flush(on=on)

    def throttle(self, *, on: bool = True) -> None:
        """See `Service`."""
        for part in self._parts:
            part.throttle(on=on)

    async def close(self) -> None:
        """Give up all upstreams."""
        await asyncio.gather(*(part.close() for part in self._parts))

    async def call(self, request: Request) -> Reply:
        """One reply, merged where several shards were asked."""
        after = self._after if self._after.info(request.endpoint) is not None else None
        as_json = request.json_reply
        request = await self._prepared(request)
        if not self._polling.all_of(request.endpoint):
            asked = replace(request, json_reply=as_json and after is None)
            shard = self._one_of(request)
            replies = {shard: await self._asked(shard, asked)}
        else:
            if after is None and not self.plan.no_reduce:
                request.payload = with_ids(request.payload, self._new_ids(request))
            replies = await self._all(request)
        parameters = _merged([reply.parameters or request.parameters for reply in replies.values()])
        if after is not None:
            return await self._merged_by(after, request, replies, parameters, as_json=as_json)
        headers = merged([reply.headers for reply in replies.values()])
        joined = self._joined([reply.payload for reply in replies.values()], request.payload)
        return Reply(joined, parameters, headers=headers)

    async def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """The replies of one shard, or those of all as they come; closing this closes the generators there."""
        if self._after.info(request.endpoint) is not None:
            raise NotSupportedError(
                f"{self.name}/uses_after merges whole replies, so that {request.endpoint} cannot be streamed",
                help="call it without streaming, or leave the endpoint out of uses_after",
            )
        as_json = request.json_reply
        request = replace(await self._prepared(request), json_reply=as_json)
        if self._polling.all_of(request.endpoint):
            shards: Collection[int] = range(len(self._shards))
        else:
            shards = [self._one_of(request)]
        sources = [self._streamed(shard, request) for shard in shards]
        async with aclosing(sources[0] if len(sources) == 1 else interleaved(sources)) as replies:
            async for reply in replies:
                yield reply

    def _one_of(self, request: Request) -> int:
        """The shard that gets the request; a write that comes again the same one, which knows that it has it."""
        known = answers(self._known, request.endpoint)
        if self.plan.repeatable and (known is None or known.is_write):
            return chosen_by(request.request_id, len(self._shards))
        return self._polling.any_of([one.up for one in self._shards])

    def _new_ids(self, request: Request) -> Callable[[], str]:
        """Ids for documents that have none; where a request may come again, the same ones again."""
        if not self.plan.repeatable:
            return new_request_id
        numbers = itertools.count()
        return lambda: hashlib.blake2b(f"{request.request_id}/{next(numbers)}".encode(), digest_size=16).hexdigest()

    async def _prepared(self, request: Request) -> Request:
        """The request as the shards get it."""
        request = replace(request, json_reply=False)
        if self._before.info(request.endpoint) is None:
            return request
        try:
            reply = await self._before.replicas.call(replace(request))
        except JinaError as error:
            raise self._blamed(error, "uses_before") from error.__cause__
        return replace(request, payload=reply.payload, parameters=reply.parameters or request.parameters, branches=None)

    async def _asked(self, shard: int, request: Request) -> Reply:
        try:
            return await self._shards[shard].call(replace(request))  # a copy: workers drop what they have read
        except JinaError as error:
            raise self._blamed(error, f"shard {shard}") from error.__cause__

    async def _streamed(self, shard: int, request: Request) -> AsyncGenerator[Reply]:
        try:
            async with aclosing(self._shards[shard].stream(replace(request))) as replies:
                async for reply in replies:
                    yield reply
        except JinaError as error:
            raise self._blamed(error, f"shard {shard}") from error.__cause__

    async def _all(self, request: Request) -> dict[int, Reply]:
        """The replies by shard."""
        known = answers(self._known, request.endpoint)
        if known is not None and known.is_write:
            return await self._written(request)
        return dict(enumerate(await all_or_first([self._asked(one, request) for one in range(len(self._shards))])))

    async def _written(self, request: Request) -> dict[int, Reply]:
        """The replies to a write of the shards that have what it names; raises where none has it.

        A shard that raises `KeyError` or `IndexError` does not have it. When another shard has it, the write was
        applied and must not be reported as failed: sent again, no shard would have it.
        """
        missed: dict[int, ExecutorError] = {}

        async def asked(shard: int) -> Reply | None:
            try:
                return await self._asked(shard, request)
            except ExecutorError as error:
                if error.name not in _LACKS:
                    raise
                missed[shard] = error
                return None

        found = await all_or_first([asked(shard) for shard in range(len(self._shards))])
        replies = {shard: reply for shard, reply in enumerate(found) if reply is not None}
        if not replies:
            raise missed[0]
        for shard, error in sorted(missed.items()):
            _log.warning("%s has not what %s asks for: %s", self._shards[shard].name, request.endpoint, error.message)
        if missed:
            result = {MISSED: ", ".join(self._shards[shard].name for shard in sorted(missed))}
            first = next(iter(replies.values()))
            first.headers = {**(first.headers or {}), **result}
        return replies

    async def _merged_by(
        self, after: _Beside, request: Request, replies: Mapping[int, Reply], parameters: Parameters, *, as_json: bool
    ) -> Reply:
        branches = [(f"{self.name}/shard-{shard}", reply.payload) for shard, reply in replies.items()]
        last = replace(request, payload=branches[0][1], branches=branches, parameters=parameters, json_reply=as_json)
        try:
            reply = await after.replicas.call(last)
        except JinaError as error:
            raise self._blamed(error, "uses_after") from error.__cause__
        headers = merged([one.headers for one in replies.values()])
        return Reply(reply.payload, reply.parameters or parameters, headers=headers)

    def _joined(self, payloads: Sequence[Payload], base: Payload) -> Payload:
        if len(payloads) == 1:
            return payloads[0]
        return together(payloads) if self.plan.no_reduce else merge_shards(payloads, base)

    def _blamed(self, error: JinaError, part: str) -> JinaError:
        if self.plan.shards > 1 or part.startswith("uses"):
            named(error, part, "")
        error.deployment = self.name
        return error


class _Beside:
    """An Executor around the shards, which need not be there."""

    def __init__(self, replicas: Replicas) -> None:
        self.replicas = replicas
        self.known: Mapping[str, EndpointInfo] = {}

    def info(self, path: str) -> EndpointInfo | None:
        """What answers the path; None where the Executor is passed."""
        return answers(self.known, path) if self.known else None


def _names(upstreams: Sequence[UpstreamPlan]) -> set[str]:
    return {upstream.name for upstream in upstreams}


def _beginning(part: Replicas) -> str:
    """What the names of a part's workers begin with."""
    return part.name + ("-" if part.plan.upstreams and part.plan.upstreams[0].part else "/rep-")


def _was_added(part: Replicas, name: str) -> bool:
    """Whether a worker that is not in the plan is one of the part: an address behind a name, or a further replica."""
    place = name.rpartition("/")[0]
    found = any(place == one.name.rpartition("/")[0] for one in part.plan.upstreams if one.kind != "link")
    return found or name.startswith(_beginning(part))


def _merged(found: Sequence[Parameters]) -> Parameters:
    return found[0] if len(found) == 1 else merged_parameters(found)


async def all_or_first(work: Sequence[Coroutine[Any, Any, Made]]) -> list[Made]:
    """What each gives, in their order; when one fails the others are cancelled and its error is raised."""
    tasks: list[Task[Made]] = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = next((task for task in tasks if task.done() and task.exception() is not None), None)
        return [failed.result()] if failed is not None else [task.result() for task in tasks]
    finally:
        await _ended(tasks)


async def interleaved(sources: Sequence[AsyncGenerator[Made]]) -> AsyncGenerator[Made]:
    """What several generators yield, as it comes; the order of each is kept. Closing this closes all of them.

    Each is resumed only when what it gave before was taken.
    """
    waiting = {_following(source): source for source in sources}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                source, found = waiting.pop(task), task.result()
                if not isinstance(found, _End):
                    yield found
                    waiting[_following(source)] = source
    finally:
        await _ended(list(waiting))
        for source in sources:
            await source.aclose()


class _End:
    """Comes after the last item."""


def _following(source: AsyncGenerator[Made]) -> Task[Made | _End]:
    async def following() -> Made | _End:
        return await anext(source, _End())

    return asyncio.create_task(following())


async def _ended(tasks: Sequence[Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
