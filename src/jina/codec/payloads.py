"""Documents in the form they came in, converted only when another is asked for.

None of these loads docarray before `decode`: a gateway forwards and merges without a document class.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
from google.protobuf.message import DecodeError

from jina.codec import pb
from jina.codec.json_text import dumps, loads
from jina.codec.messages import HeldPayload
from jina.documents import uploads
from jina.errors import BadRequest, TooLarge

if TYPE_CHECKING:
    from jina.codec.messages import DocumentCodec, Payload

_slices = msgspec.json.Decoder(list[msgspec.Raw]).decode
"""The items of a JSON array as the text that they are."""
_BYTES = (bytes, bytearray, memoryview)
_SHORT = 16 * 1024
"""Bytes of JSON whose parsed documents may wait in memory."""


class ProtoPayload(HeldPayload):
    """Documents as a parsed `docarray.DocListProto`; `size` is in bytes, where it is known."""

    __slots__ = ("message", "size")

    def __init__(self, message: pb.DocListProto, size: int | None = None) -> None:
        self.message = message
        self.size = size

    def __len__(self) -> int:
        return len(self.message.docs)

    def decode(self, codec: DocumentCodec) -> Any:
        """See `messages.Payload`."""
        return codec.decode(self.message)

    def write_proto(self, into: pb.DocListProto) -> None:
        """See `messages.Payload`."""
        into.docs.extend(self.message.docs)

    def to_bytes(self) -> bytes:
        """See `messages.Payload`."""
        return self.message.SerializeToString()

    def to_json(self) -> bytes:
        """See `messages.Payload`."""
        from jina.codec import plain_json

        return plain_json.docs_to_json(self.message)

    def json_items(self) -> list[bytes]:
        """See `messages.Payload`."""
        from jina.codec import plain_json

        return [plain_json.doc_to_json(doc) for doc in self.message.docs]


class BytesPayload(HeldPayload):
    """Documents as one serialised `docarray.DocListProto`, not looked into; large ones may be a view."""

    __slots__ = ("_parsed", "data")

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = data
        self._parsed: ProtoPayload | None = None

    @property
    def _content(self) -> bytes:
        """What protobuf reads from bytes and from views alike, though it promises only the former."""
        return cast("bytes", self.data)

    def __len__(self) -> int:
        try:
            return len(pb.DocListEnvelopeProto.FromString(self._content).docs)
        except DecodeError as error:
            raise _garbled(error) from None

    def parsed(self) -> ProtoPayload:
        """The same documents parsed, once; raises `BadRequest` when the bytes are garbled."""
        if self._parsed is None:
            try:
                self._parsed = ProtoPayload(pb.DocListProto.FromString(self._content))
            except DecodeError as error:
                raise _garbled(error) from None
        return self._parsed

    def decode(self, codec: DocumentCodec) -> Any:
        """See `messages.Payload`."""
        return codec.from_bytes(self.data) if self._parsed is None else self._parsed.decode(codec)

    def write_proto(self, into: pb.DocListProto) -> None:
        """See `messages.Payload`."""
        try:
            into.MergeFromString(self._content)
        except DecodeError as error:
            raise _garbled(error) from None

    def to_bytes(self) -> bytes:
        """See `messages.Payload`."""
        return self.data if isinstance(self.data, bytes) else bytes(self.data)

    def to_buffer(self) -> bytes | memoryview:
        """See `messages.Payload`."""
        return self.data

    def to_json(self) -> bytes:
        """See `messages.Payload`."""
        return self.parsed().to_json()

    def json_items(self) -> list[bytes]:
        """See `messages.Payload`."""
        return self.parsed().json_items()


class FilePayload(HeldPayload):
    """Documents as one serialised `docarray.DocListProto` with files that are named only.

    `uploads` are the names. Those who get them in another form get the contents.
    """

    __slots__ = ("data", "uploads")

    def __init__(self, data: bytes | memoryview, uploads: Sequence[str]) -> None:
        self.data = data
        self.uploads = tuple(uploads)

    def __len__(self) -> int:
        return len(BytesPayload(self.data))

    def decode(self, codec: DocumentCodec) -> Any:
        """See `messages.Payload`."""
        return codec.from_bytes(self.data)

    def write_proto(self, into: pb.DocListProto) -> None:
        """See `messages.Payload`; raises `TooLarge` for more than a message should hold."""
        into.MergeFrom(self._filled())

    def to_bytes(self) -> bytes:
        """See `messages.Payload`; raises as `write_proto`."""
        return self._filled().SerializeToString()

    def to_buffer(self) -> bytes | memoryview:
        """See `messages.Payload`."""
        return self.data

    def to_json(self) -> bytes:
        """See `messages.Payload`; raises as `write_proto`."""
        return ProtoPayload(self._filled()).to_json()

    def json_items(self) -> list[bytes]:
        """See `messages.Payload`; raises as `write_proto`."""
        return ProtoPayload(self._filled()).json_items()

    def _filled(self) -> pb.DocListProto:
        from jina.documents.files import MOST_IN_JSON

        size = sum(os.path.getsize(uploads.path_of(name)) for name in self.uploads)
        if size > MOST_IN_JSON:
            raise TooLarge(
                f"the files have {size} bytes: more than {MOST_IN_JSON} go to no Executor on another machine",
                help="run the Executor on the machine of the server, or send the address of the file instead",
            )
        message = BytesPayload(self.data).parsed().message
        known = set(self.uploads)
        for doc in message.docs:
            _fill(doc.data, known)
        return message


def _fill(data: Any, known: set[str]) -> None:
    """Put the contents of files in the place of their names, in a map of nodes and all that is in it."""
    if "upload" in data and (name := data["upload"].text) in known:
        del data["upload"]
        with open(uploads.path_of(name), "rb") as file:
            data["data"].blob = file.read()
        return
    for key in list(data):
        _fill_node(data[key], known)


def _fill_node(node: pb.NodeProto, known: set[str]) -> None:
    match node.WhichOneof("content"):
        case "doc":
            _fill(node.doc.data, known)
        case "dict":
            _fill(node.dict.data, known)
        case "doc_array":
            for doc in node.doc_array.docs:
                _fill(doc.data, known)
        case "list" | "set" | "tuple" as kind:
            for item in getattr(node, kind).data:
                _fill_node(item, known)
        case _:
            pass


class JsonPayload(HeldPayload):
    """Documents as JSON: one raw array (or one raw object), or parsed objects.

    Errors of `decode` name places such as `["body", "data", 0, "text"]`: `location` is what stands before the index.
    With `single`, the documents came as one object, and places have no index.
    """

    __slots__ = ("_items", "location", "single", "text")

    def __init__(
        self,
        documents: bytes | Sequence[Any],
        *,
        location: tuple[str | int, ...] = ("body", "data"),
        single: bool = False,
    ) -> None:
        self.text: bytes | None = None
        """The JSON that it is; None where it was parsed already."""
        self._items: list[Any] | None = None
        self.location = location
        self.single = single
        if isinstance(documents, _BYTES):
            self.text = text = bytes(documents)
            self.single = single or text[:1] == b"{"
        else:
            self._items = list(documents)

    def again(self) -> JsonPayload:
        """The same documents, for another reader."""
        found = self._items if self.text is None else self.text
        return JsonPayload(found or b"", location=self.location, single=self.single)

    def may_wrap(self, key: str) -> bool:
        """Whether this is one object that begins with the key."""
        if self.text is None:
            return self.single and next(iter(self.items()[0]), None) == key
        return self.text[:1] == b"{" and self.text[1:64].lstrip().startswith(f'"{key}"'.encode())

    def unwrapped(self, key: str) -> JsonPayload:
        """The documents in the list at `key`, where nothing stands beside it; else the payload itself."""
        items = self.items()
        if not self.single or items[0].keys() != {key} or not isinstance(items[0][key], list):
            return self
        return JsonPayload(items[0][key], location=(*self.location, key))

    def items(self) -> list[Any]:
        """The parsed documents; raises `BadRequest` when the bytes are no JSON array of objects."""
        if self._items is None:
            self._items = self._parsed()
        return self._items

    def _parsed(self) -> list[Any]:
        parsed = loads(self.text or b"")
        if isinstance(parsed, dict):
            self.single = True
            parsed = [parsed]
        if not isinstance(parsed, list):
            raise BadRequest("the documents are neither a JSON array nor an object")
        return parsed

    def __len__(self) -> int:
        text = self.text
        # A short text is parsed at once, for `decode` as well.
        slices = self._sliced() if self._items is None and text is not None and len(text) > _SHORT else None
        return len(self.items() if slices is None else slices)

    def decode(self, codec: DocumentCodec) -> Any:
        """See `messages.Payload`."""
        if self._items is None and codec.reads_text:
            return self._decoded_text(codec)
        items = self._parsed() if self._items is None else self._items
        if self.text is not None:
            # Parsed numbers are several times the text: freed where they were made, not when the request ends.
            self._items = None
        return codec.decode_json(items, location=self.location, indexed=not self.single)

    def _decoded_text(self, codec: Any) -> Any:
        """What a codec that reads JSON by itself makes of the text."""
        text = self.text or b""
        return codec.decode_text(text, self.location, indexed=not self.single)

    def write_proto(self, into: pb.DocListProto) -> None:
        """See `messages.Payload`; without a schema, arrays of numbers travel as lists."""
        from jina.codec import plain_json

        plain_json.json_to_docs(self.items(), into)

    def to_bytes(self) -> bytes:
        """See `messages.Payload`."""
        message = pb.DocListProto()
        self.write_proto(message)
        return message.SerializeToString()

    def to_json(self) -> bytes:
        """See `messages.Payload`."""
        array = self._array()
        return b"[" + b",".join(self.json_items()) + b"]" if array is None else array

    def json_items(self) -> list[bytes]:
        """See `messages.Payload`; each stands on one line."""
        if (slices := self._sliced()) is not None:
            return [bytes(item) for item in slices]
        return [dumps(item) for item in self.items()]

    def _array(self) -> bytes | None:
        """The raw text as an array, not looked into; None where there is no text, or other text."""
        raw = self.text
        if raw is None:
            return None
        start = raw[:64].lstrip()[:1]
        return raw if start == b"[" else b"[" + raw + b"]" if start == b"{" else None

    def _sliced(self) -> list[msgspec.Raw] | None:
        """The documents as the text that they are; None where that takes a more lenient reader (NaN, garbled text)."""
        array = self._array()
        if array is None:
            return None
        try:
            return _slices(msgspec.json.format(array, indent=-1) if b"\n" in array or b"\r" in array else array)
        except msgspec.DecodeError:
            return None


class DocsPayload(HeldPayload):
    """Documents as objects, with the codec of their class."""

    __slots__ = ("codec", "docs")

    def __init__(self, docs: Any, codec: DocumentCodec) -> None:
        self.docs = docs
        self.codec = codec

    def __len__(self) -> int:
        return len(self.docs)

    def decode(self, codec: DocumentCodec) -> Any:
        """The documents themselves when they are of the codec's class, else through bytes."""
        if codec is self.codec:
            return self.docs
        message = pb.DocListProto()
        self.write_proto(message)
        return codec.decode(message)

    def write_proto(self, into: pb.DocListProto) -> None:
        """See `messages.Payload`; raises `BadClientInput` naming the field that has no place on the wire."""
        self.codec.encode(self.docs, into)

    def to_bytes(self) -> bytes:
        """See `messages.Payload`."""
        return self.codec.to_bytes(self.docs)

    def to_json(self) -> bytes:
        """See `messages.Payload`."""
        return self.codec.encode_json(self.docs)

    def json_items(self) -> list[bytes]:
        """See `messages.Payload`."""
        return [self.codec.encode_json_doc(doc) for doc in self.docs]

    def objects(self) -> Iterable[Any]:
        """See `messages.Payload`."""
        return self.docs  # type: ignore[no-any-return]


def _garbled(error: DecodeError) -> BadRequest:
    return BadRequest(f"the documents are not a docarray.DocListProto: {error}")


def size_of(payload: Payload) -> int:
    """Bytes of the documents as they came in; 0 where they did not come as bytes."""
    if type(payload) is BytesPayload or type(payload) is FilePayload:
        return len(payload.data)
    if type(payload) is JsonPayload:
        return len(payload.text or b"")
    if type(payload) is ProtoPayload:
        return payload.message.ByteSize() if payload.size is None else payload.size
    return 0
