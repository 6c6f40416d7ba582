"""A graph of Deployments behind a gateway."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Self, cast

from jina.errors import ConfigError, RuntimeFailToStart
from jina.orchestration import board, changing
from jina.orchestration.calls import AsyncCalls, Calls
from jina.orchestration.connecting import Connection
from jina.orchestration.flow_building import FlowBuilding
from jina.orchestration.flow_changing import FlowChanging, blob_of, naming, resolved_step
from jina.orchestration.flow_picture import FlowPicture
from jina.orchestration.in_process import AsyncInProcessService, InProcessService, makers_of
from jina.orchestration.own_key import OwnKey
from jina.orchestration.resolving import Resolved, protocol_of, resolve_gateway
from jina.orchestration.return_types import declared_by_graph
from jina.orchestration.step_methods import ClassSignature
from jina.spec import takes_options_from, takes_options_of

if TYPE_CHECKING:
    from jina.launch.inprocess import Make
    from jina.launch.running import Running
    from jina.plan.plans import ExecutorPlan, FacePlan, FlowPlan
    from jina.spec import FlowSpec
    from jina.spec.options import ProcessOptions


def _spec_class() -> type[FlowSpec]:
    from jina.spec import FlowSpec

    return FlowSpec


if TYPE_CHECKING:
    _takes_options = takes_options_of(FlowSpec)  # mypy does not look into what `_spec_class` returns
else:
    _takes_options = takes_options_from(_spec_class)


class Flow(FlowBuilding, FlowChanging, FlowPicture, Calls):
    """Deployments that work together, served by one gateway.

        flow = Flow(port=12345).add(uses=Encoder).add(uses=Index)
        with flow:
            docs = flow.post('/search', docs)

    Options of Deployments are the defaults of those that are added, the others are those of the gateway. Methods
    that build give a changed copy. The graph is checked by `build`, which `start` calls, before anything starts.
    Works inside a running event loop too, also as `async with`; `Flow(asyncio=True)` is an `AsyncFlow`.
    """

    kind = "Flow"
    __signature__ = ClassSignature(_spec_class)

    def __new__(cls, *_: Any, **options: Any) -> Self:
        """An `AsyncFlow` where `asyncio` says so."""
        made: Any = AsyncFlow if cls is Flow and options.get("asyncio") else cls
        return cast("Self", super().__new__(made))

    @_takes_options
    def __init__(self, spec: FlowSpec) -> None:
        super().__init__()
        coroutines = isinstance(self, AsyncFlow)
        self._spec = spec if spec.asyncio == coroutines else spec.model_copy(update={"asyncio": coroutines})
        self._plan: FlowPlan | None = None
        self._own_key = OwnKey()
        self._resolved: dict[str, Resolved] = {}
        self._gateway: Resolved | None = None
        self._environment: dict[str, str | None] = {}

    @classmethod
    def from_spec(cls, spec: FlowSpec) -> Self:
        """A Flow of a spec that was validated already; an `AsyncFlow` where it says so."""
        made: Any = AsyncFlow if cls is Flow and spec.asyncio else cls
        self = made.__new__(made)
        made.__init__.__wrapped__(self, spec)
        return cast("Self", self)

    def _replace(self, spec: FlowSpec) -> None:
        self._spec = spec
        self._plan = None
        self._definition = None  # the program decides
        self._reservations.close()

    def build(self, copy_flow: bool = False) -> Self:
        """Check the graph, find the Executors, choose names and ports; nothing is started.

        Raises `FlowTopologyError` for unknown names in `needs`, cycles and Executors that no document reaches, other
        `ConfigError`s for what is wrong with an Executor.
        """
        flow = type(self).from_spec(self._spec) if copy_flow else self
        _ = flow.plan
        return flow

    @property
    def plan(self) -> FlowPlan:
        """What will run; made when it is first asked for, see `build`."""
        if self._plan is None:
            from jina.launch.gpus import MachineGpus
            from jina.plan.flow import plan_flow, runs

            spec = self._with_gateway_class()
            self._resolved = {name: one for step in spec.steps if runs(step) for name, one in resolved_step(step)}
            executors = {name: resolved.plan for name, resolved in self._resolved.items()}
            custom = self._gateway.plan if self._gateway else None
            plan = plan_flow(spec, executors, custom, self._reservations, MachineGpus())
            _check_graph(plan, spec)
            self._plan = plan
        return self._plan

    def _with_gateway_class(self) -> FlowSpec:
        """The spec, once the gateway's class is found: one that serves a single protocol decides it."""
        with naming("gateway"):
            self._gateway = resolve_gateway(self._spec.front)
        only = protocol_of(self._gateway)
        if only is not None and "protocol" not in self._spec.front.model_fields_set:
            from jina.spec.flow import with_gateway

            self._spec = with_gateway(self._spec, protocol=only)
        return self._spec

    # --- life ---------------------------------------------------------------------------------------------

    @property
    def _built(self) -> bool:
        return self._plan is not None

    @property
    def _started(self) -> bool:
        return bool(self._processes)

    @property
    def _faces(self) -> list[FacePlan]:
        return self.plan.gateway.faces

    @property
    def _quiet(self) -> bool:
        return self._spec.quiet

    @property
    def _waits_on_start(self) -> bool:
        return not self._spec.noblock_on_start

    @property
    def _ready_seconds(self) -> float | None:
        # The default of Jina 3 (ten minutes) ended downloads of large models; only a limit that was asked for counts.
        parts: list[ProcessOptions] = [self._spec.front, *self._spec.steps]
        asked = [part.ready_seconds for part in parts if "timeout_ready" in part.model_fields_set]
        return max((limit for limit in asked if limit is not None), default=None)

    def _plan_to_run(self) -> FlowPlan:
        return self._own_key.admitted(self.plan)

    def _blobs(self) -> dict[str, bytes]:
        found = {name: blob_of(name, resolved) for name, resolved in self._resolved.items()}
        return found | ({"gateway": blob_of("gateway", self._gateway)} if self._gateway else {})

    @property
    def _lends_ports(self) -> bool:
        return self._gateway is not None

    def _launch(self) -> None:
        if self._started:
            return
        try:
            super()._launch()
        except BaseException:
            self._end()
            raise

    def _launched(self, service: Any) -> Running:
        self._restore_environment()
        self._export_environment(service)
        return super()._launched(service)

    def _start_whole_anew(self) -> None:
        try:
            super()._start_whole_anew()
        finally:
            self._restore_environment()
            self._export_environment(self)

    def _end(self, *, now: bool = False, within: float | None = None) -> None:
        try:
            super()._end(now=now, within=within)
        finally:
            self._restore_environment()

    def _export_environment(self, service: Self) -> None:
        for name, value in (service._spec.env or {}).items():
            self._environment[name] = os.environ.get(name)
            os.environ[name] = str(value)

    def _restore_environment(self) -> None:
        while self._environment:
            name, value = self._environment.popitem()
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def _behind(self) -> list[tuple[str, str]]:
        found = [("Gateway", _class_name(self._gateway.plan, self._gateway.by_value))] if self._gateway else []
        for step in self._spec.steps:
            if step.external:
                found.append(("Executor", f"{step.name} at {', '.join(step.hosts)}"))
            elif not step.only_joins:
                copies = ((step.shards, "shards"), (step.replicas, "replicas"))
                counts = [f"{count} {word}" for count, word in copies if count > 1]
                found.append(("Executor", ", ".join([step.name, *counts])))
        return found

    def _failure(self, error: BaseException) -> BaseException:
        if type(error) is not RuntimeFailToStart:
            return error
        failure = RuntimeFailToStart(f"Flow {self.name!r} is aborted: {error.message}", help=error.help)
        failure.__cause__ = error.__cause__
        return failure

    def _reloaded(self) -> dict[str, set[str]]:
        return changing.reloaded(self._spec.steps, self._resolved)

    @property
    def _follows(self) -> bool:
        return self._spec.reload

    def _with_ports(self, spec: FlowSpec) -> FlowSpec:
        from jina.spec.flow import with_gateway

        ports = [face.port for face in self._faces][: len(spec.front.protocols)]
        return spec if spec.front.ports else with_gateway(spec, port=ports)

    def _start_anew(self, name: str) -> None:
        Flow.roll_out(self, name)

    def in_process(self) -> InProcessService:
        """The Flow in this very process, without sockets: `with flow.in_process() as running:`.

        `running` has the calls of the Flow; documents cross as bytes, as they do between processes.
        """
        return InProcessService(self.plan, self._makers(), self._declared)

    def _makers(self) -> dict[str, Make]:
        workers = [worker for deployment in self.plan.deployments for worker in deployment.workers]
        return makers_of(workers, self._resolved)

    # --- requests -----------------------------------------------------------------------------------------

    def _connection(self) -> Connection:
        spec, face = self._spec, self._faces[0]
        options: dict[str, Any] = {"proxy": spec.proxy, "max_message_size": spec.front.max_message_size}
        options |= {"prefetch": spec.front.prefetch, "api_key": self._own_key.text or None}
        if spec.grpc_channel_options:
            options["grpc_channel_options"] = spec.grpc_channel_options
        tls = face.tls is not None or spec.tls
        return Connection(face.protocol, board.reachable(face.host), face.port, tls, options)

    def _declared(self, on: str) -> Any:
        classes = {name: resolved.executor_class for name, resolved in self._resolved.items()}
        return declared_by_graph(self.plan, classes, on)


class AsyncFlow(AsyncCalls, Flow):  # type: ignore[misc]  # its calls are coroutines: that is what it is for
    """A Flow whose calls are coroutines: `async for docs in flow.post(...)`, `await flow.post(...)`."""

    async def scale(self, name: str, replicas: int) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Run so many replicas of a Deployment from now on; see `Deployment.scale`."""
        await asyncio.to_thread(Flow.scale, self, name, replicas)

    async def roll_out(self, name: str, **options: Any) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Replace the replicas of a Deployment one by one; see `Deployment.roll_out`."""
        await asyncio.to_thread(Flow.roll_out, self, name, **options)

    async def add_replica(self, name: str) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start one more replica of a stateful Deployment; see `Deployment.add_replica`."""
        return await asyncio.to_thread(Flow.add_replica, self, name)

    async def remove_replica(self, name: str, replica_id: int | None = None) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """End a replica of a stateful Deployment; see `Deployment.remove_replica`."""
        return await asyncio.to_thread(Flow.remove_replica, self, name, replica_id)

    async def snapshot(self, name: str) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Have each replica of a stateful Deployment write its state; see `Deployment.snapshot`."""
        await asyncio.to_thread(Flow.snapshot, self, name)

    def in_process(self) -> AsyncInProcessService:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """The Flow in this very process, without sockets: `async with flow.in_process() as running:`."""
        return AsyncInProcessService(self.plan, self._makers(), self._declared)


def _class_name(plan: ExecutorPlan, by_value: type | None) -> str:
    return by_value.__name__ if by_value else plan.qualname or plan.jtype


def _check_graph(plan: FlowPlan, spec: FlowSpec) -> None:
    """Raise what its gateway would raise for its conditions and for floating branches."""
    from jina.routing.graph import Graph

    try:
        Graph(plan.gateway.graph)
    except ConfigError as error:
        name, _, text = error.message.partition(": ")
        place = next((step.place for step in spec.steps if step.name == name), None)
        error.message = f"{place}: {text}" if place else f"Flow: {error.message}"
        error.args = (error.message,)
        raise
