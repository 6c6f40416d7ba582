"""A plan run in this very process: its Executors and its gateway on one loop in a thread, without a socket."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from jina.errors import NotSupportedError
from jina.observe import logs
from jina.plan.plans import DeploymentPlan, FlowPlan, GatewayPlan, NodePlan, WorkerPlan
from jina.supervisor.agents import Agents
from jina.supervisor.process import describe, rebuild

if TYPE_CHECKING:
    from jina.executor import Executor
    from jina.gateway.service import GatewayService
    from jina.net.service import LocalService, Upstream
    from jina.worker.service import WorkerService

Make = Callable[[], "Executor"]


class InProcess:
    """Executors and gateway of a plan, served to clients of this process.

    `makers` gives for each worker's name the function that imports and constructs its Executor; it is called on
    the loop's thread. External Deployments are reached over gRPC as always. `async def` handlers share that loop:
    one that blocks, blocks all of them.
    """

    def __init__(self, plan: FlowPlan | DeploymentPlan, makers: Mapping[str, Make]) -> None:
        from jina.runtime.process import LoopThread
        from jina.supervisor.group import processes_of

        Agents.refuse(processes_of(plan))
        self._plan = plan
        self._makers = makers
        self._stack = AsyncExitStack()
        self._services: dict[str, WorkerService] = {}
        self.service: LocalService | None = None
        self._thread = LoopThread(f"in-process {plan.name}")

    @property
    def loop(self) -> AbstractEventLoop:
        """Where everything runs."""
        return self._thread.loop

    def start(self) -> None:
        """Construct all Executors; raises what starting the same plan in processes raises."""
        try:
            self._wait(self._start())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Finish requests within the grace time, call `close()` of each Executor, end the thread."""
        try:
            self._wait(self._stack.aclose())
        finally:
            self._thread.stop()

    def _wait(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._thread.loop).result()

    async def _start(self) -> None:
        deployments = self._plan.deployments if isinstance(self._plan, FlowPlan) else [self._plan]
        for worker in (worker for deployment in deployments for worker in deployment.workers):
            self._services[worker.name] = await self._worker(worker)
        if self._plan.gateway is None:
            (self.service,) = self._services.values()
        else:
            self.service = await self._gateway(self._plan.gateway)

    async def _worker(self, plan: WorkerPlan) -> WorkerService:
        from jina.worker.service import WorkerService, close

        if plan.env:
            raise NotSupportedError(
                f"{plan.name}: env: processes have environments, Executors in one process share it",
                help="set the variables of this process instead (os.environ)",
            )
        try:
            executor = self._makers[plan.name]()
        except Exception as error:  # noqa: BLE001 - whatever user code raises is told as a child's failure is
            failure = rebuild(plan.deployment, describe(error, "init"))
            raise failure from failure.__cause__
        self._stack.push_async_callback(close, executor, logs.get_logger(plan.name))
        loop = self._thread.loop
        service = WorkerService(executor, plan, protocol_loop=loop, user_loop=loop)
        self._stack.push_async_callback(_end, service, plan.grace)
        service.watchdog.start()
        service.state = "ready"
        return service

    async def _gateway(self, plan: GatewayPlan) -> GatewayService:
        from jina.gateway.service import GatewayService

        if plan.custom is not None:
            raise NotSupportedError(
                "a gateway class of one's own needs a process", help="start it with processes: `with flow:`"
            )
        upstreams = {node.name: [self._upstream(node, position, plan) for position in range(len(node.upstreams))]
                for node in plan.graph.nodes}  # fmt: skip
        service = GatewayService(plan, upstreams)
        self._stack.push_async_callback(_end_gateway, service, plan.grace)
        await service.start()
        return service

    def _upstream(self, node: NodePlan, position: int, plan: GatewayPlan) -> Upstream:
        from jina.gateway.links import InProcessUpstream

        wanted = node.upstreams[position]
        if wanted.kind == "link":
            return InProcessUpstream(self._services[wanted.name])
        if wanted.kind != "grpc":
            raise NotSupportedError(
                f"{node.name}: {wanted.kind}:///{wanted.address}: a gateway process follows the replicas behind a name",
                help="start it with processes: `with flow:`, or give host:port",
            )
        from jina.client.grpc import GrpcUpstream

        return GrpcUpstream(wanted, node, plan.max_message_size)


async def _end(service: WorkerService, grace: float) -> None:
    service.state = "draining"
    service.flush()
    await service.dispatcher.quiet(grace)
    await service.close()


async def _end_gateway(service: GatewayService, grace: float) -> None:
    service.state = "draining"
    service.flush()
    await service.quiet(grace)
    await service.close()
