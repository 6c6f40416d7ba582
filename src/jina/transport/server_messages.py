"""Requests from protobuf messages, and messages from replies and errors."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from jina.errors import BadRequest, JinaError, TooLarge
from jina.wire import parameters, pb, status
from jina.wire.messages import Reply, Request
from jina.wire.payloads import ProtoPayload
from jina.wire.splicing import with_documents

if TYPE_CHECKING:
    from collections.abc import Callable

DRY_RUN = "_jina_dry_run_"
"""The endpoint that Jina 3's gateways call to see whether an Executor answers."""


# Its own state, so that `random.seed` of user code cannot repeat ids.
_random = random.Random()  # noqa: S311 - an id is no secret


def new_request_id() -> str:
    """32 hexadecimal digits."""
    return f"{_random.getrandbits(128):032x}"


class Unusable:
    """What a deserialiser gives for bytes that are too large or no message; the handler answers with `error`."""

    __slots__ = ("error",)

    def __init__(self, error: JinaError) -> None:
        self.error = error


def parser(message_class: Any, max_message_size: int) -> Callable[[bytes], Any]:
    """A deserialiser that never raises: the message, or an `Unusable`.

    gRPC itself would answer an oversize message without naming our option, and a garbled one as a fault of ours.
    """
    parse = message_class.FromString

    def from_bytes(data: bytes) -> Any:
        if len(data) > max_message_size:
            return Unusable(too_large(len(data), max_message_size))
        try:
            return parse(data)
        except Exception as error:  # noqa: BLE001 - DecodeError has no common public class over protobuf versions
            return Unusable(BadRequest(f"the request is no {message_class.DESCRIPTOR.full_name} message: {error}"))

    return from_bytes


def too_large(size: int, limit: int) -> TooLarge:
    """The error for a request above the limit; both in bytes."""
    return TooLarge(
        f"the request has {size} bytes; max_message_size is {limit}",
        help="send fewer documents per request (request_size), or raise max_message_size of the server",
    )


def read_request(message: Any, payload: Any, headers: dict[str, str], deadline: float | None) -> Request:
    """A request from the header and parameters of a message; a missing id is made up."""
    header = message.header
    return Request(
        endpoint=header.exec_endpoint,
        payload=payload,
        parameters=parameters.read(message),
        request_id=header.request_id or new_request_id(),
        target_executor=header.target_executor,
        headers=headers,
        deadline=deadline,
    )


def data_payload(message: Any, size: int | None = None) -> ProtoPayload:
    """The documents of a `DataRequestProto`, whichever way they were sent; `size` is that of the message in bytes."""
    content = message.data
    if content.WhichOneof("documents") == "docs_bytes":
        return ProtoPayload(pb.DocListProto.FromString(content.docs_bytes), size)
    return ProtoPayload(content.docs, size)


def write_header(source: Any, request: Request, into: Any) -> None:
    """Copy what identifies the request into the header of its answer."""
    header = into.header
    header.MergeFrom(source.header)
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
    if reply.parameters:
        parameters.write(reply.parameters, message)
    if reply.routes:
        for visited in reply.routes:
            add_route(message, visited.executor, visited.start_time, visited.end_time)
    else:
        add_route(message, executor, started, time.time())
    return with_documents(message, reply.payload.to_bytes())


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
    """Fill a response message with an in-band error, as Jina 3 writes it; gives the message."""
    if source is not None:
        into.header.MergeFrom(source.header)
    status.write_error(error, into.header.status)
    route = add_route(into, executor, started, time.time())
    route.status.CopyFrom(into.header.status)
    return into
