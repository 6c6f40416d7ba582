"""A graph of Executors behind a gateway: each method that builds it gives a changed copy."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import types
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, Protocol, Self, TextIO, TypeVar, cast, overload

from jina.config import takes_options_from, takes_options_of
from jina.errors import ConfigError, FlowBuildLevelError, NotSupportedError, RuntimeFailToStart
from jina.executor.configurable import BY_HAND
from jina.orchestration import configuration
from jina.orchestration.calls import AsyncRequestMethods, Connection, RequestMethods
from jina.orchestration.changes import reloaded
from jina.orchestration.deployment import Deployment
from jina.orchestration.display import reachable
from jina.orchestration.flow_changes import FlowChanging, blob_of, naming, resolved_step
from jina.orchestration.in_process import AsyncInProcessService, InProcessService, factories_of
from jina.orchestration.resolve import OwnKey, Resolved, declared_by_graph, protocol_of, resolve_gateway

if TYPE_CHECKING:
    from jina.config import DeploymentSpec, FlowSpec, GatewaySpec, StepSpec
    from jina.config.base import Spec
    from jina.config.options import ProcessOptions
    from jina.executor import Executor
    from jina.export.picture import GraphPicture
    from jina.plan.plans import ExecutorPlan, FlowPlan, ListenerPlan
    from jina.supervisor.group import ProcessGroup
    from jina.supervisor.in_process import Make

P = ParamSpec("P")
OwnerT = TypeVar("OwnerT")
ResultT_co = TypeVar("ResultT_co", covariant=True)


class BoundStepMethod(Protocol[P, ResultT_co]):
    """What type checkers see: the options by name, after at most two values by position."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> ResultT_co: ...
    @overload
    def __call__(self, first: Any, /, *args: P.args, **kwargs: P.kwargs) -> ResultT_co: ...
    @overload
    def __call__(self, first: Any, second: Any, /, *args: P.args, **kwargs: P.kwargs) -> ResultT_co: ...
    @overload
    def __call__(self, *args: Any, copy_flow: bool, **kwargs: Any) -> ResultT_co: ...


class StepMethod(Generic[P]):
    """A method whose signature is its own and the options of a spec, put together when somebody asks for it."""

    def __init__(self, load: Callable[[], Any], method: Callable[..., Any]) -> None:
        functools.update_wrapper(self, method)
        self._load = load
        self._method = method

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> StepMethod[P]: ...
    @overload
    def __get__(self, instance: OwnerT, owner: type[Any]) -> BoundStepMethod[P, OwnerT]: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, instance: Any, /, *args: Any, **options: Any) -> Any:
        """Call the method on an instance."""
        return self._method(instance, *args, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        return _joined(self._method, self._load())


class ClassSignature:
    """The signature of a class: the options of a spec, where `__new__` would hide those of `__init__`."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> inspect.Signature:
        from jina.config.signature import signature_of

        signature = signature_of(self._load())
        return signature.replace(parameters=[p for p in signature.parameters.values() if p.name != "self"])


def takes_step_options(
    load: Callable[[], Callable[P, Spec]],
) -> Callable[[Callable[..., Any]], StepMethod[P]]:
    """Turn `method(self, ..., **options)` into one that shows the options of the spec that `load` imports."""
    return lambda method: StepMethod(load, method)


def _joined(method: Callable[..., Any], model: type[Spec]) -> inspect.Signature:
    from jina.config.signature import signature_of

    own = [p for p in inspect.signature(method).parameters.values() if p.kind is not p.VAR_KEYWORD]
    names = {parameter.name for parameter in own}
    options = [p for p in signature_of(model).parameters.values() if p.kind is p.KEYWORD_ONLY and p.name not in names]
    return inspect.Signature([*own, *options])


def _step_spec() -> type[StepSpec]:
    from jina.config import StepSpec

    return StepSpec


def _gateway_spec() -> type[GatewaySpec]:
    from jina.config import GatewaySpec

    return GatewaySpec


if TYPE_CHECKING:  # type checkers do not look into what the functions above return
    _takes_step_options = takes_step_options(lambda: StepSpec)
    _takes_gateway_options = takes_step_options(lambda: GatewaySpec)
else:
    _takes_step_options = takes_step_options(_step_spec)
    _takes_gateway_options = takes_step_options(_gateway_spec)


class FlowBuilding:
    """Steps and gateway, added one by one. With `copy_flow=False` the Flow itself is changed."""

    _spec: FlowSpec

    if TYPE_CHECKING:

        @classmethod
        def _defined(cls, source: Any, read: Callable[[Any], Any]) -> Self: ...

    @classmethod
    @abstractmethod
    def from_spec(cls, spec: FlowSpec) -> Self:
        """A Flow of a spec that was validated already."""

    @abstractmethod
    def _replace(self, spec: FlowSpec) -> None:
        """Become the Flow of another spec."""

    @property
    @abstractmethod
    def _started(self) -> bool: ...

    @_takes_step_options
    def add(
        self, deployment: Deployment | DeploymentSpec | str | None = None, *, copy_flow: bool = True, **options: Any
    ) -> Self:
        """A Flow with one more Executor, which follows the one added before it unless `needs` says otherwise.

        `deployment` is a Deployment, which is not started for itself, or the path of a Deployment's YAML; `options`
        count instead of its own. `needs='gateway'` begins a branch, `needs=['a', 'b']` joins branches; names may
        belong to Executors that are added later. Raises `ConfigError` for options that are wrong and
        `FlowBuildLevelError` where the Flow runs.
        """
        return self._with_step("add", copy_flow, _spec_of(deployment), options)

    @_takes_step_options
    def needs(
        self, needs: Sequence[str] | str, name: str | None = None, *, copy_flow: bool = True, **options: Any
    ) -> Self:
        """A Flow with a join of several Executors: `uses`, or without it a plain merge. Its name is `joiner`."""
        return self._with_step("needs", copy_flow, None, {"needs": needs, "name": name, **options})

    @_takes_step_options
    def needs_all(self, name: str | None = None, *, copy_flow: bool = True, **options: Any) -> Self:
        """A Flow with a join of all Executors that none follows yet."""
        return self._with_step("needs_all", copy_flow, None, {"name": name, **options})

    @_takes_step_options
    def inspect(self, name: str | None = None, *, copy_flow: bool = True, **options: Any) -> Self:
        """A Flow with an Executor that looks at the documents of the last one; what it returns goes nowhere."""
        return self._with_step("inspect", copy_flow, None, {"name": name, **options})

    @_takes_step_options
    def gather_inspect(
        self,
        name: str | None = None,
        include_last_deployment: bool = True,
        *,
        copy_flow: bool = True,
        **options: Any,
    ) -> Self:
        """A Flow that waits for all `inspect` steps so far, as a Flow with `inspect='COLLECT'` does at its end."""
        if not include_last_deployment:
            raise ConfigError("Flow.gather_inspect: include_last_deployment=False would lose the reply; leave it out")
        return self._with_step("gather_inspect", copy_flow, None, {"name": name, **options})

    @_takes_gateway_options
    def config_gateway(self, args: Any = None, *, copy_flow: bool = True, **options: Any) -> Self:
        """A Flow whose gateway has these options; `args` gives them as attributes."""
        from jina.config.changes import with_gateway
        from jina.config.paths import located

        self._may_change()
        if args is not None:
            known = _gateway_spec().model_fields
            options = {**{name: value for name, value in vars(args).items() if name in known}, **options}
        return self._changed(with_gateway(self._spec, **located(options)), copy_flow)

    def expose_endpoint(self, exec_endpoint: str, path: str | None = None, **options: Any) -> Self:
        """A Flow whose HTTP gateway serves an endpoint under a path of its own; `methods`, `summary`, `tags`."""
        from jina.config.changes import with_gateway

        self._may_change()
        exposed = dict(self._spec.front.expose_endpoints or {})
        exposed[exec_endpoint] = options if path is None else {"http_path": path, **options}
        return self._changed(with_gateway(self._spec, expose_endpoints=exposed), copy_flow=True)

    def _with_step(
        self, method: str, copy_flow: bool, deployment: DeploymentSpec | None, options: Mapping[str, Any]
    ) -> Self:
        from jina.config.changes import with_step
        from jina.config.paths import located

        self._may_change()
        return self._changed(with_step(self._spec, method, deployment, **located(options)), copy_flow)

    def _changed(self, spec: FlowSpec, copy_flow: bool) -> Self:
        if copy_flow:
            return type(self).from_spec(spec)
        self._replace(spec)
        return self

    def _may_change(self) -> None:
        if self._started:
            raise FlowBuildLevelError(
                f"Flow {self._spec.name!r} is running and cannot be changed", help="close it first, or change a copy"
            )

    def to_kubernetes_yaml(self, output_base_path: str, **options: Any) -> NoReturn:
        """Not available yet."""
        del options
        raise NotSupportedError(f"Flow.to_kubernetes_yaml({output_base_path!r}) is not available yet", help=BY_HAND)

    to_k8s_yaml = to_kubernetes_yaml

    def to_docker_compose_yaml(self, output_path: str | None = None, **options: Any) -> NoReturn:
        """Not available yet."""
        del output_path, options
        raise NotSupportedError("Flow.to_docker_compose_yaml is not available yet", help=BY_HAND)

    # --- configuration ------------------------------------------------------------------------------------

    @classmethod
    def load_config(
        cls,
        source: str | TextIO | Mapping[str, Any],
        *,
        context: Mapping[str, Any] | None = None,
        substitute: bool = True,
        **options: Any,
    ) -> Self:
        """The Flow that YAML describes: a path, text, an open file, a mapping or a URL.

        `options` count instead of the file's. `context` gives the variables of `${{ CONTEXT.name }}`;
        `substitute=False` leaves all variables as they are.
        """
        more: Any = {"context": context, "substitute": substitute, "overrides": options}
        return cls._defined(source, lambda source: configuration.read_flow(source, **more))

    @classmethod
    def from_command_line(cls, options: Mapping[str, Any], command: str = "flow") -> Self:
        """The Flow that the options of `jina flow` describe: `uses` is its YAML, which the others override."""

        def read(uses: Any) -> FlowSpec:
            given = options if uses is None else {**options, "uses": uses}
            return configuration.flow_from_command_line(given, f"jina {command}")

        return cls._defined(options.get("uses"), read)

    def save_config(self, filename: str | None = None) -> None:
        """Write what differs from the defaults as YAML, to `<name>.yml` unless a name is given."""
        configuration.write(self._spec, filename or f"{self._spec.name}.yml")

    def to_dict(self) -> dict[str, Any]:
        """What `save_config` writes, as a mapping."""
        return configuration.as_dict(self._spec)


def _spec_of(deployment: Any) -> DeploymentSpec | None:
    """The options of what `add` got by position."""
    if deployment is None:
        return None
    if isinstance(deployment, Deployment):
        return deployment.spec
    from jina.config import DeploymentSpec

    if isinstance(deployment, DeploymentSpec):
        return deployment
    if isinstance(deployment, str | Mapping):
        return configuration.read(deployment, context=None, substitute=True, overrides={})
    hint = f"; give the class as uses={deployment.__name__}" if isinstance(deployment, type) else ""
    raise ConfigError(f"Flow.add: {deployment!r} is no Deployment and no path of its YAML{hint}")


class FlowPicture:
    """Pictures of a Flow are drawn here, without a network service. What they show builds the Flow."""

    _resolved: dict[str, Resolved]
    _processes: list[ProcessGroup]
    _drawn_in: tuple[Any, int] | None = None
    """The notebook and its cell in which `plot` has shown the picture."""

    @property
    @abstractmethod
    def plan(self) -> FlowPlan:
        """The plan, made when it is first asked for."""

    @property
    @abstractmethod
    def _started(self) -> bool: ...

    def plot(
        self,
        output: str | os.PathLike[str] | None = None,
        vertical_layout: bool = False,
        inline_display: bool = False,
        build: bool = True,
        copy_flow: bool = True,
    ) -> Self:
        """Draw the graph with endpoints and types, replicas and addresses.

        Endpoints are those of classes that are imported already, and of all Executors while the Flow runs.

        The suffix of `output` decides the format: `.svg`, `.png`, `.jpg` (both need the extra `plot`), `.mmd` (Mermaid)
        or `.txt`. `inline_display`, or no `output`, shows it in a notebook, and the text of `describe` elsewhere.
        `build` and `copy_flow` change nothing: a picture always builds the Flow, and never changes it. Raises
        `ConfigError` for another suffix, a file that cannot be written, and whatever is wrong with the Flow.
        """
        del build, copy_flow
        from jina.export import flowchart

        if output is not None:
            flowchart.check_suffix(Path(output).suffix)  # before anything is built
            write(self._picture(), Path(output), vertical=vertical_layout)
        if inline_display or output is None:
            self._display(vertical=vertical_layout)
        return self

    def describe(self) -> None:
        """Print each Executor with what it needs, its endpoints and types, its replicas and addresses."""
        from jina.export import flowchart

        print(flowchart.to_text(self._picture()), end="")  # noqa: T201 - what the method is for

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: https://ipython.readthedocs.io/en/stable/config/integrating.html."""
        del include, exclude
        from jina.export import flowchart

        drawn, self._drawn_in = self._drawn_in, None
        if drawn is not None and drawn == _cell():
            return {"text/plain": repr(self)}  # the value of the last line, whose `plot` has shown the picture
        try:
            return flowchart.mimebundle(self._picture())
        except ConfigError as error:  # a graph that is not complete yet has no picture
            return {"text/plain": f"{self!r}\n{error}"}

    def _display(self, *, vertical: bool) -> None:
        cell = _cell()
        if cell is None:
            self.describe()
            return
        from jina.export import flowchart

        self._drawn_in = cell
        cell[0].display_pub.publish(flowchart.mimebundle(self._picture(), vertical=vertical))

    def _picture(self) -> GraphPicture:
        plan = self.plan
        classes = {name: one.executor_class for name, one in self._resolved.items()}
        endpoints_of_steps = self._processes[0].steps if self._processes else {}
        return picture(plan, classes, running=self._started, endpoints_of_steps=endpoints_of_steps)


def _cell() -> tuple[Any, int] | None:
    """The notebook in which this runs, and the number of the cell."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    return None if shell is None else (shell, shell.execution_count)


def picture(
    plan: FlowPlan,
    classes: Mapping[str, type[Executor] | None],
    *,
    running: bool,
    endpoints_of_steps: Mapping[str, list[list[Any]]] = MappingProxyType({}),
) -> GraphPicture:
    """The picture of a plan; `classes` are those at hand, by the name of the step, and tell their endpoints.

    Those of the others are `told` by the gateway of a Flow that runs, see `GatewayService.step_endpoints`.
    """
    from jina.export.picture import EndpointPicture, endpoints_of_class, picture_of

    known = {name: cls for name, cls in classes.items() if cls is not None}
    bound = {one.name: one.workers[0].executor.requests for one in plan.deployments if one.workers}
    endpoints = {
        name: tuple(EndpointPicture(*one) for one in endpoints) for name, endpoints in endpoints_of_steps.items()
    }
    endpoints |= {name: endpoints_of_class(cls, bound.get(name)) for name, cls in known.items()}
    return picture_of(plan, endpoints, {name: cls.__name__ for name, cls in known.items()}, running=running)


def write(shown: GraphPicture, path: Path, *, vertical: bool = False) -> None:
    """Write a picture in the format of the file's suffix; raises `ConfigError` where that is not possible."""
    from jina.export import flowchart

    data = flowchart.render(shown, path.suffix, vertical=vertical)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"cannot write the picture to {path}: {error.strerror or error}") from error


def _spec_class() -> type[FlowSpec]:
    from jina.config import FlowSpec

    return FlowSpec


if TYPE_CHECKING:
    _takes_options = takes_options_of(FlowSpec)  # mypy does not look into what `_spec_class` returns
else:
    _takes_options = takes_options_from(_spec_class)


class Flow(FlowBuilding, FlowChanging, FlowPicture, RequestMethods):
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
            from jina.plan.flow import plan_flow, runs
            from jina.supervisor.gpus import MachineGpus

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
            from jina.config.changes import with_gateway

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
    def _listeners(self) -> list[ListenerPlan]:
        return self.plan.gateway.listeners

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
    def _shares_ports(self) -> bool:
        return self._gateway is not None

    def _launch(self) -> None:
        if self._started:
            return
        try:
            super()._launch()
        except BaseException:
            self._end()
            raise

    def _launched(self, service: Any) -> ProcessGroup:
        self._restore_environment()
        self._export_environment(service)
        return super()._launched(service)

    def _restart_all(self) -> None:
        try:
            super()._restart_all()
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
        return reloaded(self._spec.steps, self._resolved)

    @property
    def _follows(self) -> bool:
        return self._spec.reload

    def _with_ports(self, spec: FlowSpec) -> FlowSpec:
        from jina.config.changes import with_gateway

        ports = [listener.port for listener in self._listeners][: len(spec.front.protocols)]
        return spec if spec.front.ports else with_gateway(spec, port=ports)

    def _restart(self, name: str) -> None:
        Flow.roll_out(self, name)

    def in_process(self) -> InProcessService:
        """The Flow in this very process, without sockets: `with flow.in_process() as running:`.

        `running` has the calls of the Flow; documents cross as bytes, as they do between processes.
        """
        return InProcessService(self.plan, self._factories(), self._declared)

    def _factories(self) -> dict[str, Make]:
        workers = [worker for deployment in self.plan.deployments for worker in deployment.workers]
        return factories_of(workers, self._resolved)

    # --- requests -----------------------------------------------------------------------------------------

    def _connection(self) -> Connection:
        spec, listener = self._spec, self._listeners[0]
        options: dict[str, Any] = {"proxy": spec.proxy, "max_message_size": spec.front.max_message_size}
        options |= {"prefetch": spec.front.prefetch, "api_key": self._own_key.text or None}
        if spec.grpc_channel_options:
            options["grpc_channel_options"] = spec.grpc_channel_options
        tls = listener.tls is not None or spec.tls
        return Connection(listener.protocol, reachable(listener.host), listener.port, tls, options)

    def _declared(self, on: str) -> Any:
        classes = {name: resolved.executor_class for name, resolved in self._resolved.items()}
        return declared_by_graph(self.plan, classes, on)


class AsyncFlow(AsyncRequestMethods, Flow):  # type: ignore[misc]  # its calls are coroutines: that is what it is for
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
        """Write a snapshot of each replica of a stateful Deployment; see `Deployment.snapshot`."""
        await asyncio.to_thread(Flow.snapshot, self, name)

    def in_process(self) -> AsyncInProcessService:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """The Flow in this very process, without sockets: `async with flow.in_process() as running:`."""
        return AsyncInProcessService(self.plan, self._factories(), self._declared)


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
