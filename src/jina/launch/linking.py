"""Local links: a pair of connected sockets for each hop of a gateway, one end for either process."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import msgspec

from jina.errors import InternalError
from jina.launch.child_process import ChildProcess
from jina.launch.places import Place
from jina.plan.plans import ChildPlan, GatewayPlan, HopPlan, NodePlan, WorkerPlan


class Linking:
    """Gives the processes of one service their ends as they start; belongs to the thread that starts them.

    The ends travel over the control sockets, under the worker's name, so that a process that is started anew gets
    new ones, and so does whoever is linked to it.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        workers = {place.name for place in places if isinstance(place.plan, WorkerPlan)}
        for place in places:
            for name in _linked(place.plan):
                if name not in workers:
                    raise InternalError(f"{place.process.name} is to be linked to {name}, which is not started here")

    def started(self, process: ChildProcess) -> None:
        """Link `process` to those that run already."""
        for other in [other for place in self._places for other in place.processes]:
            gateway, worker = (process, other) if process.is_gateway else (other, process)
            if gateway.is_gateway and not worker.is_gateway and gateway.running and worker.running:
                self._link(gateway, worker)

    def in_use(self, worker: ChildProcess) -> bool:
        """Whether each gateway that runs sends requests to the worker, which is ready."""
        name = worker.plan.name
        gateways = [place.process for place in self._places if place.process.is_gateway and place.process.running]
        return all(name in gateway.linked for gateway in gateways if _reaches(gateway.plan, worker.plan))

    def left(self, worker: ChildProcess) -> None:
        """Tell the gateways that the worker is to get no more requests."""
        for place in self._places:
            if place.process.is_gateway and place.process.running:
                place.process.linked.discard(worker.plan.name)
                place.process.send_word(unlink=worker.plan.name)

    def given_up(self, worker: ChildProcess) -> None:
        """Tell gateways that still wait for the worker that it does not come.

        Those that reached it keep its place, and answer with the cause of its end.
        """
        for place in self._places:
            gateway = place.process
            if gateway.is_gateway and gateway.running and worker.plan.name not in gateway.linked:
                gateway.send_word(unlink=worker.plan.name)

    def current(self, plan: ChildPlan) -> ChildPlan:
        """The plan of a process that is started anew: a gateway then reaches the workers that there are now."""
        if not isinstance(plan, GatewayPlan):
            return plan
        nodes = [self._with_workers(node) for node in plan.graph.nodes]
        return msgspec.structs.replace(plan, graph=msgspec.structs.replace(plan.graph, nodes=nodes))

    def _with_workers(self, node: NodePlan) -> NodePlan:
        known = {hop.name: hop for hop in node.hops if hop.kind == "link"}
        if not known:
            return node
        plans = [place.plan for place in self._places if place.owner == node.name and not place.restarts.given_up]
        hops = [known.get(plan.name) or _hop(node, plan) for plan in plans if isinstance(plan, WorkerPlan)]
        return msgspec.structs.replace(node, hops=hops or list(known.values()))

    def _link(self, gateway: ChildProcess, worker: ChildProcess) -> None:
        name = worker.plan.name
        if not _reaches(gateway.plan, worker.plan):
            return
        gateway.linked.discard(name)
        ends = socket.socketpair()
        with ends[0], ends[1]:
            gateway.send_link(name, ends[0])
            worker.send_link(name, ends[1])


def _hop(node: NodePlan, worker: WorkerPlan) -> HopPlan:
    return msgspec.structs.replace(node.hops[0], name=worker.name, shard=worker.shard_id, part=worker.part)


def _reaches(gateway: ChildPlan, worker: ChildPlan) -> bool:
    """Whether the gateway has a step whose requests go to the worker by a link."""
    if not isinstance(gateway, GatewayPlan) or not isinstance(worker, WorkerPlan):
        return False
    nodes = [node for node in gateway.graph.nodes if node.name == worker.deployment]
    return any(hop.kind == "link" for node in nodes for hop in node.hops)


def _linked(plan: ChildPlan) -> list[str]:
    if not isinstance(plan, GatewayPlan):
        return []
    return [hop.name for node in plan.graph.nodes for hop in node.hops if hop.kind == "link"]
