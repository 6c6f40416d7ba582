"""Ports that the user gave, held like those that jina chose: a process and its successor can serve them both."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar, overload

import msgspec

from jina.plan.plans import ConsensusPlan, DeploymentPlan, FacePlan, FlowPlan, GatewayPlan, ProcessPlan, WorkerPlan

P = TypeVar("P", bound=ProcessPlan)


def shared(plan: P, held: Collection[int]) -> P:
    """The plan of a process whose server binds beside whoever holds its ports."""
    if isinstance(plan, GatewayPlan) and plan.custom is not None:
        return plan  # a server of the user's own opens them
    changed = msgspec.structs.replace(plan, faces=[_shared(face, held) for face in plan.faces])
    if isinstance(changed, WorkerPlan) and changed.probes is not None:
        changed = msgspec.structs.replace(changed, probes=_shared(changed.probes, held))
    if isinstance(changed, WorkerPlan) and changed.consensus is not None and port_of_peer(changed.consensus) in held:
        consensus = msgspec.structs.replace(changed.consensus, share_port=True)
        changed = msgspec.structs.replace(changed, consensus=consensus)
    return changed


def port_of_peer(plan: ConsensusPlan) -> int:
    """Where the agent listens to others."""
    return int((plan.listen or plan.peers[plan.replica]).rpartition(":")[2])


def given_peers(plans: Collection[ProcessPlan]) -> list[ConsensusPlan]:
    """The agents whose ports the user gave."""
    found = [plan.consensus for plan in plans if isinstance(plan, WorkerPlan) and plan.consensus is not None]
    return [consensus for consensus in found if not consensus.share_port]


@overload
def all_shared(plan: DeploymentPlan, held: Collection[int]) -> DeploymentPlan: ...
@overload
def all_shared(plan: FlowPlan, held: Collection[int]) -> FlowPlan: ...
@overload
def all_shared(plan: DeploymentPlan | FlowPlan, held: Collection[int]) -> DeploymentPlan | FlowPlan: ...
def all_shared(plan: DeploymentPlan | FlowPlan, held: Collection[int]) -> DeploymentPlan | FlowPlan:
    """The same for all processes of a plan."""
    if isinstance(plan, DeploymentPlan):
        workers = [shared(worker, held) for worker in plan.workers]
        gateway = None if plan.gateway is None else shared(plan.gateway, held)
        return msgspec.structs.replace(plan, workers=workers, gateway=gateway)
    deployments = [all_shared(deployment, held) for deployment in plan.deployments]
    return msgspec.structs.replace(plan, deployments=deployments, gateway=shared(plan.gateway, held))


def given_faces(plans: Collection[ProcessPlan]) -> list[FacePlan]:
    """The faces of processes whose ports can be held though the user gave them."""
    served = [plan for plan in plans if not (isinstance(plan, GatewayPlan) and plan.custom is not None)]
    return [face for plan in served for face in faces_of(plan) if not face.share_port]


def faces_of_users(plans: Collection[ProcessPlan]) -> list[FacePlan]:
    """Those whose ports the user gave, and a server of the user's own opens."""
    custom = [plan for plan in plans if isinstance(plan, GatewayPlan) and plan.custom is not None]
    return [face for plan in custom for face in plan.faces if not face.share_port]


def faces_of(plan: ProcessPlan) -> list[FacePlan]:
    """Those whose ports a process and its successor serve at the same time."""
    probes = plan.probes if isinstance(plan, WorkerPlan) else None
    return [*plan.faces, *([] if probes is None else [probes])]


def _shared(face: FacePlan, held: Collection[int]) -> FacePlan:
    return msgspec.structs.replace(face, share_port=True) if face.port in held else face
