"""One worker as seen from a gateway, whatever carries the requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from jina.errors import Unavailable
from jina.transport.service import EndpointInfo
from jina.wire.messages import Reply, Request


class HopLost(Unavailable):
    """The worker cannot be reached, or went away before it answered.

    `started` is False only where the request certainly was not begun, so that another replica may have it.
    """

    def __init__(self, message: str = "", *, started: bool = True, help: str = "") -> None:  # noqa: A002 - as its base
        super().__init__(message, help=help)
        self.started = started


class Hop(Protocol):
    """A way to one worker. All methods run on one loop; documents are passed on as the bytes they are.

    The reply comes as JSON where `request.json_reply` asks for it, as a serialised `docarray.DocListProto` else.
    """

    name: str
    """That of the worker, such as `executor/rep-0`."""

    @property
    def up(self) -> bool:
        """False while it is known that no request would arrive."""
        ...

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """The endpoints of the worker, by path; waits until it is ready to serve. Raises `HopLost`."""
        ...

    async def call(self, request: Request) -> Reply:
        """Send one request; raises what the worker raised, `DeadlineExceeded` or `HopLost`.

        Cancelling cancels the work.
        """
        ...

    def stream(self, request: Request) -> AsyncIterator[Reply]:
        """The replies of a generator endpoint as they come; `aclose()` closes the generator."""
        ...

    async def ready(self) -> None:
        """Return when the worker would serve a request; raise a `JinaError` otherwise."""
        ...

    async def metrics(self, *, openmetrics: bool) -> bytes:
        """The metrics of a worker of this machine as text; nothing for one elsewhere, which is scraped there."""
        ...

    def hurry(self) -> None:
        """Tell the worker, where that can be, that requests need not wait for company: the gateway ends."""
        ...

    async def close(self) -> None:
        """Give up the connection; calls in flight fail with `HopLost`."""
        ...
