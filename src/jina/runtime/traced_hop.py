"""A hop whose requests are spans, and which tells the worker that they are the parents of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from jina.observe import traces
from jina.transport.hop import Hop
from jina.transport.service import EndpointInfo
from jina.wire.messages import Reply, Request


def traced(hop: Hop, deployment: str) -> Hop:
    """The hop itself where no OpenTelemetry SDK is loaded."""
    return TracedHop(hop, deployment) if traces.active() else hop


class TracedHop:
    """See `Hop`: does what the other one does."""

    def __init__(self, hop: Hop, deployment: str) -> None:
        self.name = hop.name
        self._hop = hop
        self._deployment = deployment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hop, name)

    @property
    def up(self) -> bool:
        """See `Hop`."""
        return self._hop.up

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """See `Hop`."""
        return await self._hop.describe()

    async def call(self, request: Request) -> Reply:
        """See `Hop`."""
        span, request = self._begun(request)
        failure: BaseException | None = None
        try:
            return await self._hop.call(request)
        except BaseException as error:
            failure = error
            raise
        finally:
            span.end(failure)

    async def stream(self, request: Request) -> AsyncIterator[Reply]:
        """See `Hop`."""
        span, request = self._begun(request)
        failure: BaseException | None = None
        replies = self._hop.stream(request)
        try:
            async for reply in replies:
                yield reply
        except Exception as error:
            failure = error
            raise
        finally:
            span.end(failure)
            aclose = getattr(replies, "aclose", None)
            if aclose is not None:
                await aclose()

    async def ready(self) -> None:
        """See `Hop`."""
        await self._hop.ready()

    async def metrics(self, *, openmetrics: bool) -> bytes:
        """See `Hop`."""
        return await self._hop.metrics(openmetrics=openmetrics)

    def hurry(self) -> None:
        """See `Hop`."""
        self._hop.hurry()

    async def close(self) -> None:
        """See `Hop`."""
        await self._hop.close()

    def _begun(self, request: Request) -> tuple[traces.RequestSpan, Request]:
        attributes = {
            "jina.deployment": self._deployment,
            "jina.replica": self.name,
            "jina.request_id": request.request_id,
        }
        span = traces.begin(f"{self._deployment} {request.endpoint}", request.headers, attributes, sending=True)
        assert span is not None
        return span, replace(request, headers=span.headers(request.headers))
