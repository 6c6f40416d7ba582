"""One Executor, served."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TextIO, TypeVar, cast

from jina.errors import NotSupportedError, UsageError
from jina.launch.ports import PortReservations
from jina.orchestration import board, configuration
from jina.orchestration.blocking import Signals, StopEvent
from jina.orchestration.connecting import new_client
from jina.orchestration.described import Described
from jina.orchestration.return_types import class_at_hand, declared
from jina.spec import takes_options_from, takes_options_of

if TYPE_CHECKING:
    from jina.client.sync_client import SyncClient
    from jina.executor import Executor
    from jina.launch.running import Running
    from jina.plan.plans import DeploymentPlan
    from jina.runtime.inprocess import InProcessApp
    from jina.spec import DeploymentSpec


def _spec_class() -> type[DeploymentSpec]:
    from jina.spec import DeploymentSpec

    return DeploymentSpec


if TYPE_CHECKING:
    _takes_options = takes_options_of(DeploymentSpec)  # mypy does not look into what `_spec_class` returns
else:
    _takes_options = takes_options_from(_spec_class)


T = TypeVar("T")


class Deployment(Described):
    """One Executor, served on gRPC, HTTP or WebSocket by a process of its own.

        with Deployment(uses=MyExecutor, port=12345) as deployment:
            docs = deployment.post('/index', docs)

    Options that are wrong raise `ConfigError` here, before anything starts; ports that are not given are chosen
    and reserved here, until `close`. Works inside a running event loop too, also as `async with`.
    """

    @_takes_options
    def __init__(self, spec: DeploymentSpec) -> None:
        self._spec = spec
        self._reservations = PortReservations()
        self._processes: list[Running] = []  # none or one; shared with the finalizer
        self._stack = contextlib.ExitStack()
        self._client: SyncClient | None = None
        self._executor_class: type[Executor] | None = None
        self._pickled: tuple[type[Executor] | None, dict[str, Any]] = (None, {})
        self._plan: DeploymentPlan = self._make_plan()
        self._finalizer = weakref.finalize(self, _abandon, self._processes, self._reservations)

    def _make_plan(self) -> DeploymentPlan:
        import msgspec

        from jina.executor.reference import reference_of, split_with
        from jina.plan.deployment import plan_deployment

        spec = self._spec
        executor, by_value = reference_of(
            spec.uses,
            uses_with=spec.uses_with,
            uses_metas=spec.uses_metas,
            uses_requests=spec.uses_requests,
            uses_dynamic_batching=spec.uses_dynamic_batching,
            py_modules=spec.py_modules,
            search_paths=[*spec.extra_search_paths, *filter(None, [spec.folder])],
        )
        plain, other = split_with(executor.with_args)
        self._executor_class = by_value or class_at_hand(executor)
        self._pickled = (by_value, other)
        return plan_deployment(spec, msgspec.structs.replace(executor, with_args=plain), self._reservations)

    @classmethod
    def _of(cls, spec: DeploymentSpec) -> Self:
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
        return cls._of(configuration.read(source, context=context, substitute=substitute, overrides=options))

    @classmethod
    def from_command_line(cls, options: Mapping[str, Any], command: str = "deployment") -> Self:
        """The Deployment that the options of `jina deployment` or `jina executor` describe."""
        return cls._of(configuration.from_command_line(options, f"jina {command}"))

    def save_config(self, filename: str | None = None) -> None:
        """Write the options that differ from their defaults as YAML, to `<name>.yml` unless a name is given."""
        configuration.write(self._spec, filename or f"{self.name}.yml")

    def to_dict(self) -> dict[str, Any]:
        """What `save_config` writes, as `{"jtype": "Deployment", "with": {...}}`."""
        return configuration.as_dict(self._spec)

    def to_kubernetes_yaml(self, output_base_path: str, **options: Any) -> NoReturn:
        """Not available yet."""
        del options
        raise NotSupportedError(f"Deployment.to_kubernetes_yaml({output_base_path!r}) is not available yet")

    to_k8s_yaml = to_kubernetes_yaml

    def to_docker_compose_yaml(self, output_path: str | None = None, **options: Any) -> NoReturn:
        """Not available yet."""
        del output_path, options
        raise NotSupportedError("Deployment.to_docker_compose_yaml is not available yet")

    # --- life ---------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the process and wait until it serves.

        Raises `RuntimeFailToStart` with the exception of the Executor's `__init__`, or `PortAlreadyUsed`. No
        time limit applies while the process lives, unless `timeout_ready` was given.
        """
        self._launch()
        if not self._spec.noblock_on_start:
            self.wait_start_success()
        return self

    def wait_start_success(self) -> None:
        """Wait until the process that `start` started serves; raises what `start` raises."""
        running = self._running_or_raise()
        try:
            with board.progress(self.name, quiet=self._spec.quiet) as tell:
                running.wait_ready(self._ready_seconds, on_wait=tell)
        except BaseException:
            self._end(now=True)
            raise
        board.announce(self.name, self._faces, quiet=self._spec.quiet)

    async def async_wait_start_success(self) -> None:
        """`wait_start_success` without blocking the running loop."""
        import asyncio

        try:
            await asyncio.to_thread(self.wait_start_success)
        except asyncio.CancelledError:
            self._end(now=True)
            raise

    def close(self) -> None:
        """Stop: requests in flight get their grace time, `close()` of the Executor is called, ports are given back.

        May be called again, and before the start.
        """
        try:
            self._stack.close()
        finally:
            self._end(now=False)

    def _launch(self) -> None:
        if self._processes:
            return
        from jina.launch import running

        for face in self._faces:
            if face.share_port:
                self._reservations.hold(face.port)
        executor_class, arguments = self._pickled
        blob = b""
        if executor_class is not None or arguments:
            from jina.launch import pickling

            blob = pickling.dumps(executor_class, arguments)
        self._processes.append(running.start(self._plan, {self.name: blob}))

    def _end(self, *, now: bool) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
        try:
            for running in self._processes:
                running.stop(now=now)
        finally:
            self._processes.clear()
            self._reservations.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self._launch()
        if not self._spec.noblock_on_start:
            await self.async_wait_start_success()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import asyncio

        await asyncio.to_thread(self.close)

    def block(self, stop_event: StopEvent | None = None) -> None:
        """Serve until SIGTERM, Ctrl+C or `stop_event.is_set()`, then close; a second signal ends at once.

        Raises `Unavailable` when the process ends by itself. Signals are handled where this runs in the main
        thread.
        """
        running = self._running_or_raise()
        with Signals(running.kill) as signals:
            running.on_end = signals.wake
            if (down := running.down()) is None:
                signals.wait(stop_event)
                down = running.down()
            running.on_end = lambda: None
            self.close()
        if down is not None:
            raise down

    def join(self) -> None:
        """Wait until the process has ended."""
        for running in list(self._processes):
            running.join()

    def asgi(self) -> InProcessApp:
        """The Deployment as an ASGI application, for any ASGI server or test client; nothing is started here.

        The Executor lives in the server's process, constructed when the server starts and closed when it stops.
        """
        from jina.launch.loading import construct, find
        from jina.runtime.inprocess import InProcessApp

        if len(self._plan.workers) != 1:
            raise UsageError(f"asgi() of {self.name!r}: one Executor can run in this process, not {self.num_pods}")
        plan = self._plan.workers[0]
        executor_class, (_, arguments) = self._executor_class, self._pickled
        return InProcessApp(plan, lambda: construct(plan, executor_class or find(plan), arguments))

    def serve_here(self) -> int:
        """Serve in this very process until SIGTERM or Ctrl+C, as containers want it; gives the exit code.

        To be called on the main thread. Raises what `start` raises.
        """
        from jina.launch.here import serve_here

        plan = self._plan.workers[0]
        executor_class, (_, arguments) = self._executor_class, self._pickled
        try:
            return serve_here(
                plan,
                executor_class,
                arguments,
                lambda: board.announce(self.name, self._faces, quiet=self._spec.quiet),
            )
        finally:
            self._end(now=True)

    # --- requests -----------------------------------------------------------------------------------------

    def post(self, on: str, inputs: Any = None, **arguments: Any) -> Any:
        """Send documents to the endpoint `on` and return the documents that come back.

        See `jina.client.sync_client.SyncClient.post` for the arguments. Without `return_type` the documents come
        as the endpoint declares them, where its class is known here, else schemaless.
        """
        arguments.setdefault("_default_type", self._declared(on))
        return self._calling(lambda: self.client.post(on, inputs, **arguments))

    def index(self, inputs: Any = None, **arguments: Any) -> Any:
        """`post` to `/index`."""
        return self.post("/index", inputs, **arguments)

    def search(self, inputs: Any = None, **arguments: Any) -> Any:
        """`post` to `/search`."""
        return self.post("/search", inputs, **arguments)

    def update(self, inputs: Any = None, **arguments: Any) -> Any:
        """`post` to `/update`."""
        return self.post("/update", inputs, **arguments)

    def delete(self, inputs: Any = None, **arguments: Any) -> Any:
        """`post` to `/delete`."""
        return self.post("/delete", inputs, **arguments)

    async def stream_doc(self, on: str, inputs: Any, **arguments: Any) -> AsyncIterator[Any]:
        """The documents that a generator endpoint yields for one document, as they come."""
        arguments.setdefault("return_type", self._declared(on))
        async with new_client(self._spec, self._faces, asyncio=True) as client:
            async for doc in client.stream_doc(on, inputs, **arguments):
                yield doc

    @property
    def client(self) -> SyncClient:
        """A client of the first protocol and port."""
        client = self._client
        if client is None:
            self._running_or_raise()
            client = self._client = new_client(self._spec, self._faces)
        return client

    def _declared(self, on: str) -> Any:
        if self._executor_class is None:
            return None
        return declared(self._executor_class, on, self._plan.workers[0].executor.requests)

    def _calling(self, call: Callable[[], T]) -> T:
        """The result of a call; a worker that died is named instead of the connection that broke."""
        running = self._processes[0] if self._processes else None
        if running is not None and (down := running.down()):
            raise down
        try:
            return call()
        except ConnectionError as error:
            down = running.down(wait=0.5) if running is not None else None
            if down is not None:
                raise down from error
            raise

    # --- state --------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether requests are served now."""
        return bool(self._processes) and self._processes[0].alive

    @property
    def _ready_seconds(self) -> float | None:
        # The default of Jina 3 (ten minutes) ended downloads of large models; only a limit that was asked for counts.
        return self._spec.ready_seconds if "timeout_ready" in self._spec.model_fields_set else None

    def _running_or_raise(self) -> Running:
        if not self._processes:
            raise UsageError(
                f"Deployment {self.name!r} is not started",
                help="use it as `with Deployment(...) as deployment:` or call start()",
            )
        return self._processes[0]


def _abandon(processes: list[Running], reservations: PortReservations) -> None:
    """What is left to do for a Deployment that nobody closed: when it is collected, and when the program ends."""
    for running in processes:
        running.stop()
    processes.clear()
    reservations.close()
