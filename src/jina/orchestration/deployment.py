"""One Executor, served."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

from jina.config import takes_options_from, takes_options_of
from jina.errors import NotSupportedError, UsageError
from jina.orchestration import configuration
from jina.orchestration.calls import RequestMethods
from jina.orchestration.display import announce, reachable
from jina.orchestration.in_process import InProcessService, factories_of, refuse_containers
from jina.orchestration.lifecycle import Lifecycle
from jina.orchestration.resolve import (
    DeploymentState,
    blobs_of,
    declared,
    plan_of_deployment,
    protocol_of,
    reloaded,
    resolved_all,
)

if TYPE_CHECKING:
    from jina.config import DeploymentSpec
    from jina.export.picture import EndpointPicture
    from jina.orchestration.changes import DeploymentChanges
    from jina.plan.plans import DeploymentPlan, WorkerPlan
    from jina.runtime.process import Stop
    from jina.supervisor.status import ServiceStatus
    from jina.worker.local import InProcessApp

T = TypeVar("T")


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


class Deployment(Lifecycle, RequestMethods):
    """One Executor, served on gRPC, HTTP or WebSocket by a process of its own.

        with Deployment(uses=MyExecutor, port=12345) as deployment:
            docs = deployment.post('/index', docs)

    Options that are wrong raise `ConfigError` here, before anything starts; ports that are not given are chosen
    and reserved here, until `close`. Works inside a running event loop too, also as `async with`.
    """

    kind = "Deployment"
    _state: DeploymentState

    @_takes_options
    def __init__(self, spec: DeploymentSpec) -> None:
        super().__init__()
        executors = {} if spec.external else resolved_all(spec)
        only = None if spec.name == "gateway" else protocol_of(executors.get("gateway"))
        if only is not None and "protocol" not in spec.model_fields_set:
            spec = spec.model_copy(update={"protocol": only})
        self._state = DeploymentState(spec, executors, plan_of_deployment(spec, executors, self._reservations))

    @classmethod
    def from_spec(cls, spec: DeploymentSpec) -> Self:
        """A Deployment of a spec that was validated already."""
        self = cls.__new__(cls)
        cast("Any", cls.__init__).__wrapped__(self, spec)
        return self

    @classmethod
    def from_command_line(cls, options: Mapping[str, Any], command: str = "deployment") -> Self:
        """The Deployment that the options of `jina deployment` or `jina executor` describe."""
        return cls._from_options(options, lambda given: configuration.from_command_line(given, f"jina {command}"))

    # --- what it is ---------------------------------------------------------------------------------------

    @property
    def spec(self) -> DeploymentSpec:
        """The options, validated."""
        return self._state.spec

    @property
    def plan(self) -> DeploymentPlan:
        """What will run."""
        return self._state.plan

    @property
    def ports(self) -> list[int]:
        """One port for each protocol; those that were not given are chosen at construction."""
        return self.spec.ports if self.external else [listener.port for listener in self._listeners]

    @property
    def port(self) -> int | list[int]:
        """The port, or a list of them where there are several protocols."""
        return one_or_list(self.ports)

    @property
    def protocols(self) -> list[str]:
        """The protocols in lower case."""
        return list(self.spec.protocols)

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
        return list(self.spec.hosts)

    @property
    def workspace(self) -> str | None:
        """Folder below which the Executor keeps its files; None for the default."""
        return self.spec.workspace

    @property
    def external(self) -> bool:
        """Whether it runs elsewhere and is only connected to."""
        return self.spec.external

    @property
    def tls_enabled(self) -> bool:
        """Whether clients connect by TLS."""
        return bool(self.spec.tls or self.spec.ssl_certfile)

    @property
    def grpc_metadata(self) -> dict[str, str] | None:
        """GRPC metadata sent with every request to it."""
        return self.spec.grpc_metadata

    @property
    def num_pods(self) -> int:
        """Number of processes."""
        return len(self.plan.workers) + (self.plan.gateway is not None)

    def __repr__(self) -> str:
        state = ", running" if self._processes else ""
        return f"<{type(self).__name__} {self.name!r} of {self._shown_class}{state}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from jina import notebook

        counts = [(self.spec.replicas, "replicas"), (self.spec.shards, "shards")]
        words = ", ".join([self._shown_class, *(f"{count} {name}" for count, name in counts if count > 1)])
        rows = [(one.path, one.input_name, one.output_name) for one in self._known_endpoints()]
        return self._html(notebook.table(("endpoint", "takes", "gives"), rows) if rows else "", words)

    @property
    def _shown_class(self) -> str:
        cls = next((one.executor_class for one in self._state.executors.values() if one.executor_class), None)
        return cls.__name__ if cls else "an external Executor" if self.external else str(self.spec.uses)

    def _known_endpoints(self) -> Sequence[EndpointPicture]:
        """Those of a class that is at hand; nothing is imported for it."""
        from jina.export.picture import endpoints_of_class

        cls: Any = self._state.executors[self.name].executor_class if self.name in self._state.executors else None
        if cls is None or not self.plan.workers:
            return ()
        return endpoints_of_class(cls, self.plan.workers[0].executor.requests)

    # --- export -------------------------------------------------------------------------------------------

    def to_kubernetes_yaml(
        self,
        output_base_path: str | os.PathLike[str],
        k8s_namespace: str | None = None,
        *,
        k8s_version: str | None = None,
        form: Literal["files", "kustomize", "helm"] = "files",
    ) -> None:
        """Write its Kubernetes files into a folder: `<name>.yml`, or with shards `<name>-head.yml`, `<name>-0.yml`...

        `uses` has to name an image, `docker://NAME`. `k8s_version` is that of the cluster; unset: the newest that is
        known. The `form` "helm" is a chart of these files, "kustomize" a `kustomization.yaml` above them. Nothing is
        started, and no container engine is asked. Raises `NoContainerizedError` where an Executor is no image,
        `ConfigError` for what a cluster cannot have.
        """
        from jina.export.charts import files_in
        from jina.export.kubernetes import export_of_deployment

        export = export_of_deployment(self.spec, configuration.images(), k8s_namespace, version=k8s_version)
        configuration.write_files(files_in(form, export), output_base_path)

    to_k8s_yaml = to_kubernetes_yaml

    def to_docker_compose_yaml(
        self, output_path: str | os.PathLike[str] | None = None, network_name: str | None = None
    ) -> None:
        """Write a file for `docker compose up`, `docker-compose.yml` unless a path is given.

        A gateway is in front, at the ports of the Deployment. Raises as `to_kubernetes_yaml`.
        """
        from jina.export.compose import file_of_deployment

        text = file_of_deployment(self.spec, configuration.images(), network_name)
        configuration.write_files({"": text}, output_path or "docker-compose.yml")

    # --- life ---------------------------------------------------------------------------------------------

    @property
    def _shares_ports(self) -> bool:
        return self.name != "gateway" and "gateway" in self._state.executors

    @property
    def _ready_seconds(self) -> float | None:
        return self.spec.ready_seconds_asked

    def _recall(self) -> None:
        if self.spec.stateful and not self.spec.raft_peers and not self.external:
            self._changes.recall()

    def _blobs(self) -> dict[str, bytes]:
        return blobs_of(self._state.executors)

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

    def status(self) -> ServiceStatus:
        """What each process does: its state, requests in work, restarts. Print it, or see `to_dict()`."""
        if self.external:
            raise UsageError(f"{self.name!r} is external: this program did not start its processes")
        return super().status()

    def _running_or_raise(self) -> Any:
        return None if self.external else super()._running_or_raise()

    def _reloaded(self) -> dict[str, set[str]]:
        return reloaded([self.spec], self._state.executors)

    def _with_ports(self, spec: DeploymentSpec) -> DeploymentSpec:
        ports = [listener.port for listener in self._listeners][: len(spec.protocols)]
        return spec if spec.ports else spec.model_copy(update={"port": ports})

    def _restart(self, name: str) -> None:
        del name
        self.roll_out()

    # --- changes while it runs ----------------------------------------------------------------------------

    @property
    def _changes(self) -> DeploymentChanges:
        from jina.orchestration.changes import DeploymentChanges

        return DeploymentChanges(self._running_or_raise, self._changing, self._reservations, self._state, self._own_key)

    def _changes_of(self, name: str) -> DeploymentChanges:
        del name
        return self._changes

    @property
    def _autoscales(self) -> bool:
        return self.spec.autoscale is not None

    def scale(self, replicas: int) -> None:
        """Run so many replicas from now on, and return when they serve; requests go on meanwhile.

        New ones are ready before others are told to finish and end. If one does not become ready, its error is raised
        and everything is as before. One that was alone gets a gateway in front when others come. Those
        of a stateful Deployment come and go one by one, see `add_replica`.
        """
        self._changes.scale(replicas)

    def roll_out(self, **options: Any) -> None:
        """Replace the replicas one by one with such that have other options: `uses`, `uses_with`, `env` and the like.

        Without options they are restarted, which takes in changed code. Each new one is ready before the one whose
        place it takes finishes what it has in work and ends. If one does not become ready, its error is raised, and
        those that were replaced are again what they were.
        """
        self._changes.roll_out(options)

    def update(self, inputs: Any = None, *args: Any, **arguments: Any) -> Any:
        """`post` to `/update`; with options of a Deployment, such as `update(uses=...)`, it is `roll_out`."""
        if inputs is None and not args and arguments:
            from jina.orchestration.changes import CHANGEABLE

            if arguments.keys() <= CHANGEABLE:
                return self.roll_out(**arguments)
        return super().update(inputs, *args, **arguments)

    def add_replica(self) -> int:
        """Start one more replica while requests go on, and return its number when it has a vote and serves.

        It has the lowest number that is free, the same in each shard, and gets the state from the others. If it does
        not become ready, its error is raised and everything is as before.
        """
        return self._changes.add_replica()

    def remove_replica(self, replica_id: int | None = None) -> int:
        """End a replica while requests go on, the one with the highest number unless one is named; gives its number.

        It finishes what it has in work and leaves the group; one that leads hands over first. Its folder is renamed to
        `rep-<n>.removed`. With shards, one of each goes. Refused where the others would be no majority that answers.
        """
        return self._changes.remove_replica(replica_id)

    def consensus_status(self) -> list[dict[str, Any]]:
        """What the consensus agent of each replica tells, in the order of shards and replicas.

        `shard` and `replica` say whose it is, `role` and `term`, `leader` and `members` by id, `first` and `last` entry
        of the log, how far it is `committed` and `applied` here, the entry of the newest `snapshot`, its
        `snapshot_bytes` and `snapshot_time`, `log_bytes` on the disk, the agent's `pid`, how many `elections` it saw,
        whether the Executor is `serving`. The leader tells by replica how many entries the other members do not have
        (`lag`; None: silent). `error` alone where an agent does not answer.
        """
        return self._changes.consensus_status()

    def snapshot(self) -> None:
        """Write a snapshot of each replica, which shortens its log; raises where one cannot."""
        self._changes.snapshot()

    # --- in this process ----------------------------------------------------------------------------------

    def asgi(self) -> InProcessApp:
        """The Deployment as an ASGI application, for any ASGI server or test client; nothing is started here.

        The Executor lives in the server's process, constructed when the server starts and closed when it stops. Raises
        `NotSupportedError` where one process is not all that the Deployment is: a `gateway` class, replicas, shards.
        """
        from jina.supervisor.agents import Agents
        from jina.worker.local import InProcessApp

        self._only_one(
            "asgi()",
            "mount it in an application of your own that has the routes: `app.mount('/', deployment.asgi())`",
            "leave out replicas and shards, or start all of it: `with deployment:`",
        )
        plan = self.plan.workers[0]
        Agents.refuse([plan])
        return InProcessApp(plan, factories_of([plan], self._state.executors)[plan.name])

    def _only_one(self, place: str, with_gateway: str, with_several: str) -> None:
        """Raise where it is more than one Executor, with what to do about a gateway class and about several."""
        refuse_containers(self.plan.workers, place)
        if self.plan.gateway is None and len(self.plan.workers) == 1:
            return
        if self.spec.gateway:
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
        workers = self.plan.workers
        return InProcessService(self.plan, factories_of(workers, self._state.executors), self._declared)

    def serve_here(
        self,
        placed: Callable[[WorkerPlan], WorkerPlan] = lambda plan: plan,
        stop: Stop | None = None,
        words: Sequence[str] | None = None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> int:
        """Serve in this very process until SIGTERM, Ctrl+C or `stop`, as containers want it; gives the exit code.

        To be called on the main thread. `placed` gives the worker its place where it is one of several that others
        start. `words` is the command line of `jina` that does the same: with `install_requirements` this process runs
        it again as the Python of the environment for them. `on_ready` is called once it serves. Raises what `start`
        raises.
        """
        from jina.supervisor.foreground import serve_here
        from jina.supervisor.ports import shared

        instead = "`jina deployment` with the same options starts "
        self._only_one("one process", f"{instead}both", f"{instead}its replicas and shards")
        plan = placed(self.plan.workers[0])
        own = self._state.executors[self.name]
        if own.plan.requirements:
            from jina.supervisor.environments import enter

            enter(own.plan.requirements, words, offline=own.plan.offline)

        def ready() -> None:
            announce(self.name, self._listeners, quiet=self.spec.quiet)
            on_ready()

        try:
            return serve_here(shared(plan, self._hold_given([plan])), own.executor_class, own.arguments, ready, stop)
        finally:
            self._end(now=True)

    # --- requests -----------------------------------------------------------------------------------------

    def _client_options(self) -> dict[str, Any]:
        spec = self.spec
        options: dict[str, Any] = {"proxy": spec.proxy, "max_message_size": spec.max_message_size}
        if spec.grpc_channel_options:
            options["grpc_channel_options"] = spec.grpc_channel_options
        if spec.external:
            target = spec.targets[0]
            options |= {name: getattr(spec, name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")}
            options |= {"protocol": target.protocol, "port": target.port, "tls": target.tls}
            return options | {"host": reachable(target.host)}
        listener = self._listeners[0]
        options |= {"protocol": listener.protocol, "port": listener.port, "tls": listener.tls is not None}
        return options | {"host": reachable(listener.host), "api_key": self._own_key.text or None}

    def _declared(self, on: str) -> Any:
        from jina.plan.processes import AFTER, owner

        executors = self._state.executors
        for resolved in filter(None, [executors.get(owner(self.name, AFTER)), executors.get(self.name)]):
            cls = resolved.executor_class
            if cls is None:
                return None
            if (found := declared(cls, on, resolved.plan.requests)) is not None:
                return found
        return None
