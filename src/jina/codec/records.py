"""The codec of plain classes (`jina.documents.records`): pydantic models, dataclasses, TypedDicts, Structs, and values.

What stands in JSON is what pydantic or msgspec reads and writes there. On the wire a record is a document whose fields
have the names of JSON; nested records are dicts. A value, which has no fields, is a document with the field `value`.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import threading
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
import numpy as np
from google.protobuf.message import DecodeError
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from jina.codec import pb
from jina.codec.compiler import (
    DocumentReader,
    Invalid,
    Location,
    Mismatch,
    Reader,
    ReaderCompiler,
    annotations_of,
    failed,
    failure,
    hashable,
    invalid,
    is_laid_out,
    laid_out_reader,
    read_untyped,
)
from jina.codec.json import JSON_COMPILER, json_value
from jina.codec.json_text import BASE64_PREFIX, bytes_to_url, dumps, loads, text_to_bytes
from jina.codec.large_values import has_large_documents, read_docs_bytes, write_docs_bytes
from jina.codec.protobuf import Unwritable, cached_names, node_compiler, write_mapping
from jina.codec.tensors import BadTensor, array_from_json
from jina.documents.records import (
    VALUE,
    adapter,
    fields_of_record,
    is_document_class,
    is_file,
    is_record,
    is_struct,
    stripped,
    type_name,
)
from jina.errors import BadClientInput, BadRequest, ValidationFailed

_lock = threading.RLock()
_codecs: dict[Any, RecordCodec] = {}


class PlainList:
    """What makes the lists of records: they are plain ones."""

    @staticmethod
    def construct(values: list[Any]) -> list[Any]:
        """The same list."""
        return values


def record_codec_for(annotation: Any) -> RecordCodec:
    """The codec of a plain class or of another type; the same object each time where the type can be a key."""
    if not hashable(annotation):
        return RecordCodec(annotation)
    key = (annotation, typing.get_args(annotation))  # `1` and `True` are the same key in Literals
    codec = _codecs.get(key)
    if codec is None:
        with _lock:
            codec = _codecs.setdefault(key, RecordCodec(annotation))
    return codec


class RecordCodec:
    """Converts records of one class, or values of one type; made by `record_codec_for`."""

    list_type: Any = PlainList
    is_plain = True
    reads_text = True
    """JSON is read from its text rather than from parsed objects."""

    def __init__(self, annotation: Any) -> None:
        self.doc_type = annotation
        self.name = type_name(annotation)
        self.is_value = not is_record(annotation)
        self.form = _form_of(annotation)
        self.json = self
        self.read_doc: Callable[[Any], Any] = self._compile_and_read
        """Read one `docarray.DocProto`; raises `Mismatch` or `Invalid`."""
        self.readers: dict[str, Reader] = {}

    # --- protobuf -----------------------------------------------------------------------------------------------

    def decode(self, message: pb.DocListProto, location: Location = ()) -> list[Any]:
        """The records of a message; raises `ValidationFailed`, whose places start with `location` and the index."""
        read = self.read_doc
        docs: list[Any] = []
        try:
            for item in message.docs:
                docs.append(read(item))  # noqa: PERF401 - the length tells which one failed
        except (Mismatch, Invalid):
            for number, item in enumerate(message.docs[len(docs) :], len(docs)):
                docs.append(self.decode_doc(item, (*location, number)))
        return docs

    def decode_doc(self, item: pb.DocProto, location: Location = ()) -> Any:
        """One record; raises `ValidationFailed` if it does not fit."""
        try:
            try:
                return self.read_doc(item)
            except Mismatch:
                return self._validated(self._untyped(item), location)
        except Invalid as error:
            raise invalid(error, self.name, location) from None

    def from_bytes(self, data: bytes | memoryview) -> list[Any]:
        """The records of a serialised `docarray.DocListProto`; raises `BadRequest` and as `decode`."""
        if has_large_documents(data) and (docs := read_docs_bytes(self, data)) is not None:
            return cast("list[Any]", docs)
        try:
            message = pb.DocListProto.FromString(cast("bytes", data))
        except DecodeError as error:
            raise BadRequest(f"the documents are not a docarray.DocListProto: {error}") from None
        return self.decode(message)

    def encode(self, docs: Iterable[Any], into: pb.DocListProto) -> None:
        """Append records to a message; raises `BadClientInput` naming the field that has no place on the wire."""
        for number, doc in enumerate(docs):
            try:
                write_mapping(self.form.fields(doc), into.docs.add().data)
            except Unwritable as error:
                error.path.insert(0, str(number))
                raise error.public(self.name) from None
            except (RecursionError, PydanticSerializationError) as error:
                raise self._unwritable(error) from None

    def encode_doc(self, doc: Any, into: pb.DocProto) -> None:
        """Write one record; raises as `encode`."""
        try:
            write_mapping(self.form.fields(doc), into.data)
        except Unwritable as error:
            raise error.public(self.name) from None
        except (RecursionError, PydanticSerializationError) as error:
            raise self._unwritable(error) from None

    def to_bytes(self, docs: Any) -> bytes:
        """The records as one serialised `docarray.DocListProto`; raises as `encode`."""
        try:
            return write_docs_bytes(docs, self.form.fields)
        except Unwritable as error:
            raise error.public(self.name) from None
        except (RecursionError, PydanticSerializationError) as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: Exception) -> BadClientInput:
        if isinstance(error, RecursionError):
            return BadClientInput(f"{self.name}: nested too deeply; does it contain itself?")
        return BadClientInput(f"{self.name}: {error}")

    def field_reader(self, name: str) -> Reader:
        """What reads one field, without pydantic where it does not fit; raises `Invalid` for what is of no use."""
        read = self.readers.get(name)
        return lambda node: _read_or_untyped(read, node)

    def untyped(self, item: pb.DocProto) -> dict[str, Any]:
        """The fields as their types say, or where they do not fit as the wire says."""
        values: dict[str, Any] = {}
        data = self.form.data_of(item)
        for name in data:
            try:
                values[name] = _read_or_untyped(self.readers.get(name), data[name])
            except Invalid as error:
                raise error.at(name) from None
        return values

    def _untyped(self, item: pb.DocProto) -> Any:
        self.compiled()
        return self.form.from_wire(self.untyped(item))

    def compiled(self) -> Reader:
        """`read_doc`, with all readers compiled."""
        with _lock:
            if self.read_doc == self._compile_and_read:
                self.readers = self.form.readers(_NODES)
                data_of = self.form.data_of
                self.read_doc = self.form.reader(self.readers, data_of, self.untyped)
        return self.read_doc

    def _compile_and_read(self, item: Any) -> Any:
        return self.compiled()(item)

    # --- JSON ---------------------------------------------------------------------------------------------------

    def decode_text(self, text: bytes, location: Location = (), *, indexed: bool = True) -> list[Any]:
        """Records from JSON text, an array of objects, or one object where not `indexed`.

        Raises `BadRequest` for what is no JSON, `ValidationFailed` as `decode`.
        """
        if not self.form.reads_json or (b'"tags"' in text and not self.form.has_tags):
            return self.decode_json(_listed(loads(text), indexed=indexed), location, indexed=indexed)
        try:
            found = self.form.from_json(text, many=indexed)
        except ValidationError as error:
            if any(one["type"] == "json_invalid" for one in error.errors(include_url=False, include_input=False)):
                return self.decode_json(_listed(loads(text), indexed=indexed), location, indexed=indexed)
            return self._without_nones(text, location, error, indexed=indexed)
        except msgspec.ValidationError as error:
            raise _of_msgspec(error, self.name, location) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self.decode_json(_listed(loads(text), indexed=indexed), location, indexed=indexed)
        return cast("list[Any]", found) if indexed else [found]

    def _without_nones(self, text: bytes, location: Location, error: ValidationError, *, indexed: bool) -> list[Any]:
        """Read again without the nulls of fields that are None by default, though their type does not say so."""
        tacit = self.form.tacit_nones
        if not tacit:
            raise failed(error, self.name, location) from None
        items = _listed(loads(text), indexed=indexed)
        return self.decode_json(items, location, indexed=indexed)

    def decode_json(self, items: Sequence[Any], location: Location = (), *, indexed: bool = True) -> list[Any]:
        """Records from parsed JSON objects; raises `ValidationFailed` as `decode`."""
        docs: list[Any] = []
        for number, item in enumerate(items):
            where = (*location, number) if indexed else location
            try:
                if type(item) is dict and TAGS in item and not self.form.has_tags:
                    item = _fields_with_tags(item)  # noqa: PLW2901 - the same document
                docs.append(self._validated(self.form.from_parsed(item), where))
            except Invalid as error:
                raise invalid(error, self.name, where) from None
        return docs

    def _validated(self, value: Any, location: Location) -> Any:
        try:
            return self.form.validate(value)
        except ValidationError as error:
            raise failed(error, self.name, location) from None
        except msgspec.ValidationError as error:
            raise _of_msgspec(error, self.name, location) from None
        except (TypeError, ValueError) as error:
            found = {"type": "value_error", "loc": list(location), "msg": str(error), "input": None}
            raise failure(self.name, [found]) from error

    def encode_json(self, docs: Iterable[Any]) -> bytes:
        """Records as one JSON array; raises `BadClientInput` for a value that cannot be written as JSON."""
        try:
            return self.form.to_json(list(docs))
        except (PydanticSerializationError, TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise BadClientInput(f"{self.name}: {error}") from None

    def encode_json_doc(self, doc: Any) -> bytes:
        """One record as a JSON object."""
        return self.encode_json([doc])[1:-1]


def _listed(parsed: Any, *, indexed: bool) -> list[Any]:
    if not indexed:
        return [parsed]
    if not isinstance(parsed, list):
        raise BadRequest("the documents are neither a JSON array nor an object")
    return parsed


TAGS = "tags"
"""Where schemaless documents, as clients make them of dictionaries, keep the fields that they do not know."""


def _data_reader(*, has_tags: bool, has_value: bool) -> Callable[[Any], Any]:
    """What gives the fields of a document to a class that has fields of those names, or has none."""
    read = _data_of if has_tags else _data_with_tags
    if has_value:
        return read

    def from_value(item: Any) -> Any:
        """The fields; of a value that is an object, as a step gives it that does not say its class, those of it."""
        data = item.data
        if len(data) == 1 and VALUE in data and data[VALUE].WhichOneof("content") == "dict":
            return data[VALUE].dict.data
        return read(item)

    return from_value


def _data_of(item: Any) -> Any:
    return item.data


def _data_with_tags(item: Any) -> Any:
    """The fields of a document; of a schemaless one those that it has, the ones in its tags among them."""
    data = item.data
    if TAGS not in data or "id" not in data or data[TAGS].WhichOneof("content") != "dict":
        return data
    tags = data[TAGS].dict.data
    given = {name: data[name] for name in data if name != TAGS and data[name].WhichOneof("content") is not None}
    return {**{name: tags[name] for name in tags}, **given}


def _fields_with_tags(item: dict[str, Any]) -> dict[str, Any]:
    """The same of parsed JSON."""
    tags = item[TAGS]
    if "id" not in item or not isinstance(tags, dict):
        return item
    return {**tags, **{name: value for name, value in item.items() if name != TAGS and value is not None}}


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


def _of_msgspec(error: msgspec.ValidationError, owner: str, location: Location) -> ValidationFailed:
    """Our error for msgspec's, which tells the place at the end of its text: ``... - at `$[0].name` ``."""
    message, _, place = str(error).rpartition(" - at `$")
    steps: list[str | int] = []
    for part in place.removesuffix("`").replace("[", ".[").split("."):
        if part.startswith("["):
            inner = part[1:-1]
            steps.append(int(inner) if inner.isdigit() else inner)
        elif part:
            steps.append(part)
    found = {"type": "msgspec", "loc": [*location, *steps], "msg": message or str(error), "input": None}
    return failure(owner, [found])


# --- the compilers ----------------------------------------------------------------------------------------------


def _read_array(node: pb.NodeProto) -> Any:
    value = read_untyped(node)
    return _as_array(value)


def _as_array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.view(np.ndarray)
    try:
        return array_from_json(value)
    except (BadTensor, ValueError, TypeError) as error:
        raise Invalid(str(error), value) from None


def _json_bytes(value: Any) -> Any:
    """Bytes of a data URL; text is none, as nobody could tell it from base64."""
    if type(value) is not str:
        raise Mismatch
    if value[:5].lower() == "data:" and ";base64," in value[:200]:
        return text_to_bytes(value)
    raise Invalid(
        f"bytes come in JSON as a data URL, {BASE64_PREFIX}..., so that base64 is not taken for text;"
        " declare the field pydantic.Base64Bytes where it is base64 alone",
        value,
    )


def _node_bytes(node: pb.NodeProto) -> Any:
    kind = node.WhichOneof("content")
    if kind == "text":  # of a JSON request that passed a process without the class
        return _json_bytes(node.text)
    if kind != "blob":
        raise Mismatch
    return node.blob


def _nested_node(annotation: Any) -> Reader:
    codec = record_codec_for(annotation)

    def read(node: pb.NodeProto) -> Any:
        kind = node.WhichOneof("content")
        if kind not in {"dict", "doc"}:
            raise Mismatch
        return codec.read_doc(getattr(node, kind))

    return read


def _nested_json(annotation: Any) -> Reader:
    form = record_codec_for(annotation).form
    return form.from_json_fields


def read_documents_by(codec_for: Callable[[type], DocumentReader]) -> None:
    """Tell what gives the codecs of documents in records."""
    _document_codecs.append(codec_for)


_document_codecs: list[Callable[[type], DocumentReader]] = []


def _document_codec(doc_type: type) -> DocumentReader:
    return _document_codecs[0](doc_type)


_NODES = node_compiler(_document_codec)
_NODES = _NODES._replace(scalars={**_NODES.scalars, bytes: _node_bytes}, record=_nested_node, array=_read_array)
_JSON = JSON_COMPILER._replace(
    scalars={**JSON_COMPILER.scalars, bytes: _json_bytes}, record=_nested_json, array=_as_array
)


# --- the forms --------------------------------------------------------------------------------------------------


class _Form:
    """How records of one kind of class are read and written; `annotation` is the class."""

    tacit_nones: frozenset[str] = frozenset()

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self.is_rich = _holds(annotation, _is_rich, set())
        """It has bytes, arrays or documents somewhere, which pydantic does not write in JSON as we do."""
        names = {field.name for field in fields_of_record(annotation)} if is_record(annotation) else {VALUE}
        self.has_tags = TAGS in names
        """It has a field `tags` of its own."""
        self.data_of = _data_reader(has_tags=self.has_tags, has_value=VALUE in names)
        """The fields of a document by name."""
        self.reads_json = not self.is_rich
        """Whether `from_json` reads JSON text."""
        self._json_reader: Reader | None = None

    def from_json(self, text: bytes, *, many: bool) -> Any:
        """The record, or the list of records, in JSON text."""
        return adapter(list[self.annotation] if many else self.annotation).validate_json(text)  # type: ignore[name-defined]

    def from_parsed(self, item: Any) -> Any:
        """Parsed JSON, as `validate` takes it; raises `Invalid`."""
        if not self.is_rich:
            return item
        try:
            return self.from_json_fields(item)
        except Mismatch:
            return self._readable(item)

    def _readable(self, item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        values = dict(item)
        for name, read in self.readers(_JSON).items():
            if name in values:
                try:
                    values[name] = read(values[name])
                except Mismatch:
                    pass
                except Invalid as error:
                    raise error.at(name) from None
        return values

    def from_json_fields(self, item: Any) -> Any:
        """A record of parsed JSON by compiled readers; raises `Mismatch` and `Invalid`."""
        if self._json_reader is None:
            self._json_reader = self.reader(self.readers(_JSON), _fields, self._readable)
        return self._json_reader(item)

    def from_wire(self, values: dict[str, Any]) -> Any:
        """The fields of a document, as `validate` takes them."""
        return values

    def validate(self, value: Any) -> Any:
        """A record from its fields, converted; raises pydantic's or msgspec's `ValidationError`."""
        return adapter(self.annotation).validate_python(value)

    def readers(self, compiler: ReaderCompiler) -> dict[str, Reader]:
        """What reads each field, by its name in JSON."""
        return {name: compiler.compile(annotation) for name, annotation in fields_of_record(self.annotation)}

    def reader(
        self, readers: dict[str, Reader], data_of: Callable[[Any], Any], untyped: Callable[[Any], Any]
    ) -> Reader:
        """What reads a whole record; raises `Mismatch` and `Invalid`."""
        del readers, data_of
        return lambda item: self._by_validation(untyped(item))

    def _by_validation(self, values: Any) -> Any:
        try:
            return self.validate(values)
        except (ValidationError, msgspec.ValidationError, TypeError, ValueError):
            raise Mismatch from None

    def fields(self, doc: Any) -> Mapping[str, Any]:
        """The fields of a record by their names in JSON, values as they are."""
        raise NotImplementedError

    def to_json(self, docs: list[Any]) -> bytes:
        """Records as a JSON array."""
        if self.is_rich:
            return _dumps([self.fields(doc) for doc in docs])
        # `dump_json` has no `fallback` before pydantic 2.11.
        write = adapter(list[self.annotation]).serializer.to_json  # type: ignore[name-defined]
        return write(docs, by_alias=True, warnings="none", fallback=_to_json)


def _dumps(items: list[Mapping[str, Any]]) -> bytes:
    """JSON in which all bytes are data URLs, as they are read."""
    return dumps(items, _to_json, bytes_to_url)


def _to_json(value: Any) -> Any:
    """What the writers of JSON do not know by themselves; raises TypeError."""
    if is_record(type(value)):
        return record_codec_for(type(value)).form.fields(value)
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else json_value(value)


def _fields(item: Any) -> Any:
    if type(item) is not dict:
        raise Mismatch
    return item


class _ModelForm(_Form):
    """pydantic's models."""

    def __init__(self, annotation: Any) -> None:
        super().__init__(annotation)
        self._dumps = _needs_dump(annotation)
        self._cls: Any = stripped(annotation)
        self._cls.model_rebuild()
        self._names = tuple(self._cls.model_fields)
        self._cached = bool(cached_names(self._cls))
        self.tacit_nones = frozenset(
            name
            for name, field in self._cls.model_fields.items()
            if field.default is None and type(None) not in typing.get_args(field.annotation)
        )

    def readers(self, compiler: ReaderCompiler) -> dict[str, Reader]:
        names = [field.name for field in fields_of_record(self._cls)]
        found = annotations_of(self._cls).values()
        return {name: compiler.compile(one) for name, one in zip(names, found, strict=True)}

    def reader(
        self, readers: dict[str, Reader], data_of: Callable[[Any], Any], untyped: Callable[[Any], Any]
    ) -> Reader:
        if is_laid_out(self._cls) and tuple(readers) == self._names:
            return laid_out_reader(self._cls, readers, data_of)
        return super().reader(readers, data_of, untyped)

    def from_parsed(self, item: Any) -> Any:
        found = super().from_parsed(item)
        if self.tacit_nones and isinstance(found, dict):
            return {name: value for name, value in found.items() if value is not None or name not in self.tacit_nones}
        return found

    def from_wire(self, values: dict[str, Any]) -> Any:
        return {name: value for name, value in values.items() if value is not None or name not in self.tacit_nones}

    def fields(self, doc: Any) -> Mapping[str, Any]:
        if self._dumps is not None:
            return cast(
                "Mapping[str, Any]",
                adapter(self.annotation).dump_python(doc, mode=self._dumps, by_alias=True, warnings="none"),
            )
        values: dict[str, Any] = doc.__dict__
        if type(doc) is self._cls and not self._cached and not doc.__pydantic_extra__:
            return values
        extra = doc.__pydantic_extra__ if type(doc) is self._cls else None
        return {**{name: values[name] for name in self._names if name in values}, **(extra or {})}


def _needs_dump(annotation: Any) -> Any:
    """How pydantic must write the fields ("python" or "json"); None where they are written as they are."""
    schema = adapter(annotation).core_schema
    if _has_serialisation(schema, set()):
        return "python"
    return "json" if _holds(annotation, _has_other_keys, set()) else None


def _has_serialisation(schema: Any, seen: set[int]) -> bool:
    if id(schema) in seen:
        return False
    seen.add(id(schema))
    if isinstance(schema, Mapping):
        if any(schema.get(key) for key in ("serialization_alias", "serialization_exclude", "computed_fields")):
            return True
        own = schema.get("serialization")
        if own is not None and own.get("when_used") != "json-unless-none":
            return True
        return any(_has_serialisation(value, seen) for key, value in schema.items() if key != "metadata")
    if isinstance(schema, list | tuple):
        return any(_has_serialisation(value, seen) for value in schema)
    return False


class _FieldsForm(_Form):
    """Classes that are constructed by keywords: dataclasses, and TypedDicts."""

    def __init__(self, annotation: Any) -> None:
        super().__init__(annotation)
        cls = stripped(annotation)
        self._cls: Any = typing.get_origin(cls) or cls
        self._is_dict = typing.is_typeddict(self._cls)
        self._dumps = _needs_dump(annotation)
        self._names = tuple(name for name, _ in fields_of_record(annotation))

    def reader(
        self, readers: dict[str, Reader], data_of: Callable[[Any], Any], untyped: Callable[[Any], Any]
    ) -> Reader:
        cls = self._cls
        if hasattr(cls, "__pydantic_config__") or hasattr(cls, "__pydantic_fields__"):
            return super().reader(readers, data_of, untyped)
        required = getattr(cls, "__required_keys__", None)
        plan = [(name, read, required is not None and name in required) for name, read in readers.items()]

        def read(item: Any) -> Any:
            fields = data_of(item)
            values: dict[str, Any] = {}
            name = ""
            try:
                for name, read_field, is_required in plan:
                    if name in fields:
                        values[name] = read_field(fields[name])
                    elif is_required:
                        raise Mismatch
            except Invalid as error:
                raise error.at(name) from None
            try:
                return cls(**values)
            except (TypeError, ValueError, AssertionError):
                raise Mismatch from None

        return read

    def fields(self, doc: Any) -> Mapping[str, Any]:
        if self._dumps is not None:
            return cast(
                "Mapping[str, Any]",
                adapter(self.annotation).dump_python(doc, mode=self._dumps, by_alias=True, warnings="none"),
            )
        if self._is_dict:
            return cast("Mapping[str, Any]", doc)
        return {name: getattr(doc, name) for name in self._names}


class _StructForm(_Form):
    """Structs of msgspec."""

    def __init__(self, annotation: Any) -> None:
        super().__init__(annotation)
        self._one = msgspec.json.Decoder(annotation, dec_hook=_foreign)
        self._many = msgspec.json.Decoder(list[annotation], dec_hook=_foreign)
        cls: Any = stripped(annotation)
        cls = typing.get_origin(cls) or cls
        self._names = list(zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True))

    def from_json(self, text: bytes, *, many: bool) -> Any:
        return self._many.decode(text) if many else self._one.decode(text)

    def validate(self, value: Any) -> Any:
        if is_struct(type(value)):
            return value
        given = (bytes, bytearray)
        return msgspec.convert(value, self.annotation, dec_hook=_foreign, builtin_types=given, str_keys=True)

    def fields(self, doc: Any) -> Mapping[str, Any]:
        return {wire: getattr(doc, name) for name, wire in self._names}

    def to_json(self, docs: list[Any]) -> bytes:
        if self.is_rich:
            return _dumps([self.fields(doc) for doc in docs])
        return msgspec.json.encode(docs, enc_hook=_to_json)


def _foreign(kind: Any, value: Any) -> Any:
    """A field of a Struct of a class that msgspec does not know."""
    if kind is np.ndarray:
        try:
            return _as_array(value)
        except Invalid as error:
            raise ValueError(str(error)) from None
    try:
        return adapter(kind).validate_python(value)
    except ValidationError as error:
        raise ValueError(error.errors(include_url=False)[0]["msg"]) from None


class _ValueForm(_Form):
    """All other types: one value in the field `value`."""

    def __init__(self, annotation: Any) -> None:
        super().__init__(annotation)
        self.reads_json = False
        self._dumps = _needs_dump(annotation)
        self._takes_objects = _takes_objects(annotation)

    def readers(self, compiler: ReaderCompiler) -> dict[str, Reader]:
        return {VALUE: compiler.compile(self.annotation)}

    def reader(
        self, readers: dict[str, Reader], data_of: Callable[[Any], Any], untyped: Callable[[Any], Any]
    ) -> Reader:
        del untyped
        read_value = readers[VALUE]

        def read(item: Any) -> Any:
            fields = data_of(item)
            if VALUE not in fields:
                raise Mismatch
            return read_value(fields[VALUE])

        return read

    def from_wire(self, values: dict[str, Any]) -> Any:
        """The value; of a document that has none its text, as clients that know no types send it."""
        return values[VALUE] if VALUE in values else self._from_schemaless(values)

    def from_parsed(self, item: Any) -> Any:
        if isinstance(item, dict) and VALUE in item and item.keys() <= {VALUE, "id"}:
            item = item[VALUE]
        if isinstance(item, dict) and "id" in item:
            item = self._from_schemaless(item)
        if not self.is_rich or isinstance(item, bytes):
            return item
        try:
            return self.readers(_JSON)[VALUE](item)
        except Mismatch:
            return item

    def _from_schemaless(self, item: dict[str, Any]) -> Any:
        """The value in a document without a class, or its text or bytes, as clients make it of either."""
        if self._takes_objects:
            return item
        text, blob, tags = item.get("text"), item.get("blob"), item.get(TAGS)
        if isinstance(tags, dict) and VALUE in tags:
            return tags[VALUE]
        if stripped(self.annotation) is bytes:
            return item if blob is None else text_to_bytes(blob) if isinstance(blob, str) else blob
        return item if text is None else text

    def fields(self, doc: Any) -> Mapping[str, Any]:
        if self._dumps is None:
            return {VALUE: doc}
        return {VALUE: adapter(self.annotation).dump_python(doc, mode=self._dumps, by_alias=True, warnings="none")}

    def to_json(self, docs: list[Any]) -> bytes:
        if self.is_rich:
            return _dumps([{VALUE: doc} for doc in docs])
        write = adapter(self.annotation).serializer.to_json
        items = [write(doc, by_alias=True, warnings="none", fallback=_to_json) for doc in docs]
        return b"[" + b",".join([b'{"value":%b}' % item for item in items]) + b"]"


_NO_OBJECTS: Final[tuple[type, ...]] = (
    *(str, bytes, bytearray, int, float, complex, decimal.Decimal, uuid.UUID, enum.Enum, type(None)),
    *(dt.date, dt.time, dt.timedelta, list, tuple, set, frozenset, np.ndarray),
)
"""Types of which no value is a JSON object."""


def _takes_objects(annotation: Any) -> bool:
    """Whether a JSON object may be a value of a type."""
    kind = stripped(annotation)
    origin = typing.get_origin(kind) or kind
    if origin is typing.Union or origin is types.UnionType:
        return any(_takes_objects(part) for part in typing.get_args(kind))
    if origin is typing.Literal:
        return False
    return not (isinstance(origin, type) and issubclass(origin, _NO_OBJECTS))


def _form_of(annotation: Any) -> _Form:
    if not is_record(annotation):
        return _ValueForm(annotation)
    cls = stripped(annotation)
    if isinstance(cls, type) and issubclass(cls, BaseModel):
        return _ModelForm(annotation)
    return _StructForm(annotation) if is_struct(typing.get_origin(cls) or cls) else _FieldsForm(annotation)


def _holds(annotation: Any, wanted: Callable[[Any], bool], seen: set[Any]) -> bool:
    """Whether a type has a part for which `wanted` is true."""
    if wanted(annotation):
        return True
    kind = stripped(annotation)
    if kind is not annotation and typing.get_origin(annotation) is typing.Annotated:
        return False  # what is annotated says itself how it is read and written
    if is_record(kind):
        if kind in seen:
            return False
        seen.add(kind)
        return any(_holds(field.annotation, wanted, seen) for field in fields_of_record(kind))
    return any(_holds(part, wanted, seen) for part in typing.get_args(kind) if part is not ...)


def _is_rich(kind: Any) -> bool:
    if kind is bytes or kind is bytearray or is_document_class(kind) or is_file(kind):
        return True
    if not isinstance(kind, type):
        return False
    from docarray.array.any_array import AnyDocArray
    from docarray.base_doc.base_node import BaseNode

    return issubclass(kind, np.ndarray | AnyDocArray | BaseNode)


def _has_other_keys(kind: Any) -> bool:
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    return (
        isinstance(origin, type) and issubclass(origin, Mapping) and bool(arguments) and arguments[0] not in (str, Any)
    )
