"""A request as an operation of the log, the same bytes on every replica; and what came of it, a reply or an error."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from jina.codec import parameters
from jina.codec.messages import Payload, Reply, Request
from jina.codec.payloads import BytesPayload, FilePayload, ProtoPayload
from jina.codec.session_headers import SessionRef
from jina.errors import InternalError, JinaError, Unavailable
from jina.executor.invoke import new_clock_and_seed
from jina.ipc.protocol import read_error, read_reply, read_request, write_error, write_reply, write_request
from jina.replication.agent_client import Buffer

NO_LIMIT: Final = 1 << 30


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A reply as bytes, or an error as bytes; `kept` is False once it was forgotten to save memory."""

    error: bool
    meta: bytes
    body: bytes
    kept: bool = True

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.meta) + len(self.body)


class Outcome(NamedTuple):
    """Reply for the local waiter, stored answer for retries, and the bytes compared between replicas."""

    reply: Reply | JinaError
    answer: Answer
    compared: bytes


def outcome_of_reply(reply: Reply, request: Request) -> Outcome:
    """Raises a `JinaError` where the documents cannot be serialised."""
    _, meta, body = write_reply(reply, request, NO_LIMIT)
    answer = Answer(error=False, meta=bytes(meta), body=bytes(body))
    # Ids of documents that a method makes are random, so only what is the same on every replica counts.
    return Outcome(reply, answer, str(len(reply.payload)).encode())


def outcome_of_error(error: JinaError) -> Outcome:
    """An error is a result like any other."""
    return Outcome(error, Answer(error=True, meta=b"", body=write_error(error)), type(error).__name__.encode())


def read_outcome(answer: Answer) -> Reply | JinaError:
    """What was told when the answer was written."""
    if not answer.kept:
        return Unavailable(
            "the request was applied; its answer is no longer kept", help="read what it changed; do not send it again"
        )
    return read_error(answer.body) if answer.error else read_reply(0, answer.meta, answer.body)


def reply_or_raise(reply: Reply | JinaError) -> Reply:
    """The reply, unless it is an error."""
    if isinstance(reply, Reply):
        return reply
    raise reply


_HEAD = struct.Struct("<BII")
_VERSION: Final = 1
_BATCH_MARK: Final = 2
"""In the place of the version: several operations, each after its size."""
_SIZE = struct.Struct("<Q")
_NO_LIMIT: Final = 1 << 30
Member = tuple["Entry", Request]
"""A request of an operation, and what is logged of it beside."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What is logged of a request beside itself.

    `key` is the request's id, `digest` tells another request under the same id. `origin` is how far the replica that
    took the request had applied the log then. `client` is empty where the client keeps no session, and `opened` is 0
    where this is the request that opens one; `sequence` and `lowest` are as in
    `jina.codec.session_headers.SessionRef`. `now` and `seed` are what that replica chose for the method to be given.
    """

    key: str
    digest: bytes
    origin: int
    client: str = ""
    opened: int = 0
    sequence: int = 0
    lowest: int = 0
    now: float = 0.0
    seed: int = 0

    @property
    def identity(self) -> str:
        """What another operation has in common with it that is the same request."""
        return f"{self.client}/{self.opened}/{self.sequence}" if self.opened else self.key


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


def entry_of(key: str, digest: bytes, origin: int, session: SessionRef) -> Entry:
    """Of a request that is taken now; without an id it is given one."""
    client, opened, sequence, lowest = session
    return Entry(key or os.urandom(16).hex(), digest, origin, client, opened, sequence, lowest, *new_clock_and_seed())


def write_entry(entry: Entry, request: Request, limit: int) -> tuple[bytes, Buffer]:
    """The operation in two parts, the second not copied; raises `TooLarge` and `BadClientInput` as `write_request`."""
    flags, meta, body = write_request(_with_files(request), limit)
    about = _encode(entry)
    return b"".join((_HEAD.pack(_VERSION, len(about), len(meta)), bytes((flags,)), about, meta)), body


def join_operations(operations: Sequence[Sequence[Buffer]]) -> bytes:
    """Several operations as one, which is applied as one batch."""
    parts: list[Buffer] = [bytes((_BATCH_MARK,))]
    for operation in operations:
        parts += [_SIZE.pack(sum(map(len, operation))), *operation]
    return b"".join(parts)


def is_batch(data: Buffer) -> bool:
    """Whether an operation is one of `propose_batch`, which may be of a single request."""
    return data[:1] == bytes((_BATCH_MARK,))


def read_entries(data: Buffer) -> list[Member]:
    """What `write` and `propose_batch` wrote; raises `InternalError` for anything else."""
    try:
        return [_read(data)] if data[0] != _BATCH_MARK else [_read(one) for one in _apart(data)]
    except (struct.error, IndexError, msgspec.MsgspecError, ValueError) as error:
        raise InternalError(f"the log holds an operation that cannot be read: {error}") from error


def _apart(data: Buffer) -> Iterator[Buffer]:
    at = 1
    while at < len(data):
        (size,) = _SIZE.unpack_from(data, at)
        at += _SIZE.size + size
        if at > len(data):
            raise ValueError("it is truncated")
        yield data[at - size : at]


def _read(data: Buffer) -> Member:
    version, about, meta = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise InternalError(f"the log holds an operation of version {version}; this is {_VERSION}")
    at = _HEAD.size + 1
    entry = _decode(data[at : at + about])
    at += about
    return entry, read_request(data[_HEAD.size], data[at : at + meta], data[at + meta :])


def _with_files(request: Request) -> Request:
    """The request with the contents of its files: the log is read on other machines, and when the files are gone."""
    payload = request.payload
    if isinstance(payload, FilePayload):
        payload = BytesPayload(payload.to_bytes())
    elif request.handed_over is None:
        return request
    return replace(request, payload=payload, handed_over=None)


def digest_of(request: Request) -> bytes:
    """What tells one request from another under the same id: the same wherever the request comes in.

    Raises `BadRequest` for documents that cannot be read, and `BadClientInput` for parameters that are not JSON.
    """
    digest = hashlib.blake2b(digest_size=16, person=b"jina write", key=request.endpoint.encode()[:64])
    if request.parameters:
        result = json.dumps(parameters.plain(request.parameters), sort_keys=True).encode()
        digest.update(hashlib.blake2b(result, digest_size=16).digest())  # of one length, so that nothing runs into it
    for payload in (request.payload, *(payload for _, payload in request.branches or ())):
        digest.update(_canonical(payload))
    return digest.digest()


def _canonical(payload: Payload) -> Buffer:
    """The documents as bytes; in protobuf, fields that are a map have another order in every process otherwise."""
    if isinstance(payload, FilePayload):  # named differently each time
        payload = BytesPayload(payload.to_bytes())
    if isinstance(payload, BytesPayload):
        payload = BytesPayload(payload.data).parsed()  # not kept, as the payload would keep it
    if isinstance(payload, ProtoPayload):
        return payload.message.SerializeToString(deterministic=True)
    _, _, body = write_request(Request("", payload), _NO_LIMIT)
    return body
