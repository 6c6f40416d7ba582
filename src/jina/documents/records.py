"""Plain classes that stand for documents: pydantic models, dataclasses, TypedDicts and msgspec Structs.

A record class has named fields, so that a value of it is an object in JSON and a document on the wire. All other types
(`str`, `list[float]`, `Item | None`) are values: on the wire a value is a document with the one field `value`.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import functools
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pydantic import TypeAdapter

VALUE = "value"
"""The field of the document that holds a value on the wire."""
_LISTS = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)


def stripped(annotation: Any) -> Any:
    """What an annotation says without `Annotated`, and without the name that a `type` statement gives it."""
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation


def is_struct(kind: Any) -> bool:
    """Whether a class is a `msgspec.Struct`."""
    return isinstance(kind, type) and hasattr(kind, "__struct_fields__")


def is_model(kind: Any) -> bool:
    """Whether a class is a model of pydantic, documents included; loads nothing."""
    base = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return base is not None and isinstance(kind, type) and issubclass(kind, base)


def is_file(kind: Any) -> bool:
    """Whether a class is `jina.File` or one of its kind, which is a value though it has the base of documents."""
    return isinstance(kind, type) and getattr(kind, "is_file", False) is True


def is_document_class(kind: Any) -> bool:
    """Whether a class is one of DocArray's; loads nothing."""
    if is_file(kind):
        return False
    base = getattr(sys.modules.get("docarray.base_doc.doc"), "BaseDocWithoutId", None)
    return base is not None and isinstance(kind, type) and issubclass(kind, base)


def is_record(annotation: Any) -> bool:
    """Whether an annotation is a plain class with named fields."""
    kind = stripped(annotation)
    kind = typing.get_origin(kind) or kind
    if typing.is_typeddict(kind):
        return True
    if not isinstance(kind, type) or is_document_class(kind) or is_file(kind):
        return False
    return is_model(kind) or dataclasses.is_dataclass(kind) or is_struct(kind)


def is_value(annotation: Any) -> bool:
    """Whether an annotation is neither a plain class with fields nor a document class."""
    return not (is_record(annotation) or is_document_class(stripped(annotation)))


class Field(NamedTuple):
    """A field of a record class; `name` is that of JSON and the wire."""

    name: str
    annotation: Any


def fields_of_record(annotation: Any) -> list[Field]:
    """The fields of a record class, annotations resolved."""
    kind = stripped(annotation)
    if is_model(kind):
        return [Field(_alias(name, field), field.annotation) for name, field in kind.model_fields.items()]
    origin = typing.get_origin(kind) or kind
    if is_struct(origin):
        import msgspec

        return [Field(field.encode_name, field.type) for field in msgspec.structs.fields(kind)]
    hints = typing.get_type_hints(origin, include_extras=True)
    arguments = dict(zip(getattr(origin, "__parameters__", ()), typing.get_args(kind), strict=False))
    if typing.is_typeddict(origin):
        return [Field(name, _without_required(hint)) for name, hint in hints.items()]
    return [
        Field(field.name, arguments.get(hints[field.name], hints[field.name]))
        for field in dataclasses.fields(origin)
        if field.init
    ]


def _alias(name: str, field: Any) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else name


def _without_required(hint: Any) -> Any:
    while typing.get_origin(hint) in {typing.Required, typing.NotRequired}:
        hint = typing.get_args(hint)[0]
    return hint


def item_of_list(annotation: Any) -> Any | None:
    """`T` of `list[T]`, `Sequence[T]`, `tuple[T, ...]`, `set[T]`; None for all other annotations."""
    kind = stripped(annotation)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin not in _LISTS or not arguments:
        return None
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is ...):
        return None
    return type(None) if arguments[0] is None else arguments[0]


def type_name(annotation: Any) -> str:
    """A type as it is written, without the modules of its classes."""
    arguments = typing.get_args(annotation)
    if not arguments:
        if isinstance(annotation, type):
            return annotation.__name__
        return str(annotation).removeprefix("typing.")
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return type_name(arguments[0])
    if origin in {typing.Union, types.UnionType}:
        return " | ".join("None" if part is type(None) else type_name(part) for part in arguments)
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if isinstance(origin, type):
        written = ", ".join("..." if part is ... else _argument(part) for part in arguments)
        return f"{origin.__qualname__.partition('[')[0]}[{written}]"
    return str(annotation)


def _argument(part: Any) -> str:
    return f"[{', '.join(map(type_name, part))}]" if isinstance(part, list) else type_name(part)


def adapter(annotation: Any) -> TypeAdapter[Any]:
    """What pydantic makes of a type, made once where it can be a key; raises as `TypeAdapter` does."""
    try:
        return _known_adapter(annotation)
    except TypeError:
        return _new_adapter(annotation)


@functools.lru_cache(maxsize=1024)
def _known_adapter(annotation: Any) -> TypeAdapter[Any]:
    return _new_adapter(annotation)


def _new_adapter(annotation: Any) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter

    annotation = readable(annotation)
    try:
        return TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))


def readable(annotation: Any) -> Any:
    """The type with the TypedDicts of `typing` replaced, which pydantic does not read before Python 3.12."""
    return annotation if sys.version_info >= (3, 12) else _known_to_pydantic(annotation)


def _known_to_pydantic(annotation: Any) -> Any:
    if typing.is_typeddict(annotation):
        return annotation if type(annotation).__module__ == "typing_extensions" else _extended(annotation)
    arguments = typing.get_args(annotation)
    found = tuple(_known_to_pydantic(one) for one in arguments)
    if all(new is old for new, old in zip(found, arguments, strict=True)):
        return annotation
    origin = typing.get_origin(annotation)
    if origin in {typing.Union, types.UnionType}:
        return typing.Union[found]  # noqa: UP007 - of a number that is not known here
    return annotation.copy_with(found) if hasattr(annotation, "copy_with") else types.GenericAlias(origin, found)


@functools.cache
def _extended(kind: Any) -> Any:
    import typing_extensions

    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {}
    for name, hint in hints.items():
        inner = _known_to_pydantic(_without_required(hint))
        needed = name in kind.__required_keys__
        fields[name] = typing_extensions.Required[inner] if needed else typing_extensions.NotRequired[inner]
    make: Any = typing_extensions.TypedDict  # what type checkers want is literals
    made = make(kind.__name__, fields)
    made.__module__, made.__doc__ = kind.__module__, kind.__doc__
    return made


def checker(annotation: Any) -> Callable[[Any], Any]:
    """What makes sure that a value is of a type: gives it as it is, or converted; raises `TypeError`."""
    kind = stripped(annotation)
    if kind in (Any, object):
        return _unchanged
    kind = type(None) if kind is None else kind
    origin = typing.get_origin(kind) or kind
    expected = dict if typing.is_typeddict(origin) else origin
    name = type_name(annotation)

    def check(value: Any) -> Any:
        if isinstance(expected, type) and isinstance(value, expected):
            return value
        return _converted(annotation, value, name)

    return check


def _unchanged(value: Any) -> Any:
    return value


def _converted(annotation: Any, value: Any, name: str) -> Any:
    from pydantic import ValidationError

    if hasattr(value, "tolist") and not is_record(annotation):
        value = value.tolist()  # of numpy
    origin = typing.get_origin(stripped(annotation)) or stripped(annotation)
    if is_struct(origin) or is_document_class(origin):
        raise TypeError(name)
    try:
        return adapter(annotation).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise TypeError(f"{name}: {place + ': ' if place else ''}{first['msg']}") from None


class Unmapped(NamedTuple):
    """A type that has no form on the wire: where it stands, and what it is."""

    path: tuple[str, ...]
    annotation: Any


def unmapped(annotation: Any) -> Unmapped | None:
    """The first part of a type that cannot travel; None for types that can."""
    return next(_unmapped(annotation, (), frozenset()), None)


_TRAVEL = (
    str, bytes, bytearray, int, float, bool, type(None), None, Any, object, list, tuple, set, frozenset, dict,
    collections.abc.Mapping, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection,
)  # fmt: skip


def _unmapped(annotation: Any, path: tuple[str, ...], seen: frozenset[Any]) -> Iterator[Unmapped]:
    kind = stripped(annotation)
    if kind is not annotation and typing.get_origin(annotation) is typing.Annotated and _has_schema(annotation):
        return  # what is annotated says how it travels
    origin = typing.get_origin(kind)
    if is_record(kind):
        if kind not in seen:
            for name, inner in fields_of_record(kind):
                yield from _unmapped(inner, (*path, name), seen | {kind})
    elif origin is not None and (origin in {typing.Union, types.UnionType} or origin in _TRAVEL):
        for inner in typing.get_args(kind):
            if inner is not ...:
                yield from _unmapped(inner, path, seen)
    elif not (any(kind is one for one in _TRAVEL) or _travels(kind, origin) or _has_schema(kind)):
        yield Unmapped(path, kind)


def _travels(kind: Any, origin: Any) -> bool:
    """Whether a type is known to travel, or not resolved yet."""
    if origin is typing.Literal or isinstance(kind, str | typing.ForwardRef | typing.TypeVar):
        return True
    cls = origin or kind
    return isinstance(cls, type) and (issubclass(cls, enum.Enum) or _is_docarrays(cls) or _is_array(cls))


def _is_docarrays(cls: type) -> bool:
    from docarray.array.any_array import AnyDocArray
    from docarray.base_doc.base_node import BaseNode

    return issubclass(cls, AnyDocArray | BaseNode)


def _is_array(cls: type) -> bool:
    return cls.__module__ == "numpy" and cls.__name__ == "ndarray"


_NO_FORM = {"is-instance", "is-subclass", "callable", "generator", "any"}


def _has_schema(annotation: Any) -> bool:
    """Whether pydantic reads a type from JSON and writes it there."""
    from pydantic import TypeAdapter

    try:
        schema: Any = TypeAdapter(annotation).core_schema
    except Exception:  # noqa: BLE001 - whatever the class's own hook raises, it has no schema
        return False
    return not (isinstance(schema, Mapping) and schema.get("type") in _NO_FORM)
