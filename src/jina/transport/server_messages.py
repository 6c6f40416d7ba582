"""Requests from protobuf messages, and messages from replies and errors."""

from __future__ import annotations

import os
import random
import time
from typing import Any

from jina.errors import JinaError, TooLarge
from jina.wire import parameters, pb, status
from jina.wire.messages import Reply, Request, Route
from jina.wire.slicing import documents_in
from jina.wire.splicing import field_head, with_documents

DRY_RUN = "_jina_dry_run_"
"""The endpoint that Jina 3's gateways call to see whether an Executor answers."""

_DOCUMENT = 4
"""The field of `SingleDocumentRequestProto` that holds the document."""

# Its own state, so that `random.seed` of user code cannot repeat ids.
_random = random.Random()  # noqa: S311 - an id is no secret
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_request_id() -> str:
    """32 hexadecimal digits."""
    return f"{_random.getrandbits(128):032x}"


def too_large(size: int, limit: int) -> TooLarge:
    """The error for a request above the limit; both in bytes."""
    return TooLarge(
        f"the request has {size} bytes; max_message_size is {limit}",
        help="send fewer documents per request (request_size), or raise max_message_size of the server",
    )


def too_many_parameters(limit: int) -> TooLarge:
    """The error for parameters that hold more values than the limit."""
    return TooLarge(
        f"the parameters hold more than {limit} values, the max_parameters of this server",
        help="send large values as documents, or raise max_parameters",
    )


def read_request(message: Any, payload: Any, headers: dict[str, str], deadline: float | None) -> Request:
    """A request from the header and parameters of a message; a missing id is made up."""
    header = message.header
    if header.trace:
        headers = {**headers, **header.trace}
    return Request(
        endpoint=header.exec_endpoint,
        payload=payload,
        parameters=parameters.read(message),
        request_id=header.request_id or headers.get("x-request-id") or new_request_id(),
        target_executor=header.target_executor,
        headers=headers,
        deadline=deadline,
    )


def write_header(source: Any, request: Request, into: Any) -> None:
    """Copy what identifies the request into the header of its answer."""
    header = into.header
    header.MergeFrom(source.header)
    header.ClearField("trace")
    if not header.request_id:
        header.request_id = request.request_id


def write_reply(
    source: Any, request: Request, reply: Reply, executor: str, started: float, *, more: bool = False
) -> bytes:
    """The serialised `DataRequestProto` that answers the message `source`.

    `started` is in seconds since the epoch; `more` tells that further replies to the same request follow.
    """
    message = pb.DataRequestProto()
    write_header(source, request, message)
    message.header.more = more
    if reply.headers:
        message.header.trace.update(reply.headers)
    if reply.parameters:
        parameters.write(reply.parameters, message)
    if reply.routes:
        for visited in reply.routes:
            add_route(message, visited.executor, visited.start_time, visited.end_time)
    else:
        add_route(message, executor, started, time.time())
    return with_documents(message, reply.payload)


def add_route(message: Any, executor: str, start: float, end: float) -> Any:
    """Append a visited Executor; times are in seconds since the epoch."""
    route = message.routes.add()
    route.executor = executor
    route.start_time.seconds = int(start)
    route.start_time.nanos = int(start % 1 * 1e9)
    route.end_time.seconds = int(end)
    route.end_time.nanos = int(end % 1 * 1e9)
    return route


def write_failure(into: Any, source: Any | None, error: JinaError, executor: str, started: float) -> Any:
    """Fill a response message with an in-band error, as Jina 3 writes it; gives the message.

    The route of the Deployment that failed has the error's status; a gateway says which, and what was visited.
    """
    if source is not None:
        into.header.MergeFrom(source.header)
        into.header.ClearField("trace")
    status.write_error(error, into.header.status)
    add_routes(into, error, Route(executor, started, time.time()))
    return into


def add_routes(into: Any, error: JinaError, own: Route | None = None) -> None:
    """Append what the failed request has visited, `own` where the error does not say; the failed one has the status."""
    visited = error.routes or ([own] if own is not None else [])
    for route in visited:
        add_route(into, route.executor, route.start_time, route.end_time)
    name = error.deployment or into.routes[-1].executor
    failed = [route for route in into.routes if route.executor == name]
    ours = own or visited[-1]
    one = failed[-1] if failed else add_route(into, name, ours.start_time, ours.end_time)
    one.status.CopyFrom(into.header.status)


class DocumentWriter:
    """The serialised `SingleDocumentRequestProto`s that answer the message `source`, one for each document."""

    def __init__(self, source: Any, request: Request) -> None:
        self._message = pb.SingleDocumentRequestProto()
        write_header(source, request, self._message)
        self._rest = self._message.SerializeToString()

    def messages(self, reply: Reply) -> list[bytes]:
        """Those of one reply."""
        rest = self._rest
        if reply.parameters:
            message = pb.SingleDocumentRequestProto()
            message.CopyFrom(self._message)
            parameters.write(reply.parameters, message)
            rest = message.SerializeToString()
        return [
            b"".join((rest, field_head(_DOCUMENT, len(document)), document))
            for document in documents_in(reply.payload.to_bytes())
        ]
