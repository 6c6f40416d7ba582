"""The documents of a reply: encoded when a face asks, once, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jina.observe.metrics import EndpointMetrics
from jina.wire.codec import codec_for
from jina.wire.payloads import BytesPayload, JsonPayload, ProtoPayload

if TYPE_CHECKING:
    from jina.wire.codec import Codec
    from jina.wire.messages import Payload

LARGE = 256 * 1024
"""Bytes above which documents are decoded and encoded on threads, away from both loops."""


class ReplyPayload:
    """Documents that a handler gave. `expected` is the codec of the endpoint's output, which is mostly right."""

    __slots__ = ("_bytes", "_codec", "_counts", "_json", "docs")

    def __init__(self, docs: Any, expected: Codec, counts: EndpointMetrics) -> None:
        self.docs = docs
        self._counts = counts
        self._codec = expected if not docs or type(docs[0]) is expected.doc_type else codec_for(type(docs[0]))
        self._bytes: bytes | None = None
        self._json: bytes | None = None

    def __len__(self) -> int:
        return len(self.docs)

    def decode(self, codec: Codec) -> Any:
        """The documents, converted where another class is asked for."""
        if codec is self._codec:
            return self.docs
        return BytesPayload(self.to_bytes()).decode(codec)

    def write_proto(self, into: Any) -> None:
        """Append the documents to a `docarray.DocListProto` message."""
        if self._bytes is not None:
            into.MergeFromString(self._bytes)
            return
        self._codec.encode(self.docs, into)
        self._counts.sent.observe(into.ByteSize())

    def to_bytes(self) -> bytes:
        """The documents as one serialised `docarray.DocListProto`."""
        if self._bytes is None:
            self._bytes = data = self._codec.to_bytes(self.docs)
            self._counts.sent.observe(len(data))
        return self._bytes

    def to_json(self) -> bytes:
        """The documents as one JSON array."""
        if self._json is None:
            self._json = data = self._codec.encode_json(self.docs)
            self._counts.sent.observe(len(data))
        return self._json

    def json_items(self) -> list[bytes]:
        """Each document as JSON of its own."""
        items = [self._codec.encode_json_doc(doc) for doc in self.docs]
        self._counts.sent.observe(sum(map(len, items)))
        return items

    @property
    def large(self) -> bool:
        """Whether encoding may take long enough to hold up a loop; a guess from the first document."""
        if not self.docs:
            return False
        first = sum(_weight(value) for value in vars(self.docs[0]).values())
        return first * len(self.docs) > LARGE


def _weight(value: Any) -> int:
    if isinstance(value, str | bytes | list | tuple | dict):
        return 16 + len(value)
    return 16 + int(getattr(value, "nbytes", 0))


def size_of(payload: Payload) -> int:
    """Bytes of the documents as they came in; 0 where they did not come as bytes."""
    if isinstance(payload, ProtoPayload):
        return payload.message.ByteSize()
    if isinstance(payload, BytesPayload):
        return len(payload.data)
    raw = payload._raw if isinstance(payload, JsonPayload) else None  # noqa: SLF001 - to_json() would write parsed ones
    return 0 if raw is None else len(raw)
