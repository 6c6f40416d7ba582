"""The gRPC calls by which KEDA asks a gateway how many replicas its steps should have. Loaded when the first comes."""

from __future__ import annotations

import asyncio
from typing import Any

from jina.codec import pb
from jina.net.grpc_wire import Code
from jina.net.limits import Gate
from jina.net.service import Scaling
from jina.server.grpc_probes import parsed, serialised
from jina.server.grpc_protocol import Aborted, Call, Method

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

    def methods(self) -> dict[str, Method]:
        """By full method name."""
        return {
            f"{SERVICE}IsActive": Method(self.is_active),
            f"{SERVICE}StreamIsActive": Method(self.stream_is_active, streams=True),
            f"{SERVICE}GetMetricSpec": Method(self.get_metric_spec),
            f"{SERVICE}GetMetrics": Method(self.get_metrics),
        }

    async def is_active(self, data: bytes, _call: Call) -> bytes:
        """Whether the step should have any replica."""
        return serialised(_ACTIVE(result=self._wanted(self._step(data)) > 0))

    async def stream_is_active(self, call: Call) -> None:
        """The same now and, at once, at each change; ends when the server stops."""
        step = self._step(await call.read() or b"")
        changed = asyncio.Event()
        forget = self._scaling.listen(changed.set)
        try:
            last = None
            while not self._gate.draining:
                changed.clear()
                active = self._wanted(step) > 0
                if active != last:
                    await call.write(serialised(_ACTIVE(result=active)))
                    last = active
                try:
                    async with asyncio.timeout(_LOOK):
                        await changed.wait()
                except TimeoutError:
                    continue
        finally:
            forget()

    async def get_metric_spec(self, data: bytes, _call: Call) -> bytes:
        """One metric, of which each replica should have 1."""
        step = self._step(data)
        return serialised(_SPEC(metricSpecs=[{"metricName": metric_of(step), "targetSize": 1, "targetSizeFloat": 1.0}]))

    async def get_metrics(self, data: bytes, _call: Call) -> bytes:
        """The number of replicas that the step should have."""
        request = parsed(_REQUEST, data)
        step = self._named(request.scaledObjectRef)
        wanted = self._wanted(step)
        value = {"metricName": request.metricName or metric_of(step), "metricValue": wanted}
        return serialised(_METRICS(metricValues=[{**value, "metricValueFloat": float(wanted)}]))

    def _wanted(self, step: str) -> int:
        return self._scaling.wanted.get(step, 1)

    def _step(self, data: bytes) -> str:
        return self._named(parsed(_REFERENCE, data))

    def _named(self, reference: Any) -> str:
        scaled, name = self._scaling.scaled, reference.scalerMetadata.get("step", "")
        if not name and len(scaled) == 1:
            return scaled[0]
        if name not in scaled:
            known = f"steps with it: {', '.join(scaled)}" if scaled else "no step has it"
            said = f"metadata.step of the ScaledObject is {name!r}" if name else "metadata.step is missing"
            raise Aborted(
                Code.FAILED_PRECONDITION,
                f"{said}, and a step needs autoscale to be scaled by KEDA (deployments_autoscale); {known}",
            )
        return str(name)


def metric_of(step: str) -> str:
    """The name of the metric of a step."""
    return f"jina-replicas-{step}"
