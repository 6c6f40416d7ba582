"""A Flow or a Deployment in this very process, without sockets: for tests and notebooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from jina.errors import NotSupportedError, UsageError
from jina.orchestration.calls import AsyncRequestMethods, RequestMethods
from jina.orchestration.lifecycle import Lifecycle

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from jina.client.client import AsyncClient, SyncClient
    from jina.net.service import Service
    from jina.orchestration.calls import Connection
    from jina.orchestration.resolve import Resolved
    from jina.plan.plans import DeploymentPlan, FlowPlan, ListenerPlan, WorkerPlan
    from jina.supervisor.in_process import InProcess, Make


class _InProcess(Lifecycle):
    """Runs a plan on one loop in a thread; what it calls and what it answers is that of processes."""

    kind = "in-process service"

    def __init__(
        self,
        plan: FlowPlan | DeploymentPlan,
        makers: Mapping[str, Make],
        declare: Callable[[str], Any],
    ) -> None:
        super().__init__()
        self._plan = plan
        self._factories = makers
        self._declare = declare
        self._inside: InProcess | None = None

    @property
    def name(self) -> str:
        """That of the Flow or Deployment."""
        return self._plan.name

    @property
    def is_ready(self) -> bool:
        """Whether requests are served now."""
        return self._inside is not None

    def wait_start_success(self) -> None:
        """Nothing is left to wait for."""

    def block(self, stop_event: Any = None) -> NoReturn:
        """Refused: nobody outside could send a request."""
        del stop_event
        raise NotSupportedError(
            "block(): what runs in process serves this process alone",
            help="start it with processes: `with deployment: deployment.block()`",
        )

    def _launch(self) -> None:
        if self._inside is None:
            from jina.supervisor.in_process import InProcess

            inside = InProcess(self._plan, self._factories)
            inside.start()
            self._inside = inside

    def _end(self, *, now: bool = False, within: float | None = None) -> None:
        del now, within
        self._release_client()
        inside, self._inside = self._inside, None
        if inside is not None:
            inside.stop()

    async def __aenter__(self) -> Any:
        await asyncio.to_thread(self._launch)
        return self

    def _new_client(self) -> SyncClient:
        from jina.client.local import InProcessClient

        return InProcessClient(*self._serving())

    def _new_async_client(self) -> AsyncClient:
        from jina.client.local import AsyncInProcessClient

        return AsyncInProcessClient(*self._serving())

    def _serving(self) -> tuple[Service, AbstractEventLoop]:
        inside = self._inside
        if inside is None or inside.service is None:
            raise UsageError(f"{self.name!r} is not started", help="use it as `with flow.in_process() as running:`")
        return inside.service, inside.loop

    def _declared(self, on: str) -> Any:
        return self._declare(on)

    @property
    def _quiet(self) -> bool:
        return True

    @property
    def _waits_on_start(self) -> bool:
        return False

    @property
    def _ready_seconds(self) -> None:
        return None

    @property
    def _listeners(self) -> Sequence[ListenerPlan]:
        return []

    def _plan_to_run(self) -> FlowPlan | DeploymentPlan:
        return self._plan

    def _blobs(self) -> Mapping[str, bytes]:
        return {}

    def _connection(self) -> Connection:
        raise UsageError(f"{self.name!r} runs in this process: there is nothing to connect to")


class InProcessService(_InProcess, RequestMethods):
    """What `in_process()` gives: `post` and its kin, between `start` and `close`."""


class AsyncInProcessService(_InProcess, AsyncRequestMethods):
    """The same with coroutines."""


def factories_of(workers: Sequence[WorkerPlan], resolved: Mapping[str, Resolved]) -> dict[str, Make]:
    """By worker: the function that imports and constructs its Executor."""
    from jina.plan.processes import owner

    return {worker.name: _factory(worker, resolved[owner(worker.deployment, worker.part)]) for worker in workers}


def _factory(plan: WorkerPlan, resolved: Resolved) -> Make:
    def make() -> Any:
        from jina.supervisor.loading import construct, find

        return construct(plan, resolved.executor_class or find(plan), resolved.arguments)

    return make
