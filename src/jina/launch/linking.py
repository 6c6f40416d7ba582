"""Local links: a pair of connected sockets for each hop of a gateway, one end for either process."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from jina.errors import InternalError
from jina.launch.child_process import ChildProcess
from jina.plan.plans import GatewayPlan, WorkerPlan


class Linking:
    """Gives the processes of one service their ends as they start; belongs to the thread that starts them.

    The ends travel over the control sockets, under the worker's name, so that a process that is started anew gets
    new ones, and so does whoever is linked to it.
    """

    def __init__(self, processes: Sequence[ChildProcess]) -> None:
        workers = {process.plan.name: process for process in processes if isinstance(process.plan, WorkerPlan)}
        self._links: list[tuple[ChildProcess, ChildProcess]] = []
        for gateway in processes:
            for name in _linked(gateway):
                if name not in workers:
                    raise InternalError(f"{gateway.name} is to be linked to {name}, which is not started here")
                self._links.append((gateway, workers[name]))

    def started(self, process: ChildProcess) -> None:
        """Link `process` to those that run already."""
        for gateway, worker in self._links:
            if process in {gateway, worker} and gateway.running and worker.running:
                ends = socket.socketpair()
                with ends[0], ends[1]:
                    gateway.send_link(worker.plan.name, ends[0])
                    worker.send_link(worker.plan.name, ends[1])


def _linked(process: ChildProcess) -> list[str]:
    if not isinstance(process.plan, GatewayPlan):
        return []
    return [hop.name for node in process.plan.graph.nodes for hop in node.hops if hop.kind == "link"]
