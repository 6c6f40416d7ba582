"""The compiled codec: documents of one class <-> protobuf messages and JSON.

`codec_for(cls)` compiles, once per class, how each field is read; values are written by their own class. Both
directions mean exactly what DocArray's `to_protobuf` and `from_protobuf` mean, at about a fiftieth of the cost.
Where DocArray cannot (`datetime`, `UUID`, unions of documents, ...), `writers` tells what travels.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, cast

from docarray.base_doc.doc import BaseDocWithoutId
from google.protobuf.message import DecodeError

from jina.codec import pb
from jina.codec.compiler import (
    DocumentReader,
    Invalid,
    Location,
    Mismatch,
    Reader,
    is_document,
    message_reader,
    read_untyped,
)
from jina.codec.json import json_codec_for
from jina.codec.large_values import has_large_documents, read_docs_bytes, write_docs_bytes
from jina.codec.protobuf import Unwritable, node_compiler, write_doc, write_docs
from jina.codec.records import RecordCodec, read_documents_by, record_codec_for
from jina.documents.records import is_file
from jina.errors import BadClientInput, BadRequest, ConfigError

_lock = threading.RLock()
_codecs: dict[type, Codec] = {}


def codec_for(doc_type: type) -> Codec:
    """The codec of a document class; the same object each time.

    Raises `ConfigError` when `doc_type` is not a document class.
    """
    codec = _codecs.get(doc_type)
    if codec is not None:
        return codec
    if not (isinstance(doc_type, type) and issubclass(doc_type, BaseDocWithoutId)):
        raise ConfigError(f"{doc_type!r} is not a document class: make it a subclass of docarray.BaseDoc")
    with _lock:
        return _codecs.setdefault(doc_type, Codec(doc_type))


read_documents_by(codec_for)


def codec_of(annotation: Any) -> Codec | RecordCodec:
    """The codec of a document class, or of any other type as `jina.documents.records` has it."""
    return _codec_of_class(annotation) if isinstance(annotation, type) else record_codec_for(annotation)


@lru_cache(maxsize=1000)
def _codec_of_class(cls: type) -> Codec | RecordCodec:
    return record_codec_for(cls) if is_file(cls) or not is_document(cls) else codec_for(cls)


class Codec(DocumentReader):
    """Converts documents of one class; made by `codec_for`."""

    compiler = node_compiler(codec_for)
    is_plain = False
    is_value = False
    reads_text = False

    def __init__(self, doc_type: type[BaseDocWithoutId]) -> None:
        super().__init__(doc_type)
        self.json = json_codec_for(doc_type)
        self.decode_json = self.json.decode_items
        """Documents from parsed JSON objects, see `DocumentReader.decode_items`."""

    def decode(self, message: pb.DocListProto, location: Location = ()) -> Any:
        """The documents of a message as a `DocList` of the class.

        Raises `ValidationFailed`, whose places start with `location` and the index, if they do not fit.
        """
        return self.decode_items(message.docs, location)

    def encode(self, docs: Iterable[Any], into: pb.DocListProto) -> None:
        """Append documents to a message; raises `BadClientInput` naming the field that has no place on the wire."""
        try:
            write_docs(docs, into)
        except (Unwritable, RecursionError) as error:
            raise self._unwritable(error) from None

    def encode_doc(self, doc: Any, into: pb.DocProto) -> None:
        """Write one document; raises as `encode`."""
        try:
            write_doc(doc, into)
        except (Unwritable, RecursionError) as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: Unwritable | RecursionError) -> BadClientInput:
        if isinstance(error, Unwritable):
            return error.public(self.doc_type.__name__)
        return BadClientInput(f"{self.doc_type.__name__}: nested too deeply; does a document contain itself?")

    def from_bytes(self, data: bytes | memoryview) -> Any:
        """The documents of a serialised `docarray.DocListProto`.

        Raises `BadRequest` when the bytes are no such message and `ValidationFailed` as `decode`.
        """
        if has_large_documents(data) and (docs := read_docs_bytes(self, data)) is not None:
            return docs
        try:
            message = pb.DocListProto.FromString(cast("bytes", data))  # a view is read as well
        except DecodeError as error:
            raise BadRequest(f"the documents are not a docarray.DocListProto: {error}") from None
        return self.decode(message)

    def to_bytes(self, docs: Any) -> bytes:
        """The documents of a list as one serialised `docarray.DocListProto`; raises as `encode`."""
        try:
            return write_docs_bytes(docs)
        except (Unwritable, RecursionError) as error:
            raise self._unwritable(error) from None

    def encode_json(self, docs: Iterable[Any]) -> bytes:
        """Documents as one JSON array, see `JsonCodec.encode`."""
        return self.json.encode(docs)

    def encode_json_doc(self, doc: Any) -> bytes:
        """One document as a JSON object."""
        return self.json.encode_doc(doc)

    def untyped(self, item: pb.DocProto) -> dict[str, Any]:
        """The fields as their annotations say, or where they do not fit as the wire says, for pydantic to judge.

        Names are those of JSON.

        Raises `Invalid` for what pydantic must not see.
        """
        self.compiled()
        data = item.data
        keep_all = bool(self.doc_type.model_config.get("_load_extra_fields_from_protobuf"))
        values: dict[str, Any] = {}
        for name in data if keep_all else [name for name in self.readers if name in data]:
            read = self.readers.get(name)
            try:
                values[self.json_names.get(name, name)] = self._read_or_untyped(read, data[name])
            except Invalid as error:
                raise error.at(name) from None
        for name in self.tacit_nones:
            if name in values and values[name] is None:
                del values[name]
        return values

    def field_reader(self, name: str) -> Reader:
        """What reads one field, without pydantic where it does not fit; raises `Invalid` for what is of no use."""
        self.compiled()
        read = self.readers.get(name)
        return lambda node: self._read_or_untyped(read, node)

    @staticmethod
    def _read_or_untyped(read: Reader | None, node: pb.NodeProto) -> Any:
        try:
            if read is not None:
                return read(node)
        except Mismatch:
            pass
        try:
            return read_untyped(node)
        except (ValueError, TypeError) as error:
            raise Invalid(str(error)) from None

    def schemaless_reader(self) -> Reader:
        """What reads a document without a schema by `readers`."""
        return message_reader(self.readers)
