"""What both halves of a codec share: annotations of fields, values without a schema, construction of models."""

from __future__ import annotations

import copy
import enum
import os
import threading
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Optional, Union, get_args, get_origin

import numpy as np
from docarray import DocList
from docarray.array.any_array import AnyDocArray
from docarray.array.doc_vec.doc_vec import DocVec
from docarray.base_doc.doc import BaseDocWithoutId
from docarray.typing import AnyTensor, AnyUrl, NdArray
from docarray.typing.bytes.base_bytes import BaseBytes
from docarray.typing.proto_register import _PROTO_TYPE_NAME_TO_CLASS
from docarray.typing.tensor.abstract_tensor import AbstractTensor
from docarray.typing.tensor.embedding import AnyEmbedding
from pydantic import (
    BaseModel,
    PydanticUndefinedAnnotation,
    ValidationError,
)
from pydantic_core import PydanticUndefined, to_jsonable_python

from jina.codec import pb
from jina.codec.tensors import read_tensor
from jina.documents.records import adapter, is_record
from jina.errors import ConfigError, ValidationFailed

Reader = Callable[[Any], Any]
Location = tuple[str | int, ...]


class Mismatch(Exception):
    """The value does not match the annotation; let pydantic convert it or report the error."""


class Invalid(Exception):
    """The value cannot be used for its field, and pydantic must not guess; `path` is where it was."""

    def __init__(self, reason: str, given: Any = None) -> None:
        super().__init__(reason)
        self.given = given
        self.path: list[str | int] = []

    def at(self, place: str | int) -> Invalid:
        """The same, one level further in."""
        self.path.insert(0, place)
        return self


class DocMaker(NamedTuple):
    """What becomes of nested documents: `one` gets the fields of each, `many` a list of what `one` gave."""

    one: Callable[[dict[str, Any]], Any]
    many: Callable[[list[Any]], Any]


def _same(value: Any) -> Any:
    return value


AS_DICT = DocMaker(_same, _same)
"""Leave nested documents as their fields, for pydantic to build."""
NUMPY_NAMES = {"", "ndarray", "image_ndarray", "audio_ndarray", "video_ndarray", "ndarray_embedding"}
"""The registered names of tensors that numpy holds."""


def tensor_by_name(message: pb.NdArrayProto, name: str) -> Any:
    """A tensor of the class registered under `name`; numpy's where this process has no such framework."""
    cls: Any = _PROTO_TYPE_NAME_TO_CLASS.get(name, NdArray)
    if issubclass(cls, np.ndarray):
        return read_tensor(message, cls)
    return cls._docarray_from_ndarray(read_tensor(message, np.ndarray))


def _typed(node: pb.NodeProto, kind: str, name: str) -> Any:
    value = getattr(node, kind)
    cls: Any = _PROTO_TYPE_NAME_TO_CLASS.get(name)
    if cls is None or not issubclass(cls, str if kind == "text" else bytes):
        return value
    return cls(value)


def read_untyped(node: pb.NodeProto, make_doc: DocMaker = AS_DICT) -> Any:
    """The value of a node; raises `Invalid` for a value that is not a tensor."""
    kind = node.WhichOneof("content")
    if kind is None:
        return None
    if kind in {"text", "blob"}:
        name = node.type
        return _typed(node, kind, name) if name else getattr(node, kind)
    reader = _READERS.get(kind)
    return reader(node, make_doc) if reader else getattr(node, kind)


def read_untyped_doc(message: pb.DocProto, make_doc: DocMaker = AS_DICT) -> Any:
    """All fields of a document, given to `make_doc`; raises as `read_untyped`."""
    data = message.data
    return make_doc.one({name: read_untyped(data[name], make_doc) for name in data})


def _tensor(node: pb.NodeProto, _: DocMaker) -> Any:
    try:
        return tensor_by_name(node.ndarray, node.type)
    except (ValueError, TypeError) as error:
        raise Invalid(str(error)) from None


def _list(node: pb.NodeProto, make_doc: DocMaker) -> list[Any]:
    return [read_untyped(item, make_doc) for item in node.list.data]


def _set(node: pb.NodeProto, make_doc: DocMaker) -> Any:
    items = [read_untyped(item, make_doc) for item in node.set.data]
    try:
        return set(items)
    except TypeError:
        return items


def _tuple(node: pb.NodeProto, make_doc: DocMaker) -> tuple[Any, ...]:
    return tuple(read_untyped(item, make_doc) for item in node.tuple.data)


def _dict(node: pb.NodeProto, make_doc: DocMaker) -> dict[str, Any]:
    data = node.dict.data
    return {key: read_untyped(data[key], make_doc) for key in data}


_READERS: dict[str, Callable[[pb.NodeProto, DocMaker], Any]] = {
    "ndarray": _tensor,
    "doc": lambda node, make_doc: read_untyped_doc(node.doc, make_doc),
    "doc_array": lambda node, make_doc: make_doc.many([read_untyped_doc(doc, make_doc) for doc in node.doc_array.docs]),
    "list": _list,
    "set": _set,
    "tuple": _tuple,
    "dict": _dict,
}


def is_schemaless(cls: Any) -> bool:
    """Whether a class is `jina.Document` itself; a subclass with annotations is an ordinary typed class."""
    return isinstance(cls, type) and cls.__module__ == "jina.documents.document" and cls.__name__ == "Document"


def list_type() -> Any:
    """The list of schemaless documents."""
    from jina.documents.array import DocumentArray

    return DocumentArray


def _plain_annotations() -> dict[str, Any]:
    """The types of the known fields, as what is valid without another check."""
    return {
        "tensor": AnyTensor | None, "blob": bytes | None, "text": str | None, "url": str | None,
        "embedding": AnyEmbedding | None, "tags": dict[str, Any], "scores": dict[str, Any] | None,
    }  # fmt: skip


def _one(values: dict[str, Any]) -> Any:
    from jina.documents.document import Document

    return Document.model_validate(values)


def _many(docs: list[Any]) -> Any:
    return list_type().construct(docs)


AS_SCHEMALESS = DocMaker(_one, _many)
"""Make nested documents of unknown class schemaless ones."""


def _read(reader: Reader, value: Any, name: str) -> Any:
    try:
        return reader(value)
    except Invalid as error:
        raise error.at(name) from None


def _read_schemaless(node: Any) -> Any:
    return read_untyped(node, AS_SCHEMALESS)


def message_reader(readers: Mapping[str, Reader]) -> Reader:
    """Reads a whole document from a message; raises what the readers raise."""
    from jina.documents.document import blank_values, make_document

    def read(message: Any) -> Any:
        data = message.data
        values = blank_values("")
        extra: dict[str, Any] = {}
        for name in data:
            reader = readers.get(name)
            if reader is None:
                extra[name] = _read(_read_schemaless, data[name], name)
            else:
                values[name] = _read(reader, data[name], name)
        if "id" not in data:
            values["id"] = type(values["id"])(os.urandom(16).hex())
        if values["tags"] is None:
            values["tags"] = {}
        return make_document(values, extra)

    return read


def json_reader(readers: Mapping[str, Reader]) -> Reader:
    """Reads a whole document from a JSON object; raises what the readers raise, and `Mismatch` for no object."""
    from jina.documents.document import blank_values, make_document

    def read(item: Any) -> Any:
        if type(item) is not dict:
            raise Mismatch
        values = blank_values("")
        extra: dict[str, Any] = {}
        for name, value in item.items():
            reader = readers.get(name)
            if reader is not None:
                values[name] = _read(reader, value, name)
            elif name == "uri" and item.get("url") is None:
                values["url"] = _read(readers["url"], value, name)
            else:
                extra[name] = value
        if "id" not in item:
            values["id"] = type(values["id"])(os.urandom(16).hex())
        if values["tags"] is None:
            values["tags"] = {}
        return make_document(values, extra)

    return read


def hashable(value: Any) -> bool:
    """Whether the value can be a key."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def is_document(annotation: Any) -> bool:
    """Whether an annotation is a document class."""
    return isinstance(annotation, type) and issubclass(annotation, BaseDocWithoutId)


class ReaderCompiler(NamedTuple):
    """Makes what reads the values of one wire (nodes of protobuf, parsed JSON), from how that reads each kind of value.

    `codec_of` gives the codecs of nested documents.
    """

    codec_of: Callable[[type], DocumentReader]
    fields_of: Callable[[Any], Mapping[str, Any]]  # of a document; raises `Mismatch` where it is none
    by_json_names: bool  # whether fields come by the names of JSON
    scalars: Mapping[Any, Reader]
    of_value: Callable[[Reader], Reader]  # from what reads Python values
    optional: Callable[[Reader], Reader]
    union: Callable[[Sequence[Any], Sequence[Any], Callable[[Any], Reader]], Reader | None]
    document: Callable[[DocumentReader], Reader]
    documents: Callable[[DocumentReader, Callable[[list[Any]], Any]], Reader]
    sequence: Callable[[Any, Reader], Reader]
    fixed_tuple: Callable[[Sequence[Any], Callable[[Any], Reader]], Reader | None]
    mapping: Callable[[Reader], Reader]
    tensor: Callable[[Any], Reader]
    url: Callable[[Any], Reader]
    named_bytes: Callable[[Any], Reader]
    record: Callable[[Any], Reader] | None = None  # of plain classes; pydantic reads them where there is none
    array: Reader | None = None  # of numpy's own arrays, likewise

    def compile(self, annotation: Any) -> Reader:
        """The reader for an annotation; a slower one through pydantic where no faster is known."""
        reader = self.scalars.get(annotation) if hashable(annotation) else None
        return reader or self._structured(annotation) or self.of_value(_adapter(annotation))

    def _structured(self, annotation: Any) -> Reader | None:
        origin = get_origin(annotation) or annotation
        if self.record is not None and is_record(annotation):
            return self.record(annotation)
        if self.array is not None and origin is np.ndarray:
            return self.array
        if origin is Union or origin is types.UnionType:
            members = get_args(annotation)
            rest = [member for member in members if member is not type(None)]
            return self.optional(self.compile(rest[0])) if len(rest) == 1 else self.union(members, rest, self.compile)
        if origin is Literal:
            return self.of_value(_known({(type(value), value): value for value in get_args(annotation)}))
        if not isinstance(origin, type):
            return None
        if origin in {list, set, tuple, dict}:
            return self._container(origin, get_args(annotation))
        if issubclass(origin, AnyDocArray):
            codec = self.codec_of(annotation.doc_type)
            return self.documents(codec, list_maker(annotation, codec.list_type))
        return self._class(origin)

    def _class(self, cls: Any) -> Reader | None:
        if issubclass(cls, BaseDocWithoutId):
            return self.document(self.codec_of(cls))
        if issubclass(cls, AbstractTensor):
            return self.tensor(cls)
        if issubclass(cls, AnyUrl):
            return self.url(cls) if _is_own_rule(cls) else None
        if issubclass(cls, BaseBytes):
            return self.named_bytes(cls)
        if issubclass(cls, enum.Enum):
            known = _known_members(cls)
            return None if known is None else self.of_value(_known(known))
        return None

    def _container(self, origin: type, args: tuple[Any, ...]) -> Reader | None:
        if origin is dict:
            key, item = args or (str, Any)
            return self.mapping(self.compile(item)) if key in {str, Any} else None
        if origin is tuple and args and args[-1] is not Ellipsis:
            return self.fixed_tuple(args, self.compile)
        return self.sequence(origin, self.compile(args[0] if args else Any))


def _known(known: dict[tuple[type, Any], Any]) -> Reader:
    def read(value: Any) -> Any:
        try:
            return known[type(value), value]
        except (KeyError, TypeError):
            raise Mismatch from None

    return read


def _adapter(annotation: Any) -> Reader:
    """Lets pydantic convert the value: for all that has no reader of its own."""
    validate = adapter(annotation).validate_python

    def read(value: Any) -> Any:
        try:
            return validate(value)
        except (ValidationError, TypeError, ValueError):
            raise Mismatch from None

    return read


def read_each(read: Reader, items: Iterable[Any]) -> list[Any]:
    """Read all items; an `Invalid` tells which one."""
    values: list[Any] = []
    try:
        for item in items:
            values.append(read(item))  # noqa: PERF401 - the length tells which one failed
    except Invalid as error:
        raise error.at(len(values)) from None
    return values


def _known_members(values: type[enum.Enum]) -> dict[tuple[type, Any], enum.Enum] | None:
    """The members of an Enum, by class and value of what the wire holds; None where the Enum makes up others."""
    if values._missing_.__func__ is not enum.Enum._missing_.__func__:  # type: ignore[attr-defined]
        return None
    return {(type(member.value), member.value): member for member in values if hashable(member.value)}


def array_class_of(cls: Any) -> Any:
    """The class of a field's arrays, if any array that numpy can hold will do; else None."""
    any_tensor: Any = AnyTensor  # for type checkers it is a union
    if issubclass(cls, any_tensor):
        try:
            cls = type(cls._docarray_validate(np.zeros(1)))
        except (ValueError, TypeError):
            return None
    if not issubclass(cls, np.ndarray):
        return None
    return cls if cls._docarray_validate.__func__ is NdArray._docarray_validate.__func__ else None  # type: ignore[attr-defined]  # noqa: SLF001 - as above


def list_maker(annotation: Any, list_type: Any) -> Callable[[list[Any]], Any]:
    """What makes the value of a `DocList[T]` or `DocVec[T]` field of its documents."""
    origin = get_origin(annotation) or annotation
    if not issubclass(origin, DocVec):
        return list_type.construct  # type: ignore[no-any-return]  # a class method of DocList

    def make(docs: list[Any]) -> Any:
        from jina.documents.docarray_patches import ensure_docvec

        ensure_docvec()
        if not docs:
            raise Invalid("a DocVec cannot be empty; make the field Optional, or a DocList")
        return annotation(docs)

    return make


def _is_own_rule(cls: Any) -> bool:
    """Whether a URL class checks its values as DocArray's own do."""
    return bool(cls._docarray_validate.__func__ is AnyUrl._docarray_validate.__func__)  # type: ignore[attr-defined]  # noqa: SLF001 - as above


_HARMLESS = {
    "validate_assignment", "_load_extra_fields_from_protobuf", "json_encoders", "arbitrary_types_allowed", "title",
    "json_schema_extra", "populate_by_name", "validate_by_name", "validate_by_alias", "serialize_by_alias",
    "protected_namespaces", "frozen", "ser_json_bytes", "ser_json_timedelta", "ser_json_inf_nan",
    "hide_input_in_errors",
    "use_attribute_docstrings", "json_schema_mode_override", "json_schema_serialization_defaults_required",
    "from_attributes", "ignored_types", "defer_build", "schema_generator", "plugin_settings", "field_title_generator",
}  # fmt: skip
"""Settings of `model_config` that leave values as they are."""
_set_dict: Callable[[Any, Any], None] = BaseModel.__dict__["__dict__"].__set__
_set_fields_set: Callable[[Any, Any], None] = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra: Callable[[Any, Any], None] = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private: Callable[[Any, Any], None] = BaseModel.__dict__["__pydantic_private__"].__set__


class NeedsPydantic(Exception):
    """A default that only pydantic can give is missing."""


def is_laid_out(cls: Any) -> bool:
    """Whether objects of the class may be laid out directly."""
    decorators = cls.__pydantic_decorators__
    config = cls.model_config
    return (
        cls.__pydantic_post_init__ is None
        and not cls.__private_attributes__
        and (cls.__init__ is BaseModel.__init__ or _is_docarrays(cls.__init__))
        and cls.__new__ is object.__new__
        and not (decorators.validators or decorators.field_validators)
        and not decorators.root_validators
        and all(_is_docarrays(validator.func) for validator in decorators.model_validators.values())
        and _is_docarrays(getattr(cls, "_validate", None))
        and cls.__get_pydantic_core_schema__.__func__ is BaseModel.__get_pydantic_core_schema__.__func__  # type: ignore[attr-defined]
        and all(name in _HARMLESS or (name == "extra" and value == "ignore") for name, value in config.items())
    )


def _is_docarrays(function: Any) -> bool:
    """Whether a hook is that of `TextDoc`, `ImageDoc`, ...: those only make a dict of what is no dict yet."""
    return function is None or str(getattr(function, "__module__", "")).startswith("docarray.documents.")


def laid_out_reader(
    cls: type[BaseModel], readers: Mapping[str, Reader], fields_of: Callable[[Any], Mapping[str, Any]]
) -> Reader:
    """Reads objects of a class that `is_laid_out`, without calling its constructor."""
    plan = [(name, read, _default_maker(cls.model_fields[name])) for name, read in readers.items()]
    constants = {name: cls.model_fields[name].default if make is _constant else None for name, _, make in plan}
    every = frozenset(readers)
    new = object.__new__

    def read(item: Any) -> Any:
        fields = fields_of(item)
        values = constants.copy()
        absent: list[str] = []
        name = ""
        try:
            for name, read_field, make in plan:
                if name in fields:
                    values[name] = read_field(fields[name])
                elif make is None:
                    raise Mismatch
                else:
                    absent.append(name)
                    if make is not _constant:
                        values[name] = make()
        except NeedsPydantic:
            raise Mismatch from None
        except Invalid as error:
            raise error.at(name) from None
        given = set(every)
        if absent:
            given.difference_update(absent)
        doc = new(cls)
        _set_dict(doc, values)
        _set_fields_set(doc, given)
        _set_extra(doc, None)
        _set_private(doc, None)
        return doc

    return read


def _default_maker(field: Any) -> Callable[[], Any] | None:
    """What makes the default of a field, or None where there is none; `NeedsPydantic` where pydantic must make it."""
    if field.default is PydanticUndefined and field.default_factory is None:
        return None
    if field.validate_default:
        return _ask_pydantic
    factory = field.default_factory
    if factory is not None:
        return _ask_pydantic if getattr(field, "default_factory_takes_validated_data", False) else factory
    default = field.default
    if default is None or isinstance(default, str | bytes | int | float | bool):
        return _constant
    return lambda: copy.deepcopy(default)


def _constant() -> None:
    """Stands for a default that all documents may share."""


def _ask_pydantic() -> Any:
    raise NeedsPydantic


def _complete(cls: type[BaseDocWithoutId]) -> None:
    """Resolve what annotations refer to; raises `ConfigError` naming what is not defined."""
    try:
        cls.model_rebuild()
    except PydanticUndefinedAnnotation as error:
        raise ConfigError(f"{cls.__name__}: the annotation {error.name!r} is not defined") from None


def annotations_of(cls: type[BaseModel]) -> dict[str, Any]:
    """The annotation of each field, with what `Field` and `Annotated` ask of it.

    A field with the default None may be None, whatever its annotation: what was left out here is None there.
    """
    return {name: _annotation(field) for name, field in cls.model_fields.items()}


def _annotation(field: Any) -> Any:
    annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return Optional[annotation] if field.default is None else annotation  # noqa: UP045 - a forward reference has no |


def _tacit_nones(cls: type[BaseDocWithoutId]) -> frozenset[str]:
    """The names in JSON of the fields that are None by default though their annotation does not say so."""
    names = json_names(cls)
    return frozenset(
        names.get(name, name)
        for name, field in cls.model_fields.items()
        if field.default is None and type(None) not in get_args(field.annotation) and field.annotation is not Any
    )


def _has_aliases(cls: type[BaseDocWithoutId]) -> bool:
    """Whether any field comes under another name in JSON."""
    return any(field.validation_alias is not None for field in cls.model_fields.values())


def json_names(cls: type[BaseDocWithoutId]) -> dict[str, str]:
    """The name in JSON of each field that has another one there."""
    return {
        name: field.validation_alias
        for name, field in cls.model_fields.items()
        if isinstance(field.validation_alias, str)
    }


def has_own_serialisation(cls: type[BaseDocWithoutId]) -> bool:
    """Whether pydantic must write the JSON: serializers, computed fields, aliases, excluded fields."""
    decorators = cls.__pydantic_decorators__
    return bool(decorators.field_serializers or decorators.model_serializers or decorators.computed_fields) or any(
        field.serialization_alias is not None or field.exclude for field in cls.model_fields.values()
    )


_lock = threading.RLock()


class DocumentReader:
    """Reads documents of one class from one wire; what reads each field is compiled with the first document."""

    compiler: ClassVar[ReaderCompiler]

    def __init__(self, doc_type: type[BaseDocWithoutId]) -> None:
        self.doc_type = doc_type
        self.list_type: Any = list_type() if is_schemaless(doc_type) else DocList[doc_type]  # type: ignore[valid-type]
        self._list_of: Callable[[list[Any]], Any] = self.list_type.construct  # looked up slowly in a generic class
        self.read_doc: Callable[[Any], Any] = self._compile_and_read
        """One document; raises `Mismatch` or `Invalid`."""
        self.readers: dict[str, Reader] = {}
        self.json_names: dict[str, str] = {}
        self.tacit_nones: frozenset[str] = frozenset()

    def decode_items(self, items: Sequence[Any], location: Location = (), *, indexed: bool = True) -> Any:
        """The documents as a `DocList` of the class.

        Raises `ValidationFailed` if they do not fit; its places start with `location` and, if `indexed`, the index.
        """
        read = self.read_doc
        docs: list[Any] = []
        try:
            for item in items:
                docs.append(read(item))  # noqa: PERF401 - the length tells which one failed
        except (Mismatch, Invalid):
            for number, item in enumerate(items[len(docs) :], len(docs)):
                docs.append(self.decode_doc(item, (*location, number) if indexed else location))
        return self._list_of(docs)

    def decode_doc(self, item: Any, location: Location = ()) -> Any:
        """One document; raises `ValidationFailed` if it does not fit."""
        try:
            try:
                return self.read_doc(item)
            except Mismatch:
                return validate(self.doc_type, self.untyped(item), location)
        except Invalid as error:
            raise invalid(error, self.doc_type.__name__, location) from None

    def untyped(self, item: Any) -> Any:
        """The fields by the names of JSON, each as far as it is readable, for pydantic; raises `Invalid`."""
        raise NotImplementedError

    def schemaless_reader(self) -> Reader:
        """What reads a document without a schema by `readers`."""
        raise NotImplementedError

    def compiled(self) -> Reader:
        """`read_doc`, with all readers compiled."""
        with _lock:
            if self.read_doc == self._compile_and_read:
                self.read_doc = self._compile()
        return self.read_doc

    def _compile_and_read(self, item: Any) -> Any:
        return self.compiled()(item)

    def _compile(self) -> Reader:
        cls = self.doc_type
        _complete(cls)
        annotations = annotations_of(cls)
        if is_schemaless(cls):
            nested = self.compiler.optional(self.compiler.documents(self, self.list_type.construct))
            self.readers = {
                name: nested if name in {"chunks", "matches"} else self.compiler.compile(annotation)
                for name, annotation in {**annotations, **_plain_annotations()}.items()
            }
            return self.schemaless_reader()
        self.json_names = json_names(cls)
        self.tacit_nones = _tacit_nones(cls)
        names = self.json_names if self.compiler.by_json_names else {}
        self.readers = {names.get(name, name): self.compiler.compile(each) for name, each in annotations.items()}
        if is_laid_out(cls) and not (self.compiler.by_json_names and _has_aliases(cls)):
            return laid_out_reader(cls, self.readers, self.compiler.fields_of)
        return self._read_by_pydantic

    def _read_by_pydantic(self, item: Any) -> Any:
        self.compiler.fields_of(item)
        try:
            return self.doc_type.model_validate(self.untyped(item))
        except (ValidationError, TypeError, ValueError):
            raise Mismatch from None


def validate(cls: type[BaseDocWithoutId], values: Any, location: Location = ()) -> Any:
    """Construct through pydantic from values by the names of JSON; raises `ValidationFailed`."""
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise failed(error, cls.__name__, location) from None
    except (TypeError, ValueError) as error:
        found = {"type": "value_error", "loc": list(location), "msg": str(error), "input": None}
        raise failure(cls.__name__, [found]) from error


def invalid(error: Invalid, owner: str, location: Location) -> ValidationFailed:
    """Our error for a value that pydantic must not see."""
    found = {"type": "tensor", "loc": [*location, *error.path], "msg": str(error), "input": _shown(error.given)}
    return failure(owner, [found])


def failed(error: ValidationError, owner: str, location: Location) -> ValidationFailed:
    """Our error for pydantic's; the places are prefixed by `location`."""
    errors = error.errors(include_url=False, include_context=False)
    telling = [found for found in errors if found["type"] != "is_instance_of"] or errors
    return failure(
        owner,
        [
            {
                "type": found["type"],
                "loc": [*location, *(part for part in found["loc"] if not _is_inner_step(part))],
                "msg": found["msg"],
                "input": _shown(found["input"]),
            }
            for found in telling
        ],
    )


def _is_inner_step(part: str | int) -> bool:
    """Whether a part of a place names no field but how DocArray's `DocList` is validated: as one of two."""
    return isinstance(part, str) and part.startswith(("function-after[", "function-plain[", "is-instance["))


def failure(owner: str, found: Sequence[dict[str, Any]]) -> ValidationFailed:
    """The error for a list of `{"type", "loc", "msg", "input"}`, told by its first entry."""
    first = found[0]
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    message = f"{where}: {first['msg']}" if where else str(first["msg"])
    return ValidationFailed(f"{owner}: {message}{more}", errors=found)


def _shown(value: Any) -> Any:
    """What the error shows of the input, as JSON can."""
    if isinstance(value, str | int | float | bool) or value is None:
        return value if not isinstance(value, str) or len(value) <= 1000 else value[:1000] + "..."
    try:
        shown = to_jsonable_python(value, bytes_mode="base64", fallback=_brief)
    except (ValueError, RecursionError):
        return _brief(value)
    return shown if len(str(shown)) <= 4000 else _brief(value)


def _brief(value: Any) -> str:
    return f"<{type(value).__name__}>"
