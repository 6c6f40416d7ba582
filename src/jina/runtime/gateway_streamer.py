"""How a gateway's own code calls the Executors behind it: documents are objects here."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from jina.errors import JinaError, UsageError, nearest
from jina.runtime.streamer_channel import REQUEST_ID, Meeting, ProtoServicer, ReplicasAnswerer, ServiceClient

if TYPE_CHECKING:
    from jina.plan.plans import GatewayPlan
    from jina.runtime.gateway_service import GatewayService
    from jina.wire.messages import Reply, Request

_WINDOW = 1000


class _Graph:
    """The whole graph as something that answers."""

    def __init__(self, service: GatewayService) -> None:
        self._service = service

    async def call(self, request: Request) -> Reply:
        return await self._service.call(request)

    def stream(self, request: Request) -> AsyncIterator[Reply]:
        return self._service.stream(request)

    async def ready(self) -> None:
        await self._service.dry_run()


class ExecutorCaller:
    """One Executor of the graph, called by itself: `await gateway.executor['name'].post(on='/', inputs=docs)`."""

    def __init__(self, name: str, meeting: Meeting) -> None:
        self.name = name
        self._client = ServiceClient(meeting, _WINDOW)

    async def post(
        self,
        inputs: Any = None,
        request_size: int = 100,
        on: str = "/",
        parameters: Any = None,
        return_type: Any = None,
        **kwargs: Any,
    ) -> Any:
        """All documents that the Executor gives, as a DocList in the order of the inputs.

        `return_type` is `DocList[MyDoc]`, `MyDoc`, or None for schemaless documents. Raises what the Executor
        raised (`ExecutorError`), `EndpointNotFound`, `Unavailable`.
        """
        return await self._client.post(
            on,
            inputs,
            request_size=request_size,
            parameters=parameters,
            return_type=return_type,
            results_in_order=True,
            **kwargs,
        )

    async def stream_doc(
        self, inputs: Any, on: str = "/", parameters: Any = None, return_type: Any = None, **kwargs: Any
    ) -> AsyncGenerator[Any]:
        """The documents that a generator endpoint yields for one document, as they come."""
        documents = self._client.stream_doc(on, inputs, parameters=parameters, return_type=return_type, **kwargs)
        async with contextlib.aclosing(documents):
            async for document in documents:
                yield document


class ExecutorCallers(Mapping[str, ExecutorCaller]):
    """The Executors of a graph by name."""

    def __init__(self, meetings: Mapping[str, Meeting]) -> None:
        self._callers = {name: ExecutorCaller(name, meeting) for name, meeting in meetings.items()}

    def __getitem__(self, name: str) -> ExecutorCaller:
        if name not in self._callers:
            near = nearest(str(name), self._callers)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(self._callers) or 'none'}"
            raise KeyError(f"no Executor {name!r} behind this gateway; {hint}")
        return self._callers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._callers)

    def __len__(self) -> int:
        return len(self._callers)


class GatewayStreamer:
    """Sends documents through a graph of Executors.

    In a gateway class it is `self.streamer`, anywhere else in a gateway's process `GatewayStreamer.get_streamer()`.
    One made by hand connects to the addresses when it is first used, on the loop of that first use, and needs
    `await streamer.close()`. `graph_representation` is `{"start-gateway": ["a"], "a": ["end-gateway"]}`,
    `executor_addresses` `{"a": ["grpc://127.0.0.1:1234"]}`; `timeout_send` is in seconds, as in Jina 3.
    """

    _current: ClassVar[GatewayStreamer | None] = None

    def __init__(  # noqa: PLR0913, PLR0917 - the signature of Jina 3
        self,
        graph_representation: Mapping[str, Any],
        executor_addresses: Mapping[str, Any],
        graph_conditions: Mapping[str, Any] | None = None,
        deployments_metadata: Mapping[str, Mapping[str, str]] | None = None,
        deployments_no_reduce: Sequence[str] | None = None,
        timeout_send: float | None = None,
        retries: int = 0,
        compression: str | None = None,
        runtime_name: str = "custom gateway",
        prefetch: int = 0,
        logger: Any = None,
        metrics_registry: Any = None,
        meter: Any = None,
        aio_tracing_client_interceptors: Any = None,
        tracing_client_interceptor: Any = None,
        grpc_channel_options: Any = None,
    ) -> None:
        from jina.runtime.streamer_plan import plan_of

        del logger, metrics_registry, meter, aio_tracing_client_interceptors, tracing_client_interceptor
        plan = plan_of(
            {
                "name": runtime_name,
                "graph_description": dict(graph_representation),
                "deployments_addresses": dict(executor_addresses),
                "graph_conditions": dict(graph_conditions or {}),
                "deployments_metadata": dict(deployments_metadata or {}),
                "deployments_no_reduce": list(deployments_no_reduce or []),
                "timeout_send": None if timeout_send is None else round(timeout_send * 1000),
                "retries": retries,
                "compression": compression,
                "grpc_channel_options": dict(grpc_channel_options or {}) or None,
            }
        )
        self._connection: _Connection | None = _Connection(plan, self)
        self._prepare(plan, prefetch, self._connection.open)

    @classmethod
    def of_gateway(cls, plan: GatewayPlan) -> GatewayStreamer:
        """That of a gateway process, which tells it by `begin` when its Executors are there."""
        self = cls.__new__(cls)
        self._connection = None
        self._prepare(plan, plan.prefetch)
        return self

    def _prepare(
        self, plan: GatewayPlan, prefetch: int, meet: Callable[[], Coroutine[Any, Any, None]] | None = None
    ) -> None:
        self._meetings = {node.name: Meeting(meet) for node in plan.graph.nodes if node.hops}
        self._whole = Meeting(meet)
        self._own = (plan.name, prefetch)
        self._client = ServiceClient(self._whole, prefetch)
        self.executor = ExecutorCallers(self._meetings)
        """The Executors of the graph, each to be called by itself."""

    @functools.cached_property
    def _streamer(self) -> ProtoServicer:
        """What Jina 3's gateways give to the functions of `jina.proto.jina_pb2_grpc`."""
        return ProtoServicer(self._whole, *self._own)

    def begin(self, service: GatewayService, loop: AbstractEventLoop) -> None:
        """The Executors of `service` have been met; requests run on `loop`."""
        self._whole.begin(_Graph(service), loop)
        for name, meeting in self._meetings.items():
            meeting.begin(ReplicasAnswerer(service.steps[name]), loop)

    async def stream_docs(  # noqa: PLR0913, PLR0917 - the signature of Jina 3
        self,
        docs: Any,
        request_size: int = 100,
        return_results: bool = False,
        exec_endpoint: str | None = None,
        target_executor: str | None = None,
        parameters: Any = None,
        results_in_order: bool = False,
        request_id: str | None = None,
        return_type: Any = None,
    ) -> AsyncGenerator[Any]:
        """The documents of each request as a DocList, as they come; raises the first failure.

        With `return_results` whole responses with `docs`, `parameters` and `routes`.
        """
        found = self.stream(
            docs,
            request_size,
            return_results,
            exec_endpoint,
            target_executor,
            parameters,
            results_in_order,
            request_id,
            return_type,
        )
        async with contextlib.aclosing(found):
            async for result, error in found:
                if error is not None:
                    raise error
                yield result

    async def stream(  # noqa: PLR0913, PLR0917 - the signature of Jina 3
        self,
        docs: Any,
        request_size: int = 100,
        return_results: bool = False,
        exec_endpoint: str | None = None,
        target_executor: str | None = None,
        parameters: Any = None,
        results_in_order: bool = False,
        request_id: str | None = None,
        return_type: Any = None,
    ) -> AsyncGenerator[tuple[Any, JinaError | None]]:
        """For each request its documents and None, or the failure: (documents, error)."""
        calls = self._client.post(
            exec_endpoint or "/",
            docs,
            parameters=parameters,
            target_executor=target_executor,
            request_size=request_size,
            results_in_order=results_in_order,
            return_type=return_type,
            return_responses=True,
            on_error=_ignore,
            headers={REQUEST_ID: request_id} if request_id else None,
        )
        async with contextlib.aclosing(calls):
            async for response in calls:
                yield (response if return_results else response.docs), response.error

    async def stream_doc(
        self,
        doc: Any,
        return_results: bool = False,
        exec_endpoint: str | None = None,
        target_executor: str | None = None,
        parameters: Any = None,
        request_id: str | None = None,
        return_type: Any = None,
    ) -> AsyncGenerator[tuple[Any, JinaError | None]]:
        """What generators yield for one document, as it comes: (document, None); a failure ends it: (None, error)."""
        del return_results
        documents = self._client.stream_doc(
            exec_endpoint or "/",
            doc,
            parameters=parameters,
            return_type=return_type,
            target_executor=target_executor,
            headers={REQUEST_ID: request_id} if request_id else None,
        )
        async with contextlib.aclosing(documents):
            try:
                async for document in documents:
                    yield document, None
            except JinaError as error:
                yield None, error

    async def close(self) -> None:
        """Give up the connections of a streamer that was made by hand."""
        if self._connection is not None:
            await self._connection.close()

    @classmethod
    def get_streamer(cls) -> GatewayStreamer:
        """That of the gateway which runs in this process; raises `UsageError` where none does."""
        if cls._current is None:
            raise UsageError("get_streamer: no gateway runs in this process")
        return cls._current

    @staticmethod
    def make_current(streamer: GatewayStreamer | None) -> None:
        """Let `get_streamer` give this one."""
        GatewayStreamer._current = streamer


class _Connection:
    """What a streamer that was made by hand opens."""

    def __init__(self, plan: GatewayPlan, streamer: GatewayStreamer) -> None:
        self._plan = plan
        self._streamer = streamer
        self._hops: Any = None
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Meet the Executors, once."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        if not self._opening.done():
            await asyncio.shield(self._opening)
        self._opening.result()

    async def _open(self) -> None:
        from jina.runtime.gateway_hops import Hops
        from jina.runtime.gateway_service import GatewayService
        from jina.runtime.link_source import LinkSource

        self._hops = Hops(self._plan, LinkSource(), lambda _: None)
        service = GatewayService(self._plan, {})
        await self._hops.connect(service)
        self._streamer.begin(service, asyncio.get_running_loop())

    async def close(self) -> None:
        """Give up the connections."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
        if self._hops is not None:
            await self._hops.close()


def _ignore(response: Any) -> None:
    """The failure is in the response."""
