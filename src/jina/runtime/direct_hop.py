"""A worker in the same process, as a gateway sees it: no socket between the two."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from jina.transport.service import EndpointInfo, Service
from jina.wire.messages import Payload, Reply, Request
from jina.wire.payloads import BytesPayload, JsonPayload, ProtoPayload

_PLAIN = (BytesPayload, ProtoPayload)
_ISOLATED = (*_PLAIN, JsonPayload)


class DirectHop:
    """A `Hop` to a service on the same loop.

    Documents cross as bytes, as between processes: no two Executors ever hold the same object.
    """

    def __init__(self, service: Service) -> None:
        self.name = service.name
        self._service = service

    @property
    def up(self) -> bool:
        """See `Hop`."""
        return self._service.ready

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """See `Hop`."""
        return self._service.endpoints

    async def call(self, request: Request) -> Reply:
        """See `Hop`."""
        return await self._service.call(_isolated(request))

    def stream(self, request: Request) -> AsyncIterator[Reply]:
        """See `Hop`."""
        return self._service.stream(_isolated(request))

    async def ready(self) -> None:
        """See `Hop`."""
        await self._service.dry_run()

    async def metrics(self, *, openmetrics: bool) -> bytes:
        """See `Hop`."""
        return await self._service.metrics(openmetrics=openmetrics)

    def hurry(self) -> None:
        """See `Hop`."""
        if (hurry := getattr(self._service, "hurry", None)) is not None:
            hurry(on=True)

    async def close(self) -> None:
        """Nothing is held; the service is stopped by who made it."""


def _isolated(request: Request) -> Request:
    branches = request.branches
    if branches is None and isinstance(request.payload, _PLAIN):
        return request
    if branches is not None:
        branches = [(name, _as_bytes(payload)) for name, payload in branches]
    return replace(request, payload=_as_bytes(request.payload), branches=branches)


def _as_bytes(payload: Payload) -> Payload:
    if isinstance(payload, JsonPayload):
        return payload.again()  # reading it leaves traces in it, and other threads may do so now
    return payload if isinstance(payload, _ISOLATED) else BytesPayload(payload.to_bytes())
