"""The JSON half of a codec: parsed objects -> documents by readers compiled once per field, documents -> JSON text."""

from __future__ import annotations

import enum
import threading
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Union, get_args, get_origin

from docarray import DocList
from docarray.array.any_array import AnyDocArray
from docarray.base_doc.doc import BaseDocWithoutId
from docarray.typing import ID, AnyUrl
from docarray.typing.bytes.base_bytes import BaseBytes
from docarray.typing.tensor.abstract_tensor import AbstractTensor
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from jina.codec.compiler import (
    Invalid,
    Location,
    Mismatch,
    NeedsPydantic,
    annotations_of,
    array_class_of,
    complete,
    default_maker,
    has_aliases,
    has_own_serialisation,
    hashable,
    invalid,
    is_document,
    is_plain,
    is_schemaless,
    json_names,
    json_reader,
    known_members,
    known_values,
    layer,
    list_maker,
    list_type,
    own_url_rule,
    plain_annotations,
    tacit_nones,
    validate,
    validated,
    validator_of,
)
from jina.codec.json_text import dumps, text_to_bytes
from jina.codec.protobuf import fields_of
from jina.codec.tensors import BadTensor, array_from_json, array_of, reshaped
from jina.errors import BadClientInput

Reader = Callable[[Any], Any]


class JsonDocReader(typing.Protocol):
    """What a reader needs of the codec of a nested document."""

    list_type: Any

    def read_json(self, item: Any, /) -> Any:
        """One document; raises `Mismatch` or `Invalid`."""
        ...

    def untyped(self, item: Any) -> Any:
        """The document's values, as far as they are readable, for pydantic; raises `Invalid`."""
        ...


def _exactly(cls: type) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is cls:
            return value
        raise Mismatch

    return read


def _float(value: Any) -> float:
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]  # just checked
    if kind is int:
        try:
            return float(value)
        except OverflowError:
            pass
    raise Mismatch


def _bytes(value: Any) -> bytes:
    if type(value) is str:
        return text_to_bytes(value)
    raise Mismatch


def _nothing(value: Any) -> None:
    if value is not None:
        raise Mismatch


def _id(value: Any) -> ID:
    if type(value) is str:
        return ID(value)
    raise Mismatch


def _anything(value: Any) -> Any:
    return value


_SCALARS: dict[Any, Reader] = {
    str: _exactly(str), int: _exactly(int), float: _float, bool: _exactly(bool), bytes: _bytes, ID: _id,
    type(None): _nothing, None: _nothing, Any: _anything, object: _anything,
}  # fmt: skip
_UNION_MEMBERS = {str, int, float, bool}


class JsonReaderCompiler:
    """Makes readers for the annotations of one document class; `codec_of` gives those of nested documents."""

    def __init__(self, codec_of: Callable[[type], JsonDocReader]) -> None:
        self._codec_of = codec_of

    def compile(self, annotation: Any) -> Reader:
        """The reader for an annotation; a slower one through pydantic where no faster is known."""
        reader = _SCALARS.get(annotation) if hashable(annotation) else None
        return reader or self._structured(annotation) or _adapter(annotation)

    def untyped_reader(self, annotation: Any) -> Reader | None:
        """What makes a value that did not fit ready for pydantic: nested documents as dicts of readable values."""
        origin = get_origin(annotation) or annotation
        if origin is Union or origin is types.UnionType:
            inner = [self.untyped_reader(member) for member in get_args(annotation) if member is not type(None)]
            return inner[0] if len(inner) == 1 else None
        if is_document(origin):
            return self._codec_of(origin).untyped
        doc_type = getattr(annotation, "doc_type", None)
        if isinstance(origin, type) and issubclass(origin, AnyDocArray) and doc_type is not None:
            return _each(self._codec_of(doc_type).untyped)
        if origin in {list, set, tuple} and get_args(annotation):
            item = self.untyped_reader(get_args(annotation)[0])
            return _each(item) if item else None
        return None

    def _structured(self, annotation: Any) -> Reader | None:
        origin = get_origin(annotation) or annotation
        if origin is Union or origin is types.UnionType:
            return self._union(get_args(annotation))
        if origin is typing.Literal:
            return _known(known_values(get_args(annotation)))
        if not isinstance(origin, type):
            return None
        if origin in {list, set, tuple, dict}:
            return self._container(origin, get_args(annotation))
        if issubclass(origin, AnyDocArray):
            return self._documents(annotation)
        return self._class(origin)

    def _class(self, cls: Any) -> Reader | None:
        if issubclass(cls, BaseDocWithoutId):
            return _document(self._codec_of(cls))
        if issubclass(cls, AbstractTensor):
            return _tensor(cls)
        if issubclass(cls, AnyUrl):
            return _url(cls) if own_url_rule(cls) else None
        if issubclass(cls, BaseBytes):
            return lambda value: cls(_bytes(value))
        if issubclass(cls, enum.Enum):
            known = known_members(cls)
            return None if known is None else _known(known)
        return None

    def _union(self, members: Sequence[Any]) -> Reader | None:
        rest = [member for member in members if member is not type(None)]
        if len(rest) == 1:
            return _optional(self.compile(rest[0]))
        if not all(hashable(member) and member in _UNION_MEMBERS for member in rest):
            return None
        allowed = frozenset(members)

        def read(value: Any) -> Any:
            if type(value) in allowed:
                return value
            raise Mismatch

        return read

    def _documents(self, annotation: Any) -> Reader:
        codec = self._codec_of(annotation.doc_type)
        construct = list_maker(annotation, codec.list_type)

        def read(value: Any) -> Any:
            if type(value) is not list:
                raise Mismatch
            return construct(read_each(codec.read_json, value))

        return read

    def _container(self, origin: Any, args: tuple[Any, ...]) -> Reader | None:
        if origin is dict:
            key, item = args or (str, Any)
            return _mapping(self.compile(item)) if key in {str, Any} else None
        if origin is tuple and args and args[-1] is not Ellipsis:
            return None
        read_item = self.compile(args[0] if args else Any)

        def read(value: Any) -> Any:
            if type(value) is not list:
                raise Mismatch
            try:
                return origin(read_each(read_item, value))
            except TypeError:  # a set of lists
                raise Mismatch from None

        return read


def _document(codec: JsonDocReader) -> Reader:
    def read(value: Any) -> Any:
        return codec.read_json(value)  # looked up each time: the codec replaces it when it has compiled

    return read


def read_each(read: Reader, items: Sequence[Any]) -> list[Any]:
    """Read all items; an `Invalid` tells which one."""
    values: list[Any] = []
    try:
        for item in items:
            values.append(read(item))  # noqa: PERF401 - the length tells which one failed
    except Invalid as error:
        raise error.at(len(values)) from None
    return values


def _each(untyped: Reader) -> Reader:
    def read(value: Any) -> Any:
        return read_each(untyped, value) if isinstance(value, list) else value

    return read


def _optional(read_inner: Reader) -> Reader:
    def read(value: Any) -> Any:
        return None if value is None else read_inner(value)

    return read


def _known(known: dict[tuple[type, Any], Any]) -> Reader:
    def read(value: Any) -> Any:
        try:
            return known[type(value), value]
        except (KeyError, TypeError):
            raise Mismatch from None

    return read


def _mapping(read_item: Reader) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise Mismatch
        return {name: read_item(item) for name, item in value.items()}

    return read


def _tensor(cls: Any) -> Reader:
    plain = cls.__unparametrizedcls__ or cls
    target = cls.__docarray_target_shape__
    array_class = array_class_of(plain)
    validate = cls._docarray_validate

    def read(value: Any) -> Any:
        try:
            array = array_from_json(value)
            array = reshaped(array, target)
            return validate(array) if array_class is None else array.view(array_class)
        except (BadTensor, ValueError, TypeError) as error:
            raise Invalid(str(error), value) from None

    return read


def _url(cls: Any) -> Reader:
    checked = cls is not AnyUrl

    def read(value: Any) -> Any:
        if type(value) is not str or (checked and not cls.is_extension_allowed(value)):
            raise Mismatch
        return cls(value)

    return read


def _adapter(annotation: Any) -> Reader:
    validate = validator_of(annotation)

    def read(value: Any) -> Any:
        try:
            return validate(value)
        except (ValidationError, TypeError, ValueError):
            raise Mismatch from None

    return read


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
        self.list_type: Any = list_type() if is_schemaless(doc_type) else DocList[doc_type]  # type: ignore[valid-type]
        self.read_json: Callable[[Any], Any] = self._compile_and_read
        self._readers: dict[str, Reader] = {}
        self._untyped_readers: dict[str, Reader] = {}
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
                return validate(self.doc_type, self.untyped(item), location)
        except Invalid as error:
            raise invalid(error, self.doc_type.__name__, location) from None

    def untyped(self, item: Any) -> Any:
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
                untyped = self._untyped_readers.get(name)
                if untyped is not None:
                    values[name] = self._read_untyped(name, untyped, item[name])
            except Invalid as error:
                raise error.at(name) from None
        return values

    @staticmethod
    def _read_untyped(name: str, untyped: Reader, value: Any) -> Any:
        try:
            return untyped(value)
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
        complete(cls)
        compiler = JsonReaderCompiler(json_codec_for)
        if is_schemaless(cls):
            annotations = {**annotations_of(cls), **plain_annotations()}
            self._readers = {
                name: self._read_nested if name in {"chunks", "matches"} else compiler.compile(annotation)
                for name, annotation in annotations.items()
            }
            return _objects_only(json_reader(self._readers))
        annotations = annotations_of(cls)
        names = json_names(cls)
        self._tacit_nones = tacit_nones(cls)
        self._readers = {names.get(name, name): compiler.compile(each) for name, each in annotations.items()}
        untyped_readers = {names.get(name, name): compiler.untyped_reader(each) for name, each in annotations.items()}
        self._untyped_readers = {name: untyped for name, untyped in untyped_readers.items() if untyped is not None}
        if is_plain(cls) and not has_aliases(cls):
            makers = {name: default_maker(field) for name, field in cls.model_fields.items()}
            return _plain_reader(layer(cls), self._readers, makers)
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
            return validated(self.doc_type, self.untyped(item))
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
        customised = _DUMPERS[cls] = has_own_serialisation(cls)
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
    from jina.codec.json_text import jsonable

    return jsonable(value)
