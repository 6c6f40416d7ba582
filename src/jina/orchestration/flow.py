"""A graph of Executors behind a gateway: each method that builds it gives a changed copy."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from jina.config import ClassSignature, takes_options_from, takes_options_of, takes_step_options
from jina.errors import ConfigError, FlowBuildLevelError, RuntimeFailToStart
from jina.orchestration import configuration
from jina.orchestration.calls import AsyncRequestMethods, RequestMethods
from jina.orchestration.deployment import Deployment, one_or_list
from jina.orchestration.display import network_host, notebook_cell, picture, reachable, write_picture
from jina.orchestration.in_process import AsyncInProcessService, InProcessService, factories_of
from jina.orchestration.lifecycle import Lifecycle
from jina.orchestration.resolve import (
    FlowState,
    blobs_of,
    declared_by_graph,
    naming,
    plan_of_flow,
    protocol_of,
    reloaded,
    resolve_gateway,
    resolved_all,
)

if TYPE_CHECKING:
    from jina.config import DeploymentSpec, FlowSpec, GatewaySpec, StepSpec
    from jina.config.options import ServiceOptions
    from jina.export.picture import GraphPicture
    from jina.orchestration.changes import StepChanges
    from jina.plan.plans import DeploymentPlan, ExecutorPlan, FlowPlan
    from jina.supervisor.group import ProcessGroup
    from jina.supervisor.in_process import Make


def _flow_spec() -> type[FlowSpec]:
    from jina.config import FlowSpec

    return FlowSpec


def _step_spec() -> type[StepSpec]:
    from jina.config import StepSpec

    return StepSpec


def _gateway_spec() -> type[GatewaySpec]:
    from jina.config import GatewaySpec

    return GatewaySpec


if TYPE_CHECKING:  # type checkers do not look into what the functions above return
    _takes_options = takes_options_of(FlowSpec)
    _takes_step_options = takes_step_options(lambda: StepSpec)
    _takes_gateway_options = takes_step_options(lambda: GatewaySpec)
else:
    _takes_options = takes_options_from(_flow_spec, "Flow")
    _takes_step_options = takes_step_options(_step_spec)
    _takes_gateway_options = takes_step_options(_gateway_spec)


class FlowStep:
    """One Deployment of a Flow, to be looked at."""

    def __init__(self, spec: StepSpec, plan: DeploymentPlan) -> None:
        self.spec = spec
        """The options, validated."""
        self.name = spec.name
        self.ports = spec.ports if spec.external else [listener.port for listener in plan.listeners]
        self.port = one_or_list(self.ports)
        self.protocols = list(spec.protocols)
        self.protocol = one_or_list(self.protocols)
        self.hosts = list(spec.hosts)
        self.host = self.hosts[0]
        self.workspace = spec.workspace
        self.external = spec.external
        self.tls_enabled = bool(spec.tls or spec.ssl_certfile)
        self.grpc_metadata = spec.grpc_metadata
        self.num_pods = len(plan.workers) + (plan.gateway is not None)
        """Number of processes."""

    @property
    def address_private(self) -> str | None:
        """The address of this machine in its network; None without a network."""
        return network_host()

    def __repr__(self) -> str:
        return f"<FlowStep {self.name!r} of {self.spec.uses!r}>"


class BaseFlow(Lifecycle):
    """What `Flow` and `AsyncFlow` have in common: all but the calls that wait."""

    kind = "Flow"
    __signature__ = ClassSignature(_flow_spec)
    _state: FlowState
    _workspace_id: str | None = None
    _drawn_in: tuple[Any, int] | None = None
    """The notebook and its cell in which `plot` has shown the picture."""

    @_takes_options
    def __init__(self, spec: FlowSpec) -> None:
        super().__init__()
        coroutines = isinstance(self, AsyncFlow)
        self._state = FlowState(spec if spec.asyncio == coroutines else spec.model_copy(update={"asyncio": coroutines}))
        self._environment: dict[str, str | None] = {}

    @classmethod
    def from_spec(cls, spec: FlowSpec) -> Self:
        """A Flow of a spec that was validated already; an `AsyncFlow` where it says so."""
        made: Any = AsyncFlow if cls is Flow and spec.asyncio else cls
        self = made.__new__(made)
        made.__init__.__wrapped__(self, spec)
        return cast("Self", self)

    @classmethod
    def from_command_line(cls, options: Mapping[str, Any], command: str = "flow") -> Self:
        """The Flow that the options of `jina flow` describe: `uses` is its YAML, which the others override."""
        return cls._from_options(options, lambda given: configuration.flow_from_command_line(given, f"jina {command}"))

    # --- the graph: with `copy_flow=False` the Flow itself is changed -------------------------------------

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
        return self._changed(with_gateway(self.spec, **located(options)), copy_flow)

    def expose_endpoint(self, exec_endpoint: str, path: str | None = None, **options: Any) -> Self:
        """A Flow whose HTTP gateway serves an endpoint under a path of its own; `methods`, `summary`, `tags`."""
        from jina.config.changes import with_gateway

        self._may_change()
        exposed = dict(self.spec.front.expose_endpoints or {})
        exposed[exec_endpoint] = options if path is None else {"http_path": path, **options}
        return self._changed(with_gateway(self.spec, expose_endpoints=exposed), copy_flow=True)

    def _with_step(
        self, method: str, copy_flow: bool, deployment: DeploymentSpec | None, options: Mapping[str, Any]
    ) -> Self:
        from jina.config.changes import with_step
        from jina.config.paths import located

        self._may_change()
        return self._changed(with_step(self.spec, method, deployment, **located(options)), copy_flow)

    def _changed(self, spec: FlowSpec, copy_flow: bool) -> Self:
        if copy_flow:
            return type(self).from_spec(spec)
        self._replace(spec)
        return self

    def _may_change(self) -> None:
        if self._started:
            raise FlowBuildLevelError(
                f"Flow {self.spec.name!r} is running and cannot be changed", help="close it first, or change a copy"
            )

    # --- what it is: setters take effect until the plan is built, in any order ----------------------------

    @property
    def spec(self) -> FlowSpec:
        """The options, validated, with all steps."""
        return self._state.spec

    def build(self, copy_flow: bool = False) -> Self:
        """Check the graph, find the Executors, choose names and ports; nothing is started.

        Raises `FlowTopologyError` for unknown names in `needs`, cycles and Executors that no document reaches, other
        `ConfigError`s for what is wrong with an Executor.
        """
        flow = type(self).from_spec(self.spec) if copy_flow else self
        _ = flow.plan
        return flow

    @property
    def plan(self) -> FlowPlan:
        """What will run; made when it is first asked for, see `build`."""
        state = self._state
        if state.plan is None:
            from jina.plan.flow import runs

            spec = self._with_gateway_class()
            state.executors = {
                name: one for step in spec.steps if runs(step) for name, one in resolved_all(step, "Flow: ").items()
            }
            plan = plan_of_flow(spec, state.executors, state.gateway, self._reservations)
            _check_graph(plan, spec)
            state.plan = plan
        return state.plan

    def to_kubernetes_yaml(
        self,
        output_base_path: str | os.PathLike[str],
        k8s_namespace: str | None = None,
        include_gateway: bool = True,
        *,
        k8s_version: str | None = None,
        form: Literal["files", "kustomize", "helm"] = "files",
    ) -> None:
        """Write Kubernetes files into a folder: `<step>/<step>.yml` for each Executor, and `gateway/gateway.yml`.

        Each `uses` has to name an image, `docker://NAME`; external Executors are addresses. Without `k8s_namespace` the
        namespace is named as the Flow. `k8s_version` is that of the cluster, 1.20 or newer; unset: the newest that is
        known. The `form` "helm" is a chart of these files, "kustomize" a `kustomization.yaml` above them. Nothing is
        started, and no container engine is asked. Raises `NoContainerizedError` where an Executor is no image,
        `ConfigError` for what a cluster cannot have.
        """
        from jina.export.charts import files_in
        from jina.export.kubernetes import export_of_flow

        export = export_of_flow(
            self.spec, configuration.images(), k8s_namespace, gateway=include_gateway, version=k8s_version
        )
        configuration.write_files(files_in(form, export), output_base_path)

    to_k8s_yaml = to_kubernetes_yaml

    def to_docker_compose_yaml(
        self,
        output_path: str | os.PathLike[str] | None = None,
        network_name: str | None = None,
        include_gateway: bool = True,
    ) -> None:
        """Write a file for `docker compose up`, `docker-compose.yml` unless a path is given.

        Raises as `to_kubernetes_yaml`.
        """
        from jina.export.compose import file_of_flow

        text = file_of_flow(self.spec, configuration.images(), network_name, gateway=include_gateway)
        configuration.write_files({"": text}, output_path or "docker-compose.yml")

    def _with_gateway_class(self) -> FlowSpec:
        """The spec, once the gateway's class is found: one that serves a single protocol decides it."""
        state = self._state
        with naming("Flow: gateway"):
            state.gateway = resolve_gateway(state.spec.front)
        only = protocol_of(state.gateway)
        if only is not None and "protocol" not in state.spec.front.model_fields_set:
            from jina.config.changes import with_gateway

            state.spec = with_gateway(state.spec, protocol=only)
        return state.spec

    def _replace(self, spec: FlowSpec) -> None:
        """Become the Flow of another spec."""
        self._state.spec = spec
        self._state.plan = None
        self._definition = None  # the program decides
        self._reservations.close()

    @property
    def _started(self) -> bool:
        return bool(self._processes)

    @property
    def ports(self) -> list[int]:
        """One port for each protocol; those that were not given are chosen when this is asked for."""
        return [listener.port for listener in self.plan.gateway.listeners]

    @property
    def port(self) -> int | list[int]:
        """The gateway's port, or a list of them where there are several protocols."""
        return one_or_list(self.ports)

    @port.setter
    def port(self, value: int | Sequence[int]) -> None:
        self._configure("port", value)

    @property
    def protocols(self) -> list[str]:
        """The gateway's protocols in lower case."""
        return list(self.spec.front.protocols)

    @property
    def protocol(self) -> str | list[str]:
        """The gateway's protocol, or a list of them."""
        return one_or_list(self.protocols)

    @protocol.setter
    def protocol(self, value: str | Sequence[str]) -> None:
        self._configure("protocol", value)

    @property
    def host(self) -> str:
        """Where the gateway listens."""
        return self.spec.front.hosts[0]

    @host.setter
    def host(self, value: str) -> None:
        self._configure("host", value)

    @property
    def workspace(self) -> str | None:
        """Folder below which Executors keep their files; None for the default."""
        return self.spec.workspace

    @workspace.setter
    def workspace(self, value: str) -> None:
        self._set("workspace", value)

    @property
    def workspace_id(self) -> str:
        """Identifier of this Flow: the one given, else 32 random hexadecimal digits."""
        self._workspace_id = self.spec.workspace_id or self._workspace_id or os.urandom(16).hex()
        return self._workspace_id

    @workspace_id.setter
    def workspace_id(self, value: str) -> None:
        self._set("workspace_id", value)

    @property
    def env(self) -> dict[str, str] | None:
        """Variables that the environment of this program, and so of all processes, has while the Flow runs."""
        return self.spec.env

    @env.setter
    def env(self, value: Mapping[str, str]) -> None:
        self._set("env", value)

    @property
    def monitoring(self) -> bool:
        """Whether metrics have a port of their own."""
        return self.spec.front.monitoring

    @property
    def port_monitoring(self) -> Any:
        """The port of the gateway's metrics, as it was given."""
        return self.spec.front.port_monitoring

    @property
    def tls_enabled(self) -> bool:
        """Whether clients connect by TLS."""
        return bool(self.spec.tls or self.spec.front.ssl_certfile)

    @property
    def num_deployments(self) -> int:
        """Number of Deployments; once the Flow is built, its gateway counts too."""
        return len(self._present) + (self._state.plan is not None)

    @property
    def num_pods(self) -> int:
        """Number of processes; the gateway is one of them."""
        return sum(len(deployment.workers) for deployment in self.plan.deployments) + 1

    @property
    def address_private(self) -> str | None:
        """The address of this machine in its network; None without a network."""
        return network_host()

    def __getitem__(self, key: str | int) -> FlowStep:
        steps = self._present
        if isinstance(key, int):
            return self._step(steps[key])
        found = next((step for step in steps if step.name == key), None)
        if found is None:
            raise KeyError(key)
        return self._step(found)

    def __iter__(self) -> Iterator[tuple[str, FlowStep]]:
        return iter([(step.name, self._step(step)) for step in self._present])

    @property
    def _present(self) -> list[StepSpec]:
        """The steps that are part of the graph: inspections that `inspect` takes out are not."""
        left = {deployment.name for deployment in self.plan.deployments}
        return [step for step in self.spec.steps if step.name in left]

    def __eq__(self, other: object) -> bool:
        """Whether both have the same Deployments, with the same options."""
        if not isinstance(other, BaseFlow):
            return NotImplemented
        mine, theirs = ([_compared(step) for step in flow.spec.executors] for flow in (self, other))
        return mine == theirs

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        steps = ", ".join(step.name for step in self.spec.executors) or "no Executor"
        state = ", running" if self._started else ""
        return f"<{type(self).__name__} {self.name!r}: {steps}{state}>"

    def _step(self, spec: StepSpec) -> FlowStep:
        plans = {deployment.name: deployment for deployment in self.plan.deployments}
        return FlowStep(spec, plans[spec.name])

    def _configure(self, option: str, value: Any) -> None:
        """Set an option of the gateway."""
        from jina.config.changes import set_at_gateway

        self._may_set(option)
        self._replace(set_at_gateway(self.spec, option, value))

    def _set(self, name: str, value: Any) -> None:
        """Set an option of the Flow."""
        from jina.config import FlowSpec, parse

        self._may_set(name)
        valid = parse(FlowSpec, {name: value}, "Flow")
        self._replace(self.spec.model_copy(update={name: getattr(valid, name)}))

    def _may_set(self, name: str) -> None:
        if self._started:
            raise FlowBuildLevelError(f"{name} of the running Flow {self.name!r} cannot be changed")

    # --- pictures: drawn here, without a network service; what they show builds the Flow -------------------

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
            write_picture(self._picture(), Path(output), vertical=vertical_layout)
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
        drawn, self._drawn_in = self._drawn_in, None
        if drawn is not None and drawn == notebook_cell():
            return {"text/plain": repr(self)}  # the value of the last line, whose `plot` has shown the picture
        try:
            return self._bundle()
        except ConfigError as error:  # a graph that is not complete yet has no picture
            return {"text/plain": f"{self!r}\n{error}"}

    def _bundle(self, *, vertical: bool = False) -> dict[str, str]:
        from jina.export import flowchart

        bundle = flowchart.mimebundle(self._picture(), vertical=vertical)
        return {**bundle, "text/html": self._html(bundle["image/svg+xml"])}

    def _display(self, *, vertical: bool) -> None:
        cell = notebook_cell()
        if cell is None:
            self.describe()
            return
        self._drawn_in = cell
        cell[0].display_pub.publish(self._bundle(vertical=vertical))

    def _picture(self) -> GraphPicture:
        plan = self.plan
        classes = {name: one.executor_class for name, one in self._state.executors.items()}
        endpoints_of_steps = self._processes[0].steps if self._processes else {}
        return picture(plan, classes, running=self._started, endpoints_of_steps=endpoints_of_steps)

    # --- life ---------------------------------------------------------------------------------------------

    @property
    def _shares_ports(self) -> bool:
        _ = self.plan
        return self._state.gateway is not None

    @property
    def _ready_seconds(self) -> float | None:
        parts: list[ServiceOptions] = [self.spec.front, *self.spec.steps]
        return max((limit for part in parts if (limit := part.ready_seconds_asked) is not None), default=None)

    def _recall(self) -> None:
        _ = self.plan
        for step in self.spec.executors:
            if step.stateful and not step.raft_peers and not step.external:
                self._changes_of(step.name).recall()

    def _blobs(self) -> dict[str, bytes]:
        gateway = {"gateway": self._state.gateway} if self._state.gateway else {}
        return blobs_of({**self._state.executors, **gateway}, "Flow: ")

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
        for name, value in (service.spec.env or {}).items():
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
        own = self._state.gateway
        found = [("Gateway", _class_name(own.plan, own.by_value))] if own else []
        for step in self.spec.steps:
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
        return reloaded(self.spec.steps, self._state.executors)

    def _with_ports(self, spec: FlowSpec) -> FlowSpec:
        from jina.config.changes import with_gateway

        ports = [listener.port for listener in self._listeners][: len(spec.front.protocols)]
        return spec if spec.front.ports else with_gateway(spec, port=ports)

    def _restart(self, name: str) -> None:
        self._changes(name).roll_out({})

    def _changes(self, name: str) -> StepChanges:
        """Of a step while it runs; raises where the Flow does not."""
        self._running_or_raise()
        return self._changes_of(name)

    def _changes_of(self, name: str) -> StepChanges:
        from jina.orchestration.changes import StepChanges

        return StepChanges(self._running_or_raise, self._changing, self._reservations, self._state, name)

    @property
    def _autoscales(self) -> bool:
        return any(step.autoscale is not None for step in self.spec.executors)

    def consensus_status(self, name: str) -> list[dict[str, Any]]:
        """What the consensus agents of a stateful Deployment tell; see `Deployment.consensus_status`."""
        return self._changes(name).consensus_status()

    # --- requests -----------------------------------------------------------------------------------------

    def _client_options(self) -> dict[str, Any]:
        spec, listener = self.spec, self._listeners[0]
        options: dict[str, Any] = {"proxy": spec.proxy, "max_message_size": spec.front.max_message_size}
        options |= {"prefetch": spec.front.prefetch, "api_key": self._own_key.text or None}
        if spec.grpc_channel_options:
            options["grpc_channel_options"] = spec.grpc_channel_options
        options |= {"protocol": listener.protocol, "port": listener.port, "host": reachable(listener.host)}
        return options | {"tls": listener.tls is not None or spec.tls}

    def _declared(self, on: str) -> Any:
        classes = {name: resolved.executor_class for name, resolved in self._state.executors.items()}
        return declared_by_graph(self.plan, classes, on)

    def _factories(self) -> dict[str, Make]:
        workers = [worker for deployment in self.plan.deployments for worker in deployment.workers]
        return factories_of(workers, self._state.executors)


class Flow(BaseFlow, RequestMethods):
    """Deployments that work together, served by one gateway.

        flow = Flow(port=12345).add(uses=Encoder).add(uses=Index)
        with flow:
            docs = flow.post('/search', docs)

    Options of Deployments are the defaults of those that are added, the others are those of the gateway. Methods
    that build give a changed copy. The graph is checked by `build`, which `start` calls, before anything starts.
    Works inside a running event loop too, also as `async with`; `Flow(asyncio=True)` is an `AsyncFlow`.
    """

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """An `AsyncFlow` where `asyncio` says so."""
        made: Any = AsyncFlow(*args, **options) if cls is Flow and options.get("asyncio") else super().__new__(cls)
        return cast("Self", made)

    def scale(self, name: str, replicas: int) -> None:
        """Run so many replicas of a Deployment from now on; see `Deployment.scale`."""
        self._changes(name).scale(replicas)

    def roll_out(self, name: str, **options: Any) -> None:
        """Replace the replicas of a Deployment one by one; see `Deployment.roll_out`."""
        self._changes(name).roll_out(options)

    def add_replica(self, name: str) -> int:
        """Start one more replica of a stateful Deployment; see `Deployment.add_replica`."""
        return self._changes(name).add_replica()

    def remove_replica(self, name: str, replica_id: int | None = None) -> int:
        """End a replica of a stateful Deployment; see `Deployment.remove_replica`."""
        return self._changes(name).remove_replica(replica_id)

    def snapshot(self, name: str) -> None:
        """Write a snapshot of each replica of a stateful Deployment; see `Deployment.snapshot`."""
        self._changes(name).snapshot()

    def in_process(self) -> InProcessService:
        """The Flow in this very process, without sockets: `with flow.in_process() as running:`.

        `running` has the calls of the Flow; documents cross as bytes, as they do between processes.
        """
        return InProcessService(self.plan, self._factories(), self._declared)


class AsyncFlow(BaseFlow, AsyncRequestMethods):
    """A Flow whose calls are coroutines: `async for docs in flow.post(...)`, `await flow.post(...)`."""

    async def scale(self, name: str, replicas: int) -> None:
        """Run so many replicas of a Deployment from now on; see `Deployment.scale`."""
        await asyncio.to_thread(self._changes(name).scale, replicas)

    async def roll_out(self, name: str, **options: Any) -> None:
        """Replace the replicas of a Deployment one by one; see `Deployment.roll_out`."""
        await asyncio.to_thread(self._changes(name).roll_out, options)

    async def add_replica(self, name: str) -> int:
        """Start one more replica of a stateful Deployment; see `Deployment.add_replica`."""
        return await asyncio.to_thread(self._changes(name).add_replica)

    async def remove_replica(self, name: str, replica_id: int | None = None) -> int:
        """End a replica of a stateful Deployment; see `Deployment.remove_replica`."""
        return await asyncio.to_thread(self._changes(name).remove_replica, replica_id)

    async def snapshot(self, name: str) -> None:
        """Write a snapshot of each replica of a stateful Deployment; see `Deployment.snapshot`."""
        await asyncio.to_thread(self._changes(name).snapshot)

    def in_process(self) -> AsyncInProcessService:
        """The Flow in this very process, without sockets: `async with flow.in_process() as running:`."""
        return AsyncInProcessService(self.plan, self._factories(), self._declared)


Flow.register(AsyncFlow)  # it is a Flow, whose calls have to be awaited: `isinstance` and programs of Jina 3 say so


def _compared(step: StepSpec) -> dict[str, Any]:
    """What makes two steps equal: a class is the same as its import path."""
    return {
        name: f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else value
        for name, value in step.non_defaults().items()
    }


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
        return cast("DeploymentSpec", configuration.read("Deployment", deployment))
    hint = f"; give the class as uses={deployment.__name__}" if isinstance(deployment, type) else ""
    raise ConfigError(f"Flow.add: {deployment!r} is neither a Deployment nor the path of its YAML{hint}")


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
        error.reword(f"{place}: {text}" if place else f"Flow: {error.message}")
        raise
