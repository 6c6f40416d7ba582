"""The documents of a reply: encoded when a face asks, once, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jina.errors import BadClientInput, ExecutorError
from jina.observe.metrics import EndpointMetrics
from jina.wire.codec import codec_for
from jina.wire.payloads import BytesPayload

if TYPE_CHECKING:
    from jina.wire.codec import Codec


class ReplyPayload:
    """Documents that a handler gave. `expected` is the codec of the endpoint's output, which is mostly right."""

    __slots__ = ("_bytes", "_codec", "_counted", "_counts", "_json", "docs")

    def __init__(self, docs: Any, expected: Codec, counts: EndpointMetrics) -> None:
        self.docs = docs
        self._counts = counts
        kind = type(next(iter(docs), None))
        self._codec = expected if kind in (expected.doc_type, type(None)) else codec_for(kind)
        self._counted = False
        self._bytes: bytes | None = None
        self._json: bytes | None = None

    def encode(self, *, as_json: bool) -> None:
        """Encode now, on whichever thread this is, in the form in which a face will ask."""
        with _BLAMING_THE_HANDLER:
            if as_json:
                self._json = self._codec.encode_json(self.docs)
            else:
                self._bytes = self._codec.to_bytes(self.docs)

    def __len__(self) -> int:
        return len(self.docs)

    def decode(self, codec: Codec) -> Any:
        """The documents, converted where another class is asked for."""
        if codec is self._codec:
            return codec.list_type.construct(self.docs) if type(self.docs) is list else self.docs
        return BytesPayload(self.to_bytes()).decode(codec)

    def write_proto(self, into: Any) -> None:
        """Append the documents to a `docarray.DocListProto` message."""
        if self._bytes is not None:
            into.MergeFromString(self._bytes)
            return
        with _BLAMING_THE_HANDLER:
            self._codec.encode(self.docs, into)
        self._counts.sent.observe(into.ByteSize())

    def to_bytes(self) -> bytes:
        """The documents as one serialised `docarray.DocListProto`."""
        if self._bytes is None:
            self.encode(as_json=False)
        return self._counting(self._bytes)

    def to_json(self) -> bytes:
        """The documents as one JSON array."""
        if self._json is None:
            self.encode(as_json=True)
        return self._counting(self._json)

    def json_items(self) -> list[bytes]:
        """Each document as JSON of its own."""
        with _BLAMING_THE_HANDLER:
            items = [self._codec.encode_json_doc(doc) for doc in self.docs]
        self._counts.sent.observe(sum(map(len, items)))
        return items

    def _counting(self, data: bytes | None) -> bytes:
        assert data is not None
        if not self._counted:
            self._counted = True
            self._counts.sent.observe(len(data))
        return data


class _BlamingTheHandler:
    """Turns the codec's complaint about documents that have no place on the wire into one about who made them."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, BadClientInput):
            raise ExecutorError(
                f"the handler's documents cannot be sent: {error.message}", name="ValueError"
            ) from error


_BLAMING_THE_HANDLER = _BlamingTheHandler()
