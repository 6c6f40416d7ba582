"""The plans of single processes: workers and gateways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jina.plan import pieces
from jina.plan.copies import Copy, copies, owner, replicas
from jina.plan.gpus import VARIABLE, Placement
from jina.plan.plans import ExecutorPlan, FacePlan, GatewayPlan, GraphPlan, WorkerPlan
from jina.plan.telemetry import telemetry

if TYPE_CHECKING:
    from jina.spec.deployment import DeploymentSpec
    from jina.spec.gateway import GatewaySpec


def workers(
    spec: DeploymentSpec,
    executors: Mapping[str, ExecutorPlan],
    placement: Placement,
    place: str,
    faces: Sequence[list[FacePlan]] = (),
) -> list[WorkerPlan]:
    """All workers of a Deployment; `faces` are those that the first ones serve themselves.

    `executors` says how a worker finds its class: by the name of the Deployment, and by `copies.owner` for those
    around its shards, which get no GPU where `placement` deals them out. `place` names the Deployment in errors.
    """
    all_copies = list(copies(spec))
    inside = sum(not copy.part for copy in all_copies)
    served = [*faces, *([] for _ in range(len(all_copies) - len(faces)))]
    gpus = placement.environments(spec, inside, place)
    gpus += [{VARIABLE: ""} if gpus[0] else {}] * (len(all_copies) - inside)
    return [
        worker(spec, executors[owner(spec.name, copy.part)], copy, own, env)
        for copy, own, env in zip(all_copies, served, gpus, strict=True)
    ]


def worker(
    spec: DeploymentSpec, executor: ExecutorPlan, copy: Copy, faces: list[FacePlan], env: Mapping[str, str]
) -> WorkerPlan:
    """One worker of a Deployment, with the faces that it serves itself and variables of its own."""
    return WorkerPlan(
        name=copy.name,
        deployment=spec.name,
        part=copy.part,
        executor=executor,
        faces=faces,
        shard_id=copy.shard,
        shards=1 if copy.part else spec.shards,
        replica_id=copy.replica,
        replicas=1 if copy.part else replicas(spec),
        workspace=spec.workspace,
        http=pieces.http(spec),
        grpc_server_options=dict(spec.grpc_server_options or {}),
        max_message_size=spec.max_message_size,
        max_documents=spec.max_documents,
        max_depth=spec.max_depth,
        max_parameters=spec.max_parameters,
        max_unread=spec.max_unread,
        max_unread_total=spec.max_unread_total,
        timeout_write=spec.write_seconds,
        max_inflight=spec.max_inflight,
        max_queue=spec.max_queue,
        access=pieces.access(spec),
        allow_concurrent=spec.allow_concurrent,
        concurrency=pieces.concurrency(spec),
        # What merges the replies of the shards gets them side by side.
        no_reduce=spec.no_reduce or copy.part == "uses_after",
        exit_on_exceptions=list(spec.exit_on_exceptions),
        output_array_type=spec.output_array_type,
        timeout_ready=spec.ready_seconds,
        grace=spec.grace_seconds,
        restart=pieces.restart(spec),
        watch=spec.reload,
        log=pieces.log(spec),
        telemetry=telemetry(spec),
        env={**pieces.env(spec), **env},
    )


def gateway(
    spec: GatewaySpec, faces: list[FacePlan], graph: GraphPlan, custom: ExecutorPlan | None = None
) -> GatewayPlan:
    """The gateway in front of `graph`; `custom` says how it finds a class of the user's own."""
    return GatewayPlan(
        name=spec.name,
        faces=faces,
        graph=graph,
        custom=custom,
        prefetch=spec.prefetch,
        workspace=spec.workspace,
        http=pieces.http(spec),
        grpc_server_options=dict(spec.grpc_server_options or {}),
        max_message_size=spec.max_message_size,
        max_documents=spec.max_documents,
        max_depth=spec.max_depth,
        max_parameters=spec.max_parameters,
        max_unread=spec.max_unread,
        max_unread_total=spec.max_unread_total,
        timeout_write=spec.write_seconds,
        max_inflight=spec.max_inflight,
        access=pieces.access(spec),
        timeout_ready=spec.ready_seconds,
        grace=spec.grace_seconds,
        restart=pieces.restart(spec),
        log=pieces.log(spec),
        telemetry=telemetry(spec),
        env=pieces.env(spec),
    )
