"""The compiled codec: documents of one class <-> protobuf messages and JSON.

`codec_for(cls)` compiles, once per class, how each field is read; values are written by their own class. Both
directions mean exactly what DocArray's `to_protobuf` and `from_protobuf` mean, at about a fiftieth of the cost.
Where DocArray cannot (`datetime`, `UUID`, unions of documents, ...), `writers` tells what travels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from docarray.base_doc.doc import BaseDocWithoutId
from google.protobuf.message import DecodeError
from pydantic import ValidationError

from jina.codec import pb
from jina.codec.compiler import (
    Invalid,
    Location,
    Mismatch,
    NeedsPydantic,
    annotations_of,
    complete,
    default_maker,
    invalid,
    is_plain,
    is_schemaless,
    json_names,
    layer,
    message_reader,
    plain_annotations,
    read_untyped,
    tacit_nones,
    validate,
    validated,
)
from jina.codec.json import json_codec_for
from jina.codec.large_values import has_large_documents, has_large_values, read_docs_bytes, write_docs_bytes
from jina.codec.protobuf import Reader, ReaderCompiler, Unwritable, write_doc, write_docs
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
        raise ConfigError(f"{doc_type!r} is no document class: make it a subclass of docarray.BaseDoc")
    with _lock:
        return _codecs.setdefault(doc_type, Codec(doc_type))


class Codec:
    """Converts documents of one class; made by `codec_for`."""

    def __init__(self, doc_type: type[BaseDocWithoutId]) -> None:
        self.doc_type = doc_type
        self.json = json_codec_for(doc_type)
        self.list_type: Any = self.json.list_type
        self.read_doc: Callable[[Any], Any] = self._compile_and_read
        self._readers: dict[str, Reader] = {}
        self._json_names: dict[str, str] = {}
        self._tacit_nones: frozenset[str] = frozenset()

    def decode(self, message: pb.DocListProto, location: Location = ()) -> Any:
        """The documents of a message as a `DocList` of the class.

        Raises `ValidationFailed`, whose places start with `location` and the index, if they do not fit.
        """
        read = self.read_doc
        docs: list[Any] = []
        try:
            for doc in message.docs:
                docs.append(read(doc))  # noqa: PERF401 - the length tells which one failed
        except (Mismatch, Invalid):
            rest = message.docs[len(docs) :]
            docs.extend(self.decode_doc(doc, (*location, number)) for number, doc in enumerate(rest, len(docs)))
        return self.list_type.construct(docs)

    def decode_doc(self, message: pb.DocProto, location: Location = ()) -> Any:
        """One document; raises `ValidationFailed` if it does not fit."""
        try:
            try:
                return self.read_doc(message)
            except Mismatch:
                return validate(self.doc_type, self.untyped(message), location)
        except Invalid as error:
            raise invalid(error, self.doc_type.__name__, location) from None

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
            raise BadRequest(f"the documents are no docarray.DocListProto: {error}") from None
        return self.decode(message)

    def to_bytes(self, docs: Any) -> bytes:
        """The documents of a list as one serialised `docarray.DocListProto`; raises as `encode`."""
        if has_large_values(docs):
            try:
                return write_docs_bytes(docs)
            except (Unwritable, RecursionError) as error:
                raise self._unwritable(error) from None
        message = pb.DocListProto()
        self.encode(docs, message)
        return message.SerializeToString()

    def decode_json(self, items: Sequence[Any], location: Location = (), *, indexed: bool = True) -> Any:
        """Documents from parsed JSON objects, see `JsonCodec.decode`."""
        return self.json.decode(items, location, indexed=indexed)

    def encode_json(self, docs: Iterable[Any]) -> bytes:
        """Documents as one JSON array, see `JsonCodec.encode`."""
        return self.json.encode(docs)

    def encode_json_doc(self, doc: Any) -> bytes:
        """One document as a JSON object."""
        return self.json.encode_doc(doc)

    def untyped(self, message: pb.DocProto) -> dict[str, Any]:
        """The fields as their annotations say, or where they do not fit as the wire says, for pydantic to judge.

        Names are those of JSON.

        Raises `Invalid` for what pydantic must not see.
        """
        self._compiled()
        data = message.data
        keep_all = bool(self.doc_type.model_config.get("_load_extra_fields_from_protobuf"))
        values: dict[str, Any] = {}
        for name in data if keep_all else [name for name in self._readers if name in data]:
            read = self._readers.get(name)
            try:
                values[self._json_names.get(name, name)] = self._read_or_untyped(read, data[name])
            except Invalid as error:
                raise error.at(name) from None
        for name in self._tacit_nones:
            if name in values and values[name] is None:
                del values[name]
        return values

    def field_reader(self, name: str) -> Reader:
        """What reads one field, without pydantic where it does not fit; raises `Invalid` for what is of no use."""
        self._compiled()
        read = self._readers.get(name)
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

    def _compile_and_read(self, message: pb.DocProto) -> Any:
        return self._compiled()(message)

    def _compiled(self) -> Callable[[Any], Any]:
        with _lock:
            if self.read_doc == self._compile_and_read:
                self.read_doc = self._compile()
        return self.read_doc

    def _compile(self) -> Callable[[Any], Any]:
        cls = self.doc_type
        complete(cls)
        self._json_names = json_names(cls)
        self._tacit_nones = tacit_nones(cls)
        compiler = ReaderCompiler(codec_for)
        annotations = annotations_of(cls)
        if is_schemaless(cls):
            annotations.update(plain_annotations())
            nested = compiler.optional_documents(self)
            self._readers = {
                name: nested if name in {"chunks", "matches"} else compiler.compile(annotation)
                for name, annotation in annotations.items()
            }
            return message_reader(self._readers)
        self._readers = {name: compiler.compile(annotation) for name, annotation in annotations.items()}
        if is_plain(cls):
            makers = {name: default_maker(field) for name, field in cls.model_fields.items()}
            return _plain_reader(layer(cls), self._readers, makers)
        return self._call

    def _call(self, message: pb.DocProto) -> Any:
        try:
            return validated(self.doc_type, self.untyped(message))
        except (ValidationError, TypeError, ValueError):
            raise Mismatch from None


def _plain_reader(
    lay: Callable[[dict[str, Any], set[str]], Any],
    readers: dict[str, Reader],
    makers: dict[str, Callable[[], Any] | None],
) -> Callable[[Any], Any]:
    plan = [(name, read, makers[name]) for name, read in readers.items()]
    every = frozenset(readers)

    def read(message: pb.DocProto) -> Any:
        data = message.data
        values: dict[str, Any] = {}
        absent: list[str] = []
        name = ""
        try:
            for name, read_field, make in plan:
                if name in data:
                    values[name] = read_field(data[name])
                elif make is None:
                    raise Mismatch
                else:
                    values[name] = make()
                    absent.append(name)
        except NeedsPydantic:
            raise Mismatch from None
        except Invalid as error:
            raise error.at(name) from None
        given = set(every)
        given.difference_update(absent)
        return lay(values, given)

    return read
