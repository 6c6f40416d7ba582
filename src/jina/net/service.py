"""What answers requests, as one protocol; a worker as a gateway sees it; readiness."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from jina.codec.messages import Reply, Request, Route
from jina.errors import Unavailable

_FLAT = frozenset({"string", "integer", "number", "boolean"})


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """What a listener must know of an endpoint to document and route it.

    `input_schema`, `output_schema` and `parameters_schema` are JSON Schemas (draft 2020-12, references under
    `$defs`); the names are those of the classes.
    """

    path: str
    input_name: str
    input_schema: dict[str, Any]
    output_name: str
    output_schema: dict[str, Any]
    parameters_name: str | None = None
    parameters_schema: dict[str, Any] | None = None
    is_generator: bool = False
    is_single: bool = False
    is_write: bool = False
    is_safe: bool = False
    """Whether a request may run twice."""
    is_repeatable: bool = False
    """Whether a request may come again: that of a stateful Executor runs once however often it comes."""
    description: str = ""
    """The docstring of the method."""
    about: str = ""
    """The docstring of the Executor's class."""
    flat_fields: Mapping[str, str] = field(default_factory=dict)
    """Name -> JSON type of the input's scalar fields, for documents given as query parameters."""
    is_passthrough: bool = False
    """Whether the Executor has no endpoint at all, so that documents come back as they are."""


def flat_fields(schema: dict[str, Any]) -> dict[str, str]:
    """Name -> JSON type of the fields that fit into a query parameter; an optional one counts by its other type."""
    flat: dict[str, str] = {}
    for name, result in schema.get("properties", {}).items():
        if not isinstance(result, dict):
            continue
        kinds = [result.get("type"), *(one.get("type") for one in result.get("anyOf", ()))]
        named = [kind for kind in kinds if kind is not None and kind != "null"]
        if len(named) == 1 and named[0] in _FLAT:
            flat[name] = named[0]
    return flat


class Service(Protocol):
    """Something that answers requests. All methods are called on the protocol loop and never block it."""

    name: str
    """Shown in routes and logs, such as `executor/rep-0`."""

    forwards: bool
    """True for a gateway: listeners then give documents as the bytes that came, and take them so."""

    @property
    def endpoints(self) -> Mapping[str, EndpointInfo]:
        """By path; fixed once the service is ready."""
        ...

    @property
    def ready(self) -> bool:
        """True when requests will be served."""
        ...

    @property
    def started(self) -> bool:
        """True once start-up has ended."""
        ...

    async def call(self, request: Request) -> Reply:
        """Answer one request; raises a `JinaError`. Cancelling the task cancels the work."""
        ...

    def stream(self, request: Request) -> AsyncIterator[Reply]:
        """Answer with a stream; closing the iterator closes the generator of the Executor.

        Raises `BadRequest` when the endpoint is not a generator.
        """
        ...

    async def dry_run(self) -> list[Route]:
        """Show that a request would be served; raises a `JinaError` otherwise.

        Gives whom it asked, and how long they took: the Executors behind a gateway, none of a worker.
        """
        ...

    @property
    def checks(self) -> Mapping[str, bool]:
        """What `ready` depends on, by name, for people who ask why."""
        ...

    def freed(self) -> None:
        """Much memory that waited for clients was let go of."""
        ...

    async def metrics(self, *, openmetrics: bool = True) -> bytes:
        """The metrics of this process, and of workers behind it, as text of one of two formats; see
        `jina.observe.metrics`.
        """
        ...


class UpstreamUnavailable(Unavailable):
    """The worker cannot be reached, or went away before it answered.

    `started` is False only where the request certainly was not begun, so that another replica may have it.
    """

    def __init__(self, message: str = "", *, started: bool = True, help: str = "") -> None:  # noqa: A002 - as its base
        super().__init__(message, help=help)
        self.started = started


class Upstream(Protocol):
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
        """The endpoints of the worker, by path; waits until it is ready to serve. Raises `UpstreamUnavailable`."""
        ...

    async def call(self, request: Request) -> Reply:
        """Send one request; raises what the worker raised, `DeadlineExceeded` or `UpstreamUnavailable`.

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

    def flush_batches(self) -> None:
        """Tell the worker, where that can be, that requests need not wait for a batch to fill: the gateway ends."""
        ...

    async def close(self) -> None:
        """Give up the connection; calls in flight fail with `UpstreamUnavailable`."""
        ...


class Gate:
    """The readiness of a service, which turns false for good once its server begins to stop.

    One object is shared by all listeners of a server, so that probes on any protocol agree.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.draining = False

    @property
    def ready(self) -> bool:
        """True while new requests are welcome."""
        return self.service.ready and not self.draining
