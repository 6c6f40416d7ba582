"""A Flow or a Deployment in this very process, without sockets: for tests and notebooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, Self

from jina.errors import NotSupportedError, UsageError
from jina.orchestration.calls import AsyncRequestMethods, RequestMethods, Requests

if TYPE_CHECKING:
    from jina.orchestration.resolve import Resolved
    from jina.plan.plans import DeploymentPlan, FlowPlan, WorkerPlan
    from jina.supervisor.in_process import InProcess, Make


class _InProcess(Requests):
    """Runs a plan on one loop in a thread; what it calls and what it answers is that of processes."""

    def __init__(
        self, plan: FlowPlan | DeploymentPlan, makers: Mapping[str, Make], declared: Callable[[str], Any]
    ) -> None:
        self._processes = []
        self._plan = plan
        self._makers = makers
        self._declared_by = declared
        self._inside: InProcess | None = None

    @property
    def name(self) -> str:
        """That of the Flow or Deployment."""
        return self._plan.name

    @property
    def is_ready(self) -> bool:
        """Whether requests are served now."""
        return self._inside is not None

    def start(self) -> Self:
        """Construct the Executors and serve; raises what a constructor raises."""
        if self._inside is None:
            from jina.supervisor.in_process import InProcess

            inside = InProcess(self._plan, self._makers)
            inside.start()
            self._inside = inside
        return self

    def wait_start_success(self) -> None:
        """Nothing is left to wait for."""

    async def async_wait_start_success(self) -> None:
        """Nothing is left to wait for."""

    def close(self) -> None:
        """Stop; may be called again, and before the start."""
        self._release_client()
        inside, self._inside = self._inside, None
        if inside is not None:
            inside.stop()

    def block(self, stop_event: Any = None) -> NoReturn:
        """Refused: no other process could send a request."""
        del stop_event
        raise NotSupportedError(
            "block() is not available for a service that runs in process: only this process can call it",
            help="start it with processes: `with deployment: deployment.block()`",
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_client()
        await asyncio.to_thread(self.close)

    def answer_agent(self, lines: BinaryIO, write: Callable[[bytes], None]) -> None:
        """Answer an agent that speaks the Model Context Protocol, a message a line, until its lines end."""
        from jina.apis.mcp_stdio import StdioServer
        from jina.net.limits import DEFAULT_LIMITS, Gate

        inside = self._inside
        if inside is None or inside.service is None:
            raise UsageError(
                f"{self.name!r} is not started", help="use it as `with deployment.in_process() as running:`"
            )
        StdioServer(Gate(inside.service, DEFAULT_LIMITS), inside.loop, write, self.name).run(lines)

    def _new_client(self, *, asyncio: bool) -> Any:
        from jina.client.local import AsyncInProcessClient, InProcessClient

        inside = self._inside
        if inside is None or inside.service is None:
            raise UsageError(f"{self.name!r} is not started", help="use it as `with flow.in_process() as running:`")
        return (AsyncInProcessClient if asyncio else InProcessClient)(inside.service, inside.loop)

    def _declared(self, on: str) -> Any:
        return self._declared_by(on)


class InProcessService(_InProcess, RequestMethods):
    """What `in_process()` gives: `post` and its kin, between `start` and `close`."""


class AsyncInProcessService(_InProcess, AsyncRequestMethods):
    """The same with coroutines."""


def factories_of(workers: Sequence[WorkerPlan], resolved: Mapping[str, Resolved]) -> dict[str, Make]:
    """By worker: the function that imports and constructs its Executor; `NotSupportedError` for requirements."""
    from jina.plan.processes import owner

    refuse_containers(workers, "what runs in this process")
    for worker in workers:
        if worker.executor.requirements:
            from jina.supervisor.environments import refusal

            raise refusal(worker.executor.requirements, f"{worker.name} in this process")
    return {worker.name: _factory(worker, resolved[owner(worker.deployment, worker.part)]) for worker in workers}


def refuse_containers(workers: Sequence[WorkerPlan], place: str) -> None:
    """Raise `NotSupportedError` where an Executor is in an image; `place` says what can have none."""
    for worker in workers:
        if worker.executor.container is not None:
            image = worker.executor.container.image
            raise NotSupportedError(
                f"{worker.deployment}: docker://{image} is an image, and {place} has no container",
                help="start it: `with deployment:`, or `jina deployment` with the same options",
            )


def _factory(plan: WorkerPlan, resolved: Resolved) -> Make:
    def make() -> Any:
        from jina.supervisor.loading import construct, find

        return construct(plan, resolved.executor_class or find(plan), resolved.arguments)

    return make
