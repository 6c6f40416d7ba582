"""What annotations of fields mean, for both compilers of readers."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Any, get_origin

import numpy as np
from docarray.array.doc_vec.doc_vec import DocVec
from docarray.base_doc.doc import BaseDocWithoutId
from docarray.typing import AnyTensor, AnyUrl, NdArray
from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter

from jina.wire.loose import Invalid


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


def known_values(values: Iterable[Any]) -> dict[tuple[type, Any], Any]:
    """The allowed values of a Literal, by class and value."""
    return {(type(value), value): value for value in values}


def known_members(values: type[enum.Enum]) -> dict[tuple[type, Any], enum.Enum] | None:
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
        from jina.documents.docvec import ensure_docvec

        ensure_docvec()
        if not docs:
            raise Invalid("a DocVec cannot be empty; make the field Optional, or a DocList")
        return annotation(docs)

    return make


def own_url_rule(cls: Any) -> bool:
    """Whether a URL class checks its values as DocArray's own do."""
    return bool(cls._docarray_validate.__func__ is AnyUrl._docarray_validate.__func__)  # type: ignore[attr-defined]  # noqa: SLF001 - as above


def validator_of(annotation: Any) -> Callable[[Any], Any]:
    """The validation of one annotation as a function; raises what pydantic raises."""
    try:
        return TypeAdapter(annotation).validate_python
    except PydanticSchemaGenerationError:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).validate_python
