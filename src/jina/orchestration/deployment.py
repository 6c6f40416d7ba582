"""One Executor, served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Self, TextIO, TypeVar, cast

from jina.config import takes_options_from, takes_options_of
from jina.errors import NotSupportedError, UsageError
from jina.executor.configurable import BY_HAND
from jina.orchestration import configuration
from jina.orchestration.calls import Connection, RequestMethods
from jina.orchestration.changes import CHANGEABLE, Replicated, change, changed, kept, reloaded, scaled, with_options
from jina.orchestration.display import announce, network_host, reachable
from jina.orchestration.in_process import InProcessService, factories_of
from jina.orchestration.resolve import OwnKey, Resolved, declared, protocol_of, resolve, resolve_around
from jina.plan.plans import ExecutorPlan

if TYPE_CHECKING:
    from jina.config import DeploymentSpec
    from jina.plan.plans import DeploymentPlan, ListenerPlan, WorkerPlan
    from jina.supervisor.status import ServiceStatus
    from jina.worker.local import InProcessApp

T = TypeVar("T")


class ServiceProperties:
    """The facts of a spec and its plan."""

    _spec: DeploymentSpec
    _plan: DeploymentPlan

    @property
    def name(self) -> str:
        """Name in logs and process names."""
        return self._spec.name

    @property
    def ports(self) -> list[int]:
        """One port for each protocol; those that were not given are chosen at construction."""
        return self._spec.ports if self.external else [listener.port for listener in self._listeners]

    @property
    def port(self) -> int | list[int]:
        """The port, or a list of them where there are several protocols."""
        return one_or_list(self.ports)

    @property
    def protocols(self) -> list[str]:
        """The protocols in lower case."""
        return list(self._spec.protocols)

    @property
    def protocol(self) -> str | list[str]:
        """The protocol, or a list of them."""
        return one_or_list(self.protocols)

    @property
    def host(self) -> str:
        """Where it listens."""
        return self.hosts[0]

    @property
    def hosts(self) -> list[str]:
        """Where it listens, as a list of one."""
        return list(self._spec.hosts)

    @property
    def workspace(self) -> str | None:
        """Folder below which the Executor keeps its files; None for the default."""
        return self._spec.workspace

    @property
    def external(self) -> bool:
        """Whether it runs elsewhere and is only connected to."""
        return self._spec.external

    @property
    def tls_enabled(self) -> bool:
        """Whether clients connect by TLS."""
        return bool(self._spec.tls or self._spec.ssl_certfile)

    @property
    def grpc_metadata(self) -> dict[str, str] | None:
        """GRPC metadata sent with every request to it."""
        return self._spec.grpc_metadata

    @property
    def num_pods(self) -> int:
        """Number of processes."""
        return len(self._plan.workers) + (self._plan.gateway is not None)

    @property
    def address_private(self) -> str | None:
        """The address of this machine in its network; None without a network."""
        return network_host()

    @property
    def spec(self) -> DeploymentSpec:
        """The options, validated."""
        return self._spec

    @property
    def _listeners(self) -> list[ListenerPlan]:
        if self._plan.gateway is not None:
            return self._plan.gateway.listeners
        return self._plan.workers[0].listeners if self._plan.workers else []


def one_or_list(values: list[T]) -> T | list[T]:
    """The value where there is one, the list otherwise."""
    return values[0] if len(values) == 1 else values


def _spec_class() -> type[DeploymentSpec]:
    from jina.config import DeploymentSpec

    return DeploymentSpec


if TYPE_CHECKING:
    _takes_options = takes_options_of(DeploymentSpec)  # mypy does not look into what `_spec_class` returns
else:
    _takes_options = takes_options_from(_spec_class)


class Deployment(Replicated, ServiceProperties, RequestMethods):
    """One Executor, served on gRPC, HTTP or WebSocket by a process of its own.

        with Deployment(uses=MyExecutor, port=12345) as deployment:
            docs = deployment.post('/index', docs)

    Options that are wrong raise `ConfigError` here, before anything starts; ports that are not given are chosen
    and reserved here, until `close`. Works inside a running event loop too, also as `async with`.
    """

    kind = "Deployment"

    @_takes_options
    def __init__(self, spec: DeploymentSpec) -> None:
        from jina.plan.deployment import plan_deployment
        from jina.supervisor.gpus import MachineGpus

        super().__init__()
        self._own_key = OwnKey()
        self._resolved = Resolved(ExecutorPlan()) if spec.external else resolve(spec)
        self._around = {} if spec.external else resolve_around(spec)
        only = protocol_of(self._around.get("gateway"))
        if only is not None and "protocol" not in spec.model_fields_set:
            spec = spec.model_copy(update={"protocol": only})
        self._spec = spec
        around = {name: one.plan for name, one in self._around.items()}
        self._plan = plan_deployment(spec, self._resolved.plan, self._reservations, around, MachineGpus())

    @classmethod
    def from_spec(cls, spec: DeploymentSpec) -> Self:
        """A Deployment of a spec that was validated already."""
        self = cls.__new__(cls)
        cast("Any", cls.__init__).__wrapped__(self, spec)
        return self

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
        """The Deployment that YAML describes: a path, text, an open file, a mapping or a URL.

        `options` count instead of the file's. `context` gives the variables of `${{ CONTEXT.name }}`;
        `substitute=False` leaves all variables as they are.
        """
        more: Any = {"context": context, "substitute": substitute, "overrides": options}
        return cls._defined(source, lambda source: configuration.read(source, **more))

    @classmethod
    def from_command_line(cls, options: Mapping[str, Any], command: str = "deployment") -> Self:
        """The Deployment that the options of `jina deployment` or `jina executor` describe."""
        uses = options.get("uses")

        def read(uses: Any) -> DeploymentSpec:
            given = options if uses is None else {**options, "uses": uses}
            return configuration.from_command_line(given, f"jina {command}")

        return cls._defined(uses, read)

    def save_config(self, filename: str | None = None) -> None:
        """Write the options that differ from their defaults as YAML, to `<name>.yml` unless a name is given."""
        configuration.write(self._spec, filename or f"{self.name}.yml")

    def to_dict(self) -> dict[str, Any]:
        """What `save_config` writes, as `{"jtype": "Deployment", "with": {...}}`."""
        return configuration.as_dict(self._spec)

    def to_kubernetes_yaml(self, output_base_path: str, **options: Any) -> NoReturn:
        """Not available yet."""
        del options
        raise NotSupportedError(
            f"Deployment.to_kubernetes_yaml({output_base_path!r}) is not available yet", help=BY_HAND
        )

    to_k8s_yaml = to_kubernetes_yaml

    def to_docker_compose_yaml(self, output_path: str | None = None, **options: Any) -> NoReturn:
        """Not available yet."""
        del output_path, options
        raise NotSupportedError("Deployment.to_docker_compose_yaml is not available yet", help=BY_HAND)

    @property
    def plan(self) -> DeploymentPlan:
        """What will run."""
        return self._plan

    # --- life ---------------------------------------------------------------------------------------------

    @property
    def _quiet(self) -> bool:
        return self._spec.quiet

    @property
    def _shares_ports(self) -> bool:
        return "gateway" in self._around

    @property
    def _waits_on_start(self) -> bool:
        return not self._spec.noblock_on_start

    @property
    def _ready_seconds(self) -> float | None:
        return _asked_ready(self._spec)

    def _plan_to_run(self) -> DeploymentPlan:
        return self._own_key.admitted(self._plan)

    @property
    def _executors(self) -> dict[str, Resolved]:
        """By the name of the Deployment, and those around its shards."""
        return {self.name: self._resolved, **self._around}

    def _blobs(self) -> dict[str, bytes]:
        return {name: one.blob() for name, one in self._executors.items()}

    def _launch(self) -> None:
        if not self.external:
            super()._launch()

    @property
    def is_ready(self) -> bool:
        """Whether requests are served now."""
        return bool(self.client.is_flow_ready()) if self.external else super().is_ready

    def wait_start_success(self) -> None:
        """Wait until the processes that `start` started serve; raises what `start` raises."""
        if not self.external:
            super().wait_start_success()

    def scale(self, replicas: int) -> None:
        """Run so many replicas from now on, and return when they serve; requests go on meanwhile.

        New ones are ready before others are told to finish and end. If one does not become ready, its error is raised
        and everything is as before. One that was alone gets a gateway in front when others come. Those
        of a stateful Deployment come and go one by one, see `add_replica`.
        """
        with self._changing:
            if self._spec.stateful:
                self._scale_group(replicas)
            else:
                self._change(scaled(self._spec, replicas), renew=False)

    def roll_out(self, **options: Any) -> None:
        """Replace the replicas one by one with such that have other options: `uses`, `uses_with`, `env` and the like.

        Without options they are restarted, which takes in changed code. Each new one is ready before the one whose
        place it takes finishes what it has in work and ends. If one does not become ready, its error is raised, and
        those that were replaced are again what they were.
        """
        with self._changing:
            self._change(changed(self._spec, options), renew=True)

    def update(self, inputs: Any = None, *args: Any, **arguments: Any) -> Any:
        """`post` to `/update`; with options of a Deployment, such as `update(uses=...)`, it is `roll_out`."""
        if inputs is None and not args and arguments and arguments.keys() <= CHANGEABLE:
            return self.roll_out(**arguments)
        return super().update(inputs, *args, **arguments)

    def _reloaded(self) -> dict[str, set[str]]:
        return reloaded([self._spec], {self.name: self._resolved})

    @property
    def _follows(self) -> bool:
        return self._spec.reload and not self.external

    def _with_ports(self, spec: DeploymentSpec) -> DeploymentSpec:
        ports = [listener.port for listener in self._listeners][: len(spec.protocols)]
        return spec if spec.ports else with_options(spec, {"port": ports})

    def _restart(self, name: str) -> None:
        del name
        self.roll_out()

    def _change(self, spec: DeploymentSpec, *, renew: bool) -> None:
        from jina.supervisor.group import processes_of

        running = self._running_or_raise()
        resolved, around = resolve(spec), resolve_around(spec)
        plan = self._replanned(spec, resolved, around)
        blobs = {name: one.blob() for name, one in {self.name: resolved, **around}.items()}
        old, new = (processes_of(self._own_key.admitted(one)) for one in (self._plan, plan))
        change(running, old, new, blobs, renew=renew, within=_asked_ready(spec))
        self._spec, self._resolved, self._around, self._plan = spec, resolved, around, plan

    def _replanned(self, spec: DeploymentSpec, resolved: Resolved, around: Mapping[str, Resolved]) -> DeploymentPlan:
        """The plan of the changed spec, on the ports that are in use."""
        from jina.plan.consensus import numbers
        from jina.plan.deployment import plan_deployment
        from jina.supervisor.gpus import MachineGpus
        from jina.supervisor.ports import KeptPorts

        if spec.stateful:
            return self._plan_of_group(spec, resolved, around, numbers(self._plan.workers))[0]
        behind = self._plan.gateway is not None
        ports = KeptPorts(kept(self._listeners))
        others = {name: one.plan for name, one in around.items()}
        return plan_deployment(spec, resolved.plan, ports, others, MachineGpus(), behind_gateway=behind)

    def asgi(self) -> InProcessApp:
        """The Deployment as an ASGI application, for any ASGI server or test client; nothing is started here.

        The Executor lives in the server's process, constructed when the server starts and closed when it stops. Raises
        `NotSupportedError` where one process is not all that the Deployment is: a `gateway` class, replicas, shards.
        """
        from jina.supervisor.agents import Agents
        from jina.supervisor.loading import construct, find
        from jina.worker.local import InProcessApp

        self._only_one(
            "asgi()",
            "mount it in an application of your own that has the routes: `app.mount('/', deployment.asgi())`",
            "leave out replicas and shards, or start all of it: `with deployment:`",
        )
        plan = self._plan.workers[0]
        Agents.refuse([plan])
        executor_class, arguments = self._resolved.executor_class, self._resolved.arguments
        return InProcessApp(plan, lambda: construct(plan, executor_class or find(plan), arguments))

    def _only_one(self, place: str, with_gateway: str, with_several: str) -> None:
        """Raise where it is more than one Executor, with what to do about a gateway class and about several."""
        if self._plan.gateway is None and len(self._plan.workers) == 1:
            return
        if self._spec.gateway:
            raise NotSupportedError(
                f"{self.name!r} has a gateway class, and {place} can serve an Executor alone", help=with_gateway
            )
        raise NotSupportedError(
            f"{self.name!r} is more than one Executor, which is all that {place} can serve", help=with_several
        )

    def in_process(self) -> InProcessService:
        """The Deployment in this very process, without sockets: `with deployment.in_process() as running:`.

        `running` has the calls of a Deployment; documents cross as bytes, as they do between processes.
        """
        workers = self._plan.workers
        return InProcessService(self._plan, factories_of(workers, self._executors), self._declared)

    def serve_here(self, placed: Callable[[WorkerPlan], WorkerPlan] = lambda plan: plan) -> int:
        """Serve in this very process until SIGTERM or Ctrl+C, as containers want it; gives the exit code.

        To be called on the main thread. `placed` gives the worker its place where it is one of several that others
        start. Raises what `start` raises.
        """
        from jina.supervisor.foreground import serve_here
        from jina.supervisor.ports import shared

        instead = "`jina deployment` with the same options starts "
        self._only_one("one process", f"{instead}both", f"{instead}its replicas and shards")
        plan = placed(self._plan.workers[0])
        executor_class, arguments = self._resolved.executor_class, self._resolved.arguments
        try:
            return serve_here(
                shared(plan, self._hold_given([plan])),
                executor_class,
                arguments,
                lambda: announce(self.name, self._listeners, quiet=self._spec.quiet),
            )
        finally:
            self._end(now=True)

    # --- requests -----------------------------------------------------------------------------------------

    def _connection(self) -> Connection:
        spec = self._spec
        options: dict[str, Any] = {"proxy": spec.proxy, "max_message_size": spec.max_message_size}
        if spec.grpc_channel_options:
            options["grpc_channel_options"] = spec.grpc_channel_options
        if spec.external:
            from jina.config.models import targets

            target = targets(spec)[0]
            options |= {name: getattr(spec, name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")}
            return Connection(target.protocol, reachable(target.host), target.port, target.tls, options)
        options["api_key"] = self._own_key.text or None
        listener = self._listeners[0]
        return Connection(listener.protocol, reachable(listener.host), listener.port, listener.tls is not None, options)

    def _declared(self, on: str) -> Any:
        from jina.plan.processes import AFTER, owner

        for resolved in filter(None, [self._around.get(owner(self.name, AFTER)), self._resolved]):
            cls = resolved.executor_class
            if cls is None:
                return None
            if (found := declared(cls, on, resolved.plan.requests)) is not None:
                return found
        return None

    def status(self) -> ServiceStatus:
        """What each process does: its state, requests in work, restarts. Print it, or see `to_dict()`."""
        if self.external:
            raise UsageError(f"{self.name!r} is external: its processes are not of this program")
        return super().status()

    def _running_or_raise(self) -> Any:
        return None if self.external else super()._running_or_raise()


def _asked_ready(spec: DeploymentSpec) -> float | None:
    # The default of Jina 3 (ten minutes) ended downloads of large models; only a limit that was asked for counts.
    return spec.ready_seconds if "timeout_ready" in spec.model_fields_set else None
