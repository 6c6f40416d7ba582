"""The second port of a worker, for metrics and probes; on a thread of its own, so that no handler can hold it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jina.plan.plans import FacePlan
from jina.runtime.loops import LoopThread
from jina.transport.service import Service

if TYPE_CHECKING:
    from jina.transport.server import Server


class MonitoringPort:
    """Does nothing without a plan."""

    def __init__(self, plan: FacePlan | None) -> None:
        self._plan = plan
        self._thread: LoopThread | None = None
        self._server: Server | None = None

    async def start(self, service: Service) -> None:
        """Open the port; raises `PortAlreadyUsed`."""
        if self._plan is None:
            return
        from jina.transport.monitoring import monitoring_server

        self._thread = LoopThread("monitoring")
        self._server = monitoring_server(self._plan, service)
        await self._thread.run(self._server.start())

    async def stop(self) -> None:
        """Close it."""
        thread, self._thread = self._thread, None
        if thread is not None and self._server is not None:
            await thread.run(self._server.stop(0))
            thread.stop()
