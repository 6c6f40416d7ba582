"""The JSON half of a codec: parsed objects -> documents, documents -> JSON text.

The form is that of Jina 3's HTTP bodies, see `json_text`: all fields with nulls, nested documents as objects. A field
that is absent gets its default (an id is generated); unknown fields are dropped as pydantic does, schemaless
documents keep them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from docarray import DocList
from docarray.array.any_array import AnyDocArray
from docarray.base_doc.doc import BaseDocWithoutId
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from jina.errors import BadClientInput
from jina.wire import builder, schemaless
from jina.wire.builder import Location, NeedsPydantic
from jina.wire.json_readers import JsonReaderCompiler, Reader, read_each
from jina.wire.json_text import dumps
from jina.wire.loose import Invalid, Mismatch
from jina.wire.tensors import array_of
from jina.wire.writers import fields_of

_lock = threading.RLock()
_codecs: dict[type, JsonCodec] = {}


def json_codec_for(doc_type: type) -> JsonCodec:
    """The JSON codec of a document class; the same object each time."""
    codec = _codecs.get(doc_type)
    if codec is None:
        with _lock:
            codec = _codecs.setdefault(doc_type, JsonCodec(doc_type))
    return codec


class JsonCodec:
    """Converts documents of one class; made by `json_codec_for`."""

    def __init__(self, doc_type: type[BaseDocWithoutId]) -> None:
        self.doc_type = doc_type
        self.list_type: Any = schemaless.list_type() if schemaless.is_schemaless(doc_type) else DocList[doc_type]  # type: ignore[valid-type]
        self.read_json: Callable[[Any], Any] = self._compile_and_read
        self._readers: dict[str, Reader] = {}
        self._looseners: dict[str, Reader] = {}
        self._tacit_nones: frozenset[str] = frozenset()

    def decode(self, items: Sequence[Any], location: Location = (), *, indexed: bool = True) -> Any:
        """Documents from parsed JSON objects, as a `DocList` of the class.

        Raises `ValidationFailed` if they do not fit; its places start with `location` and, if `indexed`, the index.
        """
        read = self.read_json
        docs: list[Any] = []
        try:
            for item in items:
                docs.append(read(item))  # noqa: PERF401 - the length tells which one failed
        except (Mismatch, Invalid):
            for number, item in enumerate(items[len(docs) :], len(docs)):
                docs.append(self._decode_slowly(item, (*location, number) if indexed else location))
        return self.list_type.construct(docs)

    def _decode_slowly(self, item: Any, location: Location) -> Any:
        try:
            try:
                return self.read_json(item)
            except Mismatch:
                return builder.validate(self.doc_type, self.loosen(item), location)
        except Invalid as error:
            raise builder.invalid(error, self.doc_type.__name__, location) from None

    def loosen(self, item: Any) -> Any:
        """The values of a document as far as they are readable, the others as they are; raises `Invalid`."""
        if not isinstance(item, dict):
            return item
        self._compiled()
        values = {name: value for name, value in item.items() if value is not None or name not in self._tacit_nones}
        for name, read in self._readers.items():
            if name not in values:
                continue
            try:
                values[name] = read(item[name])
            except Mismatch:
                loosen = self._looseners.get(name)
                if loosen is not None:
                    values[name] = self._loosened(name, loosen, item[name])
            except Invalid as error:
                raise error.at(name) from None
        return values

    @staticmethod
    def _loosened(name: str, loosen: Reader, value: Any) -> Any:
        try:
            return loosen(value)
        except Invalid as error:
            raise error.at(name) from None

    def _compile_and_read(self, item: Any) -> Any:
        return self._compiled()(item)

    def _compiled(self) -> Callable[[Any], Any]:
        with _lock:
            if self.read_json == self._compile_and_read:
                self.read_json = self._compile()
        return self.read_json

    def _compile(self) -> Callable[[Any], Any]:
        cls = self.doc_type
        builder.complete(cls)
        compiler = JsonReaderCompiler(json_codec_for)
        if schemaless.is_schemaless(cls):
            annotations = {**builder.annotations_of(cls), **schemaless.plain_annotations()}
            self._readers = {
                name: self._read_nested if name in {"chunks", "matches"} else compiler.compile(annotation)
                for name, annotation in annotations.items()
            }
            return _objects_only(schemaless.json_reader(self._readers))
        annotations = builder.annotations_of(cls)
        names = builder.json_names(cls)
        self._tacit_nones = builder.tacit_nones(cls)
        self._readers = {names.get(name, name): compiler.compile(each) for name, each in annotations.items()}
        loosest = {names.get(name, name): compiler.loosener(each) for name, each in annotations.items()}
        self._looseners = {name: loosen for name, loosen in loosest.items() if loosen is not None}
        if builder.is_plain(cls) and not builder.has_aliases(cls):
            makers = {name: builder.default_maker(field) for name, field in cls.model_fields.items()}
            return _plain_reader(builder.layer(cls), self._readers, makers)
        return self._calling_reader

    def _read_nested(self, value: Any) -> Any:
        if value is None:
            return None
        if type(value) is not list:
            raise Mismatch
        return self.list_type.construct(read_each(self.read_json, value))

    def _calling_reader(self, item: Any) -> Any:
        if type(item) is not dict:
            raise Mismatch
        try:
            return builder.validated(self.doc_type, self.loosen(item))
        except (ValidationError, TypeError, ValueError):
            raise Mismatch from None

    def encode(self, docs: Iterable[Any]) -> bytes:
        """Documents as one JSON array; raises `BadClientInput` for a value that has no form in JSON."""
        return self._dumps([json_fields(doc) for doc in docs])

    def encode_doc(self, doc: Any) -> bytes:
        """One document as a JSON object; raises as `encode`."""
        return self._dumps(json_fields(doc))

    def _dumps(self, value: Any) -> bytes:
        try:
            return dumps(value, _convert)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadClientInput(f"{self.doc_type.__name__}: {error}") from None


def _objects_only(read: Reader) -> Reader:
    def read_object(item: Any) -> Any:
        if type(item) is not dict:
            raise Mismatch
        return read(item)

    return read_object


def _plain_reader(
    lay: Callable[[dict[str, Any], set[str]], Any],
    readers: dict[str, Reader],
    makers: dict[str, Callable[[], Any] | None],
) -> Reader:
    plan = [(name, read, makers[name]) for name, read in readers.items()]

    def read(item: Any) -> Any:
        if type(item) is not dict:
            raise Mismatch
        values: dict[str, Any] = {}
        given: set[str] = set()
        name = ""
        try:
            for name, read_field, make in plan:
                if name in item:
                    values[name] = read_field(item[name])
                    given.add(name)
                elif make is None:
                    raise Mismatch
                else:
                    values[name] = make()
        except NeedsPydantic:
            raise Mismatch from None
        except Invalid as error:
            raise error.at(name) from None
        return lay(values, given)

    return read


_DUMPERS: dict[type, bool] = {}


def json_fields(doc: Any) -> Any:
    """The fields of a document as JSON shows them, values not yet converted."""
    cls = type(doc)
    customised = _DUMPERS.get(cls)
    if customised is None:
        customised = _DUMPERS[cls] = builder.has_own_serialisation(cls)
    if customised:
        return _model_dump(doc)
    return fields_of(doc)


def _model_dump(doc: Any) -> Any:
    try:
        return doc.model_dump(mode="json", by_alias=True, warnings=False)
    except (PydanticSerializationError, UnicodeDecodeError):
        return doc.model_dump(by_alias=True, warnings=False)


def _convert(value: Any) -> Any:
    """What `json_text` does not know by itself; raises TypeError."""
    if isinstance(value, BaseDocWithoutId):
        return json_fields(value)
    if isinstance(value, AnyDocArray):
        return [json_fields(doc) for doc in value]
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, warnings=False)
    if hasattr(value, "_docarray_to_ndarray") or hasattr(value, "detach"):
        return array_of(value).tolist()
    from jina.wire.json_text import jsonable

    return jsonable(value)
