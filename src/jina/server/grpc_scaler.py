"""The gRPC calls by which KEDA asks a gateway how many replicas its steps should have. Loaded when the first comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from jina.codec import pb
from jina.net.limits import Gate
from jina.net.service import Scaling
from jina.server.grpc_probes import parsed

Context = grpc.aio.ServicerContext[Any, Any]
untyped: Any = grpc  # grpcio has annotations here and there only
SERVICE = "/externalscaler.ExternalScaler/"
"""What begins the names of its methods."""
_LOOK = 0.1
"""Seconds between two looks whether the server stops."""
_REFERENCE = pb.message_class("externalscaler.ScaledObjectRef")
_REQUEST = pb.message_class("externalscaler.GetMetricsRequest")
_ACTIVE = pb.message_class("externalscaler.IsActiveResponse")
_SPEC = pb.message_class("externalscaler.GetMetricSpecResponse")
_METRICS = pb.message_class("externalscaler.GetMetricsResponse")


class ExternalScaler:
    """`externalscaler.ExternalScaler`: the metric of a step is the number of replicas that it should have.

    `step` in the metadata of the ScaledObject names the step; where only one is scaled it may be left out.
    """

    def __init__(self, gate: Gate, scaling: Scaling) -> None:
        self._gate = gate
        self._scaling = scaling

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """By full method name."""
        unary = untyped.unary_unary_rpc_method_handler
        return {
            f"{SERVICE}IsActive": unary(self.is_active, response_serializer=_ACTIVE.SerializeToString),
            f"{SERVICE}StreamIsActive": untyped.unary_stream_rpc_method_handler(
                self.stream_is_active, response_serializer=_ACTIVE.SerializeToString
            ),
            f"{SERVICE}GetMetricSpec": unary(self.get_metric_spec, response_serializer=_SPEC.SerializeToString),
            f"{SERVICE}GetMetrics": unary(self.get_metrics, response_serializer=_METRICS.SerializeToString),
        }

    async def is_active(self, data: bytes, context: Context) -> Any:
        """Whether the step should have any replica."""
        return _ACTIVE(result=self._wanted(await self._step(data, context)) > 0)

    async def stream_is_active(self, data: bytes, context: Context) -> AsyncIterator[Any]:
        """The same now and, at once, at each change; ends when the server stops."""
        step = await self._step(data, context)
        changed = asyncio.Event()
        forget = self._scaling.listen(changed.set)
        try:
            last = None
            while not self._gate.draining:
                changed.clear()
                active = self._wanted(step) > 0
                if active != last:
                    yield _ACTIVE(result=active)
                    last = active
                try:
                    async with asyncio.timeout(_LOOK):
                        await changed.wait()
                except TimeoutError:
                    continue
        finally:
            forget()

    async def get_metric_spec(self, data: bytes, context: Context) -> Any:
        """One metric, of which each replica should have 1."""
        step = await self._step(data, context)
        return _SPEC(metricSpecs=[{"metricName": metric_of(step), "targetSize": 1, "targetSizeFloat": 1.0}])

    async def get_metrics(self, data: bytes, context: Context) -> Any:
        """The number of replicas that the step should have."""
        request = await parsed(_REQUEST, data, context)
        step = await self._named(request.scaledObjectRef, context)
        wanted = self._wanted(step)
        name = request.metricName or metric_of(step)
        return _METRICS(metricValues=[{"metricName": name, "metricValue": wanted, "metricValueFloat": float(wanted)}])

    def _wanted(self, step: str) -> int:
        return self._scaling.wanted.get(step, 1)

    async def _step(self, data: bytes, context: Context) -> str:
        return await self._named(await parsed(_REFERENCE, data, context), context)

    async def _named(self, reference: Any, context: Context) -> str:
        scaled, name = self._scaling.scaled, reference.scalerMetadata.get("step", "")
        if not name and len(scaled) == 1:
            return scaled[0]
        if name not in scaled:
            known = f"steps with it: {', '.join(scaled)}" if scaled else "no step has it"
            said = f"metadata.step of the ScaledObject is {name!r}" if name else "metadata.step is missing"
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"{said}, and a step needs autoscale to be scaled by KEDA (deployments_autoscale); {known}",
            )
        return str(name)


def metric_of(step: str) -> str:
    """The name of the metric of a step."""
    return f"jina-replicas-{step}"
