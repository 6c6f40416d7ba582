"""The plans of single processes: workers and gateways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jina.plan import pieces
from jina.plan.plans import ExecutorPlan, FacePlan, GatewayPlan, GraphPlan, WorkerPlan

if TYPE_CHECKING:
    from jina.spec.deployment import DeploymentSpec
    from jina.spec.gateway import GatewaySpec


def worker(spec: DeploymentSpec, executor: ExecutorPlan, faces: list[FacePlan], replica: int = 0) -> WorkerPlan:
    """One replica of a Deployment, with the faces that it serves itself."""
    return WorkerPlan(
        name=f"{spec.name}/rep-{replica}",
        deployment=spec.name,
        executor=executor,
        faces=faces,
        shards=spec.shards,
        replica_id=replica,
        replicas=spec.replicas,
        workspace=spec.workspace,
        http=pieces.http(spec),
        grpc_server_options=dict(spec.grpc_server_options or {}),
        max_message_size=spec.max_message_size,
        allow_concurrent=spec.allow_concurrent,
        no_reduce=spec.no_reduce,
        exit_on_exceptions=list(spec.exit_on_exceptions),
        output_array_type=spec.output_array_type,
        timeout_ready=spec.ready_seconds,
        grace=spec.grace_seconds,
        restart=pieces.restart(spec),
        watch=spec.reload,
        log=pieces.log(spec),
        env=pieces.env(spec),
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
        http=pieces.http(spec, spec),
        grpc_server_options=dict(spec.grpc_server_options or {}),
        max_message_size=spec.max_message_size,
        timeout_ready=spec.ready_seconds,
        grace=spec.grace_seconds,
        restart=pieces.restart(spec),
        log=pieces.log(spec),
        env=pieces.env(spec),
    )
