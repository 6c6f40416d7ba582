"""How the fields of a schemaless Document are checked, serialised and described.

The annotations are those of DocArray's `LegacyDocument` (https://docs.docarray.org/migration_guide), so that
codecs treat both alike; a marker beside each replaces DocArray's validation, which is slow and guesses
(an int becomes an uninitialised array).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from docarray import BaseDoc
from docarray.typing import AnyEmbedding, AnyTensor, NdArray
from docarray.typing.tensor.abstract_tensor import AbstractTensor
from docarray.typing.tensor.embedding import NdArrayEmbedding
from pydantic import Strict
from pydantic_core import core_schema

from jina.documents.knot import array_class
from jina.documents.scores import Scores


@dataclass(frozen=True, eq=False)
class FieldRule:
    """A marker for `Annotated`: the value passes `check`, leaves as JSON by `dump`, and `schema` describes it."""

    check: Callable[[Any], Any]
    dump: Callable[[Any], Any]
    schema: dict[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        del source, handler
        return core_schema.no_info_plain_validator_function(
            self.check,
            serialization=core_schema.plain_serializer_function_ser_schema(self.dump, when_used="json-unless-none"),
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        del schema, handler
        return {"anyOf": [dict(self.schema), {"type": "null"}]}


def as_tensor(value: Any) -> Any:
    """The value as DocArray's tensor of the same framework; lists and tuples of numbers become NumPy arrays.

    Shape and dtype stay; memory is shared where there was an array. Raises ValueError for anything else.
    """
    return _as_array(value, NdArray, AnyTensor)


def as_embedding(value: Any) -> Any:
    """As `as_tensor`, in the class that DocArray uses for embeddings."""
    return _as_array(value, NdArrayEmbedding, AnyEmbedding)


def _as_array(value: Any, numpy_class: Any, any_class: Any) -> Any:
    if value is None or type(value) is numpy_class:
        return value
    if isinstance(value, np.ndarray):
        return value.view(numpy_class)
    if isinstance(value, list | tuple):
        return _numbers(value).view(numpy_class)
    if isinstance(value, np.generic):
        return np.asarray(value).view(numpy_class)
    if isinstance(value, AbstractTensor) or _is_framework_tensor(value):
        return any_class._docarray_validate(value)  # noqa: SLF001 - the only door to the other frameworks
    raise ValueError(f"expected an array or a list of numbers, got {type(value).__name__}")


def _numbers(values: Any) -> np.ndarray[Any, Any]:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"expected lists of equal length: {error}") from None
    if array.dtype.kind not in "biufc":
        raise ValueError(f"expected numbers, got a list of {array.dtype}")
    return array


def _is_framework_tensor(value: Any) -> bool:
    module = type(value).__module__.partition(".")[0]
    return module in {"torch", "tensorflow", "jax", "jaxlib"}


def to_numpy(tensor: Any) -> np.ndarray[Any, Any]:
    """Any tensor as a plain NumPy array, without a copy where the memory is shared."""
    if isinstance(tensor, np.ndarray):
        return tensor.view(np.ndarray)
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
    if isinstance(tensor, AbstractTensor) and hasattr(tensor, "_docarray_to_ndarray"):
        return np.asarray(tensor._docarray_to_ndarray())  # noqa: SLF001 - as above
    return np.asarray(tensor)


def _dump_tensor(tensor: Any) -> Any:
    return to_numpy(tensor).tolist()


def _check_tags(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value if isinstance(value, dict) else dict(value)
    raise ValueError(f"expected a dict, got {type(value).__name__}")


def _check_scores(value: Any) -> Scores | None:
    if value is None or isinstance(value, Scores):
        return value
    if isinstance(value, Mapping):
        return Scores(value)
    raise ValueError(f"expected a dict of scores, got {type(value).__name__}")


def _check_documents(value: Any) -> Any:
    array = array_class()
    if value is None or isinstance(value, array):
        return value
    if isinstance(value, BaseDoc):
        value = [value]
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping):
        raise ValueError(f"expected documents, got {type(value).__name__}")  # noqa: TRY004 - pydantic reports ValueErrors
    return array.of_values(value)


def _check_uri(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "__fspath__"):
        return str(value.__fspath__())
    raise ValueError(f"expected a str, got {type(value).__name__}")


def _check_blob(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise ValueError(f"expected bytes, got {type(value).__name__}")


def _dump_blob(value: bytes) -> str:
    """UTF-8 where it is, else base64: the form of bytes in the bodies of HTTP."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def jsonable(value: Any) -> Any:
    """A value of `tags` or `scores` in types that JSON has.

    NumPy numbers and tensors become numbers and lists, bytes become base64, sets and tuples lists, documents dicts.
    Raises TypeError for a type that JSON cannot express.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, np.ndarray | np.generic | AbstractTensor):
        return to_numpy(value).tolist()
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _dump_documents(docs: Any) -> Any:
    return [doc.model_dump(mode="json") for doc in docs]


_ARRAY = {"type": "array", "items": {}}
_DOCUMENTS = {"type": "array", "items": {"type": "object", "additionalProperties": True}}

Tensor = Annotated[AnyTensor | None, FieldRule(as_tensor, _dump_tensor, _ARRAY)]
Embedding = Annotated[AnyEmbedding | None, FieldRule(as_embedding, _dump_tensor, _ARRAY)]
Text = Annotated[str | None, Strict()]
Uri = Annotated[str | None, FieldRule(_check_uri, str, {"type": "string"})]
Blob = Annotated[bytes | None, FieldRule(_check_blob, _dump_blob, {"type": "string"})]
Tags = Annotated[dict[str, Any], FieldRule(_check_tags, jsonable, {"type": "object"})]
ScoreMap = Annotated[dict[str, Any] | None, FieldRule(_check_scores, jsonable, {"type": "object"})]

# Any, not DocList[Document]: from Python 3.12 on a class that refers to itself in DocArray's lists cannot be evaluated.
Documents = Annotated[Any, FieldRule(_check_documents, _dump_documents, _DOCUMENTS)]
