"""What answers requests, as one protocol, and what servers and gateways need of it beyond that."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from jina.codec.messages import Reply, Request, Route
from jina.errors import Unavailable

_FLAT = frozenset({"string", "integer", "number", "boolean"})


class EndpointInfo(msgspec.Struct, frozen=True):
    """Description of an endpoint: what a listener needs to route and document it.

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
    methods: tuple[str, ...] = ()
    """The HTTP methods that serve it, in capitals; none where it does not say."""
    is_repeatable: bool = False
    """Whether a request may come again: that of a stateful Executor runs once however often it comes."""
    description: str = ""
    """The docstring of the method."""
    about: str = ""
    """The docstring of the Executor's class."""
    executor: str = ""
    """The name of that class."""
    flat_fields: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Name -> JSON type of the input's scalar fields, for documents given as query parameters."""
    is_passthrough: bool = False
    """Whether the Executor has no endpoint at all, so that documents come back as they are."""
    answers: Literal["", "each", "one", "many"] = ""
    """What an endpoint of plain types gives: an answer for each input, one for all, many for one; else empty."""
    input_is_value: bool = False
    """Whether an input is no object: it is the field `value` of `input_schema` then."""
    output_is_value: bool = False
    """Whether an answer is no object, likewise."""
    offer: Mapping[str, Any] | None = None
    """What agents are told of a resource or prompt, which is no endpoint for others; None for endpoints."""


def endpoints_for_people(endpoints: Mapping[str, EndpointInfo]) -> dict[str, EndpointInfo]:
    """Those without what agents alone use."""
    return {path: info for path, info in endpoints.items() if info.offer is None}


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
    """Something that answers requests: an Executor, a graph, replicas, shards, or a connection to any of these.

    All methods are called on one loop, the protocol loop, and never block it.
    """

    name: str
    """Shown in routes and logs, such as `executor/rep-0`."""

    @property
    def up(self) -> bool:
        """False while it is known that no request would be answered; asks nobody."""
        ...

    async def describe(self) -> Mapping[str, EndpointInfo]:
        """The endpoints by path; of another process when it is ready to serve. Raises a `JinaError`."""
        ...

    async def call(self, request: Request) -> Reply:
        """Answer one request; raises a `JinaError`. Cancelling the task cancels the work.

        Where the request has `began`, it is called when the code of an Executor is about to run.
        """
        ...

    def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """Answer with a stream, which begins when the first reply is asked for; closing it closes the generator of
        the Executor.

        Raises `BadRequest` when the endpoint is not a generator.
        """
        ...

    async def ready(self) -> list[Route]:
        """Ask whether a request would be served, down to the Executors; raises a `JinaError` otherwise.

        Returns the Executors that a gateway asked, with their times; nothing for a worker.
        """
        ...

    def flush(self, *, on: bool = True) -> None:
        """As long as one caller wants it, requests wait no longer for a batch to fill: that caller is about to stop."""
        ...

    def throttle(self, *, on: bool = True) -> None:
        """As long as one caller wants it, no more answers are made than can be helped: too much waits for clients that
        do not take it.
        """
        ...

    async def close(self) -> None:
        """Give up what is held; what is in flight may fail."""
        ...


class Load(NamedTuple):
    """All requests that a worker has, whoever sent them: how many wait, are not answered, and were answered."""

    waiting: int
    in_flight: int
    done: int


class Scaling(Protocol):
    """What decides how many replicas steps should have."""

    @property
    def wanted(self) -> Mapping[str, int]:
        """By step."""
        ...

    @property
    def scaled(self) -> list[str]:
        """The steps for which it decides."""
        ...

    def listen(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` whenever another number is wanted; gives the function that ends it."""
        ...


class LocalService(Service, Protocol):
    """A service of this process, as its servers need it: what they read of it must not wait for another process."""

    forwards: bool
    """True for a gateway: listeners then give documents as the bytes that came, and take them so."""

    @property
    def endpoints(self) -> Mapping[str, EndpointInfo]:
        """By path; fixed once the service is ready."""
        ...

    @property
    def started(self) -> bool:
        """True once start-up has ended."""
        ...

    @property
    def awaits_endpoints(self) -> bool:
        """Whether it does not know all of its endpoints yet: a path that it lacks may be one."""
        ...

    @property
    def load(self) -> Load | None:
        """What gateways of other machines are told; None where they need not know."""
        ...

    @property
    def scaling(self) -> Scaling | None:
        """What decides how many replicas its steps should have; None where it has no steps."""
        ...

    @property
    def checks(self) -> Mapping[str, bool]:
        """What `up` depends on, by name, for people who ask why."""
        ...

    def freed(self) -> None:
        """Called when much memory held for slow clients was freed, so that it can be returned to the system."""
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


class Upstream(Service, Protocol):
    """A connection to one worker; documents are passed on as the bytes they are.

    Its methods raise what the worker raised, `DeadlineExceeded`, or `UpstreamUnavailable`, which tells whether the
    request may have been begun. The reply comes as JSON where `request.json_reply` asks for it, as a serialised
    `docarray.DocListProto` else.
    """

    @property
    def received(self) -> int:
        """Bytes that came from a worker of this machine so far: one that sends answers is not silent. 0 for others."""
        ...

    @property
    def waiting(self) -> int:
        """How many requests were sent there and are not begun; 0 where that is not known."""
        ...

    async def load(self) -> Load | None:
        """What a worker elsewhere tells. None where it does not, and for one of this machine."""
        ...

    async def metrics(self, *, openmetrics: bool) -> bytes:
        """The metrics of a worker of this machine as text; nothing for one elsewhere, which is scraped there."""
        ...
