"""gRPC over HTTP/2 without I/O: messages, statuses, metadata and deadlines as they travel, for servers and clients.

See https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final

from jina.net.http2 import Header, Headers

Metadata = Sequence[tuple[str, str | bytes]]
_HEAD: Final = 5
"""Bytes before each message: whether it is compressed, and its size."""
_PLAIN: Final = frozenset(range(0x20, 0x7F)) - {ord("%")}
_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_MOST_DIGITS: Final = 8
_OF_THE_PROTOCOL: Final = frozenset(
    {b"te", b"content-type", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding"}
)
"""Headers that are no metadata of a call, besides those that begin with a colon."""
_WINDOW_BITS: Final = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
ENCODINGS: Final = ("identity", *(name.decode() for name in _WINDOW_BITS))
"""How messages may be compressed."""


class Code(IntEnum):
    """The codes of a status (https://grpc.github.io/grpc/core/md_doc_statuscodes.html)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class WireError(Exception):
    """What came is not gRPC, or too large; `code` is the status that says so."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Messages:
    """Takes the messages of one direction of a call out of the parts in which they come.

    `limit` is in bytes, of a message before and after it is compressed; `encoding` is the value of `grpc-encoding`.
    """

    __slots__ = ("_limit", "_parts", "encoding", "held", "needed")

    def __init__(self, limit: int, encoding: bytes = b"") -> None:
        self._limit = limit
        self.encoding = encoding
        self._parts: list[bytes] = []
        self.held = 0
        """Bytes of a message that is not complete."""
        self.needed = _HEAD
        """Bytes that it has with its head, as far as that is known."""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now; raises `WireError`."""
        self._parts.append(data)
        self.held += len(data)
        if self.held < self.needed:
            return []
        data = b"".join(self._parts) if len(self._parts) > 1 else data
        found, start = [], 0
        self.needed = _HEAD
        while len(data) - start >= _HEAD:
            size = int.from_bytes(data[start + 1 : start + _HEAD], "big")
            if size > self._limit:
                raise self._too_large(size)
            if len(data) - start < _HEAD + size:
                self.needed = _HEAD + size
                break
            message = data[start + _HEAD : start + _HEAD + size]
            found.append(message if data[start] == 0 else self._decompressed(message, data[start]))
            start += _HEAD + size
        rest = data[start:] if start else data
        self._parts = [rest] if rest else []
        self.held = len(rest)
        return found

    def _too_large(self, size: int) -> WireError:
        return WireError(
            Code.RESOURCE_EXHAUSTED, f"Received message larger than max ({size} vs. {self._limit})"
        )  # the words of grpcio: clients look for them

    def _decompressed(self, message: bytes, flag: int) -> bytes:
        if flag != 1:
            raise WireError(Code.INTERNAL, f"the first byte of a message is {flag}, and must be 0 or 1")
        if self.encoding in {b"", b"identity"}:
            raise WireError(Code.INTERNAL, "a message is compressed, and grpc-encoding does not say how")
        if self.encoding not in _WINDOW_BITS:
            known = ", ".join(ENCODINGS)
            raise WireError(Code.UNIMPLEMENTED, f"grpc-encoding {self.encoding[:40]!r} is not one of {known}")
        inflater = zlib.decompressobj(_WINDOW_BITS[self.encoding])
        try:
            plain = inflater.decompress(message, self._limit + 1)
        except zlib.error as error:
            raise WireError(Code.INTERNAL, f"a message is not {self.encoding.decode()}: {error}") from error
        if len(plain) > self._limit:
            raise self._too_large(len(plain))
        if not inflater.eof or inflater.unused_data:
            raise WireError(Code.INTERNAL, f"a message is not one {self.encoding.decode()} stream")
        return plain


def whole_message(data: bytes, limit: int) -> bytes | None:
    """The message, where the data are just one that is not compressed and has at most `limit` bytes."""
    size = len(data) - _HEAD
    if 0 <= size <= limit and data[0] == 0 and int.from_bytes(data[1:_HEAD], "big") == size:
        return data[_HEAD:]
    return None


def framed(message: bytes, encoding: str = "") -> bytes:
    """A message as it travels, compressed by `gzip` or `deflate` where that is asked for."""
    if not encoding:
        return b"\0" + len(message).to_bytes(4, "big") + message
    deflater = zlib.compressobj(wbits=_WINDOW_BITS[encoding.encode()])
    packed = deflater.compress(message) + deflater.flush()
    return b"\1" + len(packed).to_bytes(4, "big") + packed


def seconds_of(timeout: bytes) -> float:
    """The value of `grpc-timeout`; raises `WireError`."""
    text = timeout.decode("latin-1")
    digits, unit = text[:-1], text[-1:]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS and unit in _UNITS):
        raise WireError(Code.INTERNAL, f"grpc-timeout {text[:40]!r} is not up to 8 digits and one of H, M, S, m, u, n")
    return int(digits) * _UNITS[unit]


def timeout_of(seconds: float) -> bytes:
    """`grpc-timeout` for so many seconds, rounded up."""
    for unit in "num":
        count = int(seconds / _UNITS[unit]) + 1
        if count < 10**_MOST_DIGITS:
            return f"{max(count, 1)}{unit}".encode()
    return f"{min(int(seconds) + 1, 10**_MOST_DIGITS - 1)}S".encode()


def percent_encoded(text: str) -> bytes:
    """The text of a status as it travels."""
    if text.isascii() and text.isprintable() and "%" not in text:
        return text.encode()
    data = text.encode("utf-8", "replace")
    return b"".join(bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte for byte in data)


def percent_decoded(text: bytes) -> str:
    """The text of a status."""
    if b"%" in text:
        from urllib.parse import unquote_to_bytes

        text = unquote_to_bytes(text)
    return text.decode("utf-8", "replace")


def metadata_in(headers: Headers) -> list[tuple[str, str | bytes]]:
    """What a client or server tells beside the messages; values of names that end in `-bin` are bytes.

    Raises `WireError` for one that is not base64.
    """
    found: list[tuple[str, str | bytes]] = []
    for name, value in headers:
        if name in _OF_THE_PROTOCOL or name[:1] == b":":
            continue
        if name[-4:] == b"-bin":
            found += [(name.decode("latin-1"), binary_value(part)) for part in value.split(b",")]
        else:
            found.append((name.decode("latin-1"), value.decode("latin-1")))
    return found


def binary_value(text: bytes) -> bytes:
    """The value of a name that ends in `-bin`, with padding or without; raises `WireError`."""
    text = text.strip()
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise WireError(Code.INTERNAL, f"metadata {text[:40]!r} is not base64: {error}") from error


def headers_of(metadata: Iterable[tuple[str, str | bytes]]) -> list[Header]:
    """Metadata as it travels; raises `ValueError` for what cannot be sent."""
    found = []
    for name, value in metadata:
        key = name.encode("ascii")
        if isinstance(value, bytes):
            if not key.endswith(b"-bin"):
                raise ValueError(f"metadata {name!r} has bytes, and its name does not end in -bin")
            text = base64.b64encode(value).rstrip(b"=")
        else:
            if key.endswith(b"-bin"):
                raise ValueError(f"metadata {name!r} has text, and names that end in -bin have bytes")
            text = value.encode("latin-1")
            if not _PRINTABLE.issuperset(text):
                raise ValueError(f"metadata {name!r} has characters that cannot be sent: {value[:40]!r}")
        found.append((key, text))
    return found


_PRINTABLE: Final = frozenset(range(0x20, 0x7F)) | frozenset(range(0x80, 0x100)) | {0x09}
