"""The gate of a server: bounds on what a request from outside may hold, the same on every protocol; readiness."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, NamedTuple

from jina.codec import json_text
from jina.codec.messages import Reply, Request
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.codec.raw_fields import more_documents_than
from jina.errors import BadRequest, JinaError, TooLarge
from jina.net.messages import DEFAULT_WINDOW, too_many_parameters
from jina.net.service import LocalService
from jina.net.unread import Bounds
from jina.plan.plans import GatewayPlan, WorkerPlan

DEFAULT_MAX_MESSAGE_SIZE = 64 * 1024 * 1024
DEFAULT_MAX_UPLOAD_SIZE = 2 * 1024 * 1024 * 1024


class Limits(NamedTuple):
    """Of one request: bytes, documents, the depth of parameters and of documents in JSON, and values in parameters.

    The depth is the number of arrays and objects inside each other. `unread` is about answers. `window` is the number
    of requests of one stream or connection in work at a time, where the client does not say; 0 is no limit.
    `upload_size` are the bytes of a request with files.
    """

    message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    documents: int = 100_000
    depth: int = 100
    parameters: int = 10_000
    unread: Bounds = Bounds()
    window: int = DEFAULT_WINDOW
    upload_size: int = DEFAULT_MAX_UPLOAD_SIZE


DEFAULT_LIMITS = Limits()
"""The defaults."""


def limits_of(plan: WorkerPlan | GatewayPlan) -> Limits:
    """Those of a process that serves."""
    unread = Bounds(plan.max_unread, plan.max_unread_total, plan.timeout_write)
    window = plan.prefetch if isinstance(plan, GatewayPlan) else DEFAULT_WINDOW
    return Limits(
        plan.max_message_size, plan.max_documents, plan.max_depth, plan.max_parameters, unread, window,
        plan.max_upload_size,
    )  # fmt: skip


class Gate:
    """A service as the listeners of one server offer it: requests above the limits are refused before anything is built
    of their documents, and its readiness turns false for good once the server is about to stop.

    Such a server is `leaving` while it still takes requests, and `draining` from when it finishes those in flight. One
    object is shared by all listeners of a server, so that they agree.
    """

    def __init__(self, service: LocalService, limits: Limits = DEFAULT_LIMITS) -> None:
        self.service = service
        self.limits = limits
        self.leaving = False
        self.draining = False
        self.on_drain: list[Callable[[], None]] = []
        """Called when the server begins to finish what is in flight: streams without an end are to end then."""
        self._few = min(limits.documents, limits.depth)
        """So many brackets, or bytes of protobuf, are neither too many documents nor too deep ones."""

    @property
    def stopping(self) -> bool:
        """Whether clients should go elsewhere with their next request."""
        return self.leaving or self.draining

    def drain(self) -> None:
        """Take no more, and finish what is in flight."""
        self.draining = True
        for call in self.on_drain:
            call()

    @property
    def ready(self) -> bool:
        """True while new requests are welcome."""
        return self.service.up and not self.stopping

    def call(self, request: Request) -> Coroutine[Any, Any, Reply]:
        """See `Service`; raises `TooLarge` and `BadRequest`."""
        payload = request.payload
        text = payload.text if isinstance(payload, JsonPayload) else None
        if text is None or request.parameters or text.count(b"{") + text.count(b"[") > self._few:
            self._check(request)
        return self.service.call(request)

    def stream(self, request: Request) -> AsyncGenerator[Reply]:
        """See `Service`; raises `TooLarge` and `BadRequest`."""
        self._check(request)
        return self.service.stream(request)

    def _check(self, request: Request) -> None:
        """Look no further into documents than is needed, and parse none.

        Messages have a limit of their own for the depth, 100 (https://protobuf.dev/programming-guides/proto-limits).
        """
        limits, payload, is_deep = self.limits, request.payload, False
        if isinstance(payload, BytesPayload):
            are_many = more_documents_than(limits.documents, payload.data)
        elif isinstance(payload, JsonPayload) and (text := payload.text) is not None:
            are_many = json_text.more_documents_than(limits.documents, text)
            is_deep = not are_many and json_text.deeper_than(limits.depth + 1, text)
        else:
            are_many = len(payload) > limits.documents
            if isinstance(payload, JsonPayload) and not are_many:
                is_deep = any(json_text.nested_deeper_than(limits.depth, item) for item in payload.items())
        if are_many:
            raise TooLarge(
                f"the request has more than {limits.documents} documents, the max_documents of this server",
                help="send fewer documents per request (request_size), or raise max_documents",
            )
        if is_deep:
            raise _too_deep("a document", limits.depth)
        if request.parameters:
            self._check_parameters(request.parameters)

    def _check_parameters(self, parameters: dict[str, Any]) -> None:
        if json_text.more_values_than(self.limits.parameters, parameters):
            raise too_many_parameters(self.limits.parameters)
        if json_text.nested_deeper_than(self.limits.depth, parameters):
            raise _too_deep("parameters", self.limits.depth)


def _too_deep(what: str, depth: int) -> JinaError:
    return BadRequest(
        f"{what}: more than {depth} arrays and objects inside each other, the max_depth of this server",
        help="send less nested values, or raise max_depth",
    )
