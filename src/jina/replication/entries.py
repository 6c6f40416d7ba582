"""A request as an operation of the log: the same bytes, and so the same documents, on every replica."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from jina.errors import InternalError
from jina.replication.frames import Buffer
from jina.transport.link_messages import read_request, write_request
from jina.wire.messages import Request

_HEAD = struct.Struct("<BII")
_VERSION: Final = 1


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What is logged of a request beside itself.

    `key` is the request's id, `digest` tells another request under the same id. `origin` is how far the replica that
    took the request had applied the log then.
    """

    key: str
    digest: bytes
    origin: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


def write(entry: Entry, request: Request, limit: int) -> tuple[bytes, Buffer]:
    """The operation in two parts, the second not copied; raises `TooLarge` and `BadClientInput` as `write_request`."""
    flags, meta, body = write_request(request, limit)
    about = _encode(entry)
    return b"".join((_HEAD.pack(_VERSION, len(about), len(meta)), bytes((flags,)), about, meta)), body


def read(data: Buffer) -> tuple[Entry, Request]:
    """What `write` wrote; raises `InternalError` for anything else."""
    try:
        version, about, meta = _HEAD.unpack_from(data)
        if version != _VERSION:
            raise InternalError(f"the log holds an operation of version {version}; this is {_VERSION}")
        at = _HEAD.size + 1
        entry = _decode(data[at : at + about])
        at += about
        request = read_request(data[_HEAD.size], data[at : at + meta], data[at + meta :])
    except (struct.error, IndexError, msgspec.MsgspecError, ValueError) as error:
        raise InternalError(f"the log holds an operation that cannot be read: {error}") from error
    return entry, request
