"""Bounds on what a request from outside may hold, as a wrapper around a service: the same on every protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any, NamedTuple, cast

from jina.codec import json_text
from jina.codec.json_text import nested_deeper_than
from jina.codec.messages import Payload, Reply, Request
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.codec.raw_fields import more_documents_than
from jina.errors import BadRequest, JinaError, TooLarge
from jina.net.messages import too_many_parameters
from jina.net.service import Service
from jina.net.unread import Bounds
from jina.plan.plans import GatewayPlan, WorkerPlan

DEFAULT_MAX_MESSAGE_SIZE = 64 * 1024 * 1024


class Limits(NamedTuple):
    """Of one request: bytes, documents, the depth of parameters and of documents in JSON, and values in parameters.

    The depth is the number of arrays and objects inside each other. `unread` is about answers.
    """

    message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    documents: int = 100_000
    depth: int = 100
    parameters: int = 10_000
    unread: Bounds = Bounds()


DEFAULT_LIMITS = Limits()
"""The defaults."""


def limits_of(plan: WorkerPlan | GatewayPlan) -> Limits:
    """Those of a process that serves."""
    unread = Bounds(plan.max_unread, plan.max_unread_total, plan.timeout_write)
    return Limits(plan.max_message_size, plan.max_documents, plan.max_depth, plan.max_parameters, unread)


def limited(service: Service, limits: Limits) -> Service:
    """The service, which refuses requests above the limits before anything is built of their documents."""
    return cast("Service", _LimitedService(service, limits))


class _LimitedService:
    """Checks what goes through `call` and `stream`; all else is the service's own."""

    def __init__(self, service: Service, limits: Limits) -> None:
        self._service = service
        self._limits = limits

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def call(self, request: Request) -> Coroutine[Any, Any, Reply]:
        """See `Service`; raises `TooLarge` and `BadRequest`."""
        self._check(request)
        return self._service.call(request)

    def stream(self, request: Request) -> AsyncIterator[Reply]:
        """See `Service`; raises `TooLarge` and `BadRequest`."""
        self._check(request)
        return self._service.stream(request)

    def _check(self, request: Request) -> None:
        documents, depth = self._limits.documents, self._limits.depth
        if _has_more_than(documents, request.payload):
            raise TooLarge(
                f"the request has more than {documents} documents, the max_documents of this server",
                help="send fewer documents per request (request_size), or raise max_documents",
            )
        if _is_deeper_than(depth, request.payload):
            raise _too_deep("a document", depth)
        if request.parameters:
            if json_text.more_values_than(self._limits.parameters, request.parameters):
                raise too_many_parameters(self._limits.parameters)
            if nested_deeper_than(depth, request.parameters):
                raise _too_deep("parameters", depth)


def _too_deep(what: str, depth: int) -> JinaError:
    return BadRequest(
        f"{what}: more than {depth} arrays and objects inside each other, the max_depth of this server",
        help="send less nested values, or raise max_depth",
    )


def _has_more_than(limit: int, payload: Payload) -> bool:
    """Whether there are more documents; looks no further into those that are not parsed yet."""
    if isinstance(payload, BytesPayload):
        return more_documents_than(limit, payload.data)
    if isinstance(payload, JsonPayload) and (text := payload.text) is not None:
        return json_text.more_documents_than(limit, text)
    return len(payload) > limit


def _is_deeper_than(limit: int, payload: Payload) -> bool:
    """Whether a document in JSON has more arrays and objects inside each other.

    Messages have a limit of their own, 100 (https://protobuf.dev/programming-guides/proto-limits).
    """
    if not isinstance(payload, JsonPayload):
        return False
    if (text := payload.text) is None:
        return any(json_text.nested_deeper_than(limit, item) for item in payload.items())
    return json_text.deeper_than(limit + 1, text)
