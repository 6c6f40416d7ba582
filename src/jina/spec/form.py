"""How options look outside Python: on command lines and in tables."""

from __future__ import annotations

import inspect
import types
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from jina.spec.base import Spec

Form = Literal["flag", "text", "list", "one_or_list", "mapping"]


def form_of(field: FieldInfo) -> Form:
    """Whether an option is a switch, one text, a list, one or a list, or a mapping."""
    parts = _alternatives(field.annotation)
    if bool in parts:
        return "flag"
    origins = {get_origin(part) or part for part in parts}
    if Sequence in origins:
        return "one_or_list"
    if list in origins:
        return "list"
    return "mapping" if dict in origins else "text"


def type_name(field: FieldInfo) -> str:
    """The option's type in words: `number`, `text`, `list of text`, ..."""
    alternatives = _alternatives(field.annotation)
    if timedelta in alternatives:
        return "duration"
    names = [_name(part) for part in alternatives if part is not types.NoneType]
    return " or ".join(dict.fromkeys(names))


def bare(annotation: Any) -> Any:
    """The annotation without the validators that `Annotated` carries."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return bare(get_args(annotation)[0])
    arguments = get_args(annotation)
    if not arguments or origin is Literal:
        return annotation
    inner = tuple(bare(argument) for argument in arguments)
    return Union[inner] if origin in {Union, types.UnionType} else origin[inner]  # noqa: UP007 - made at run time


def group_of(model: type[BaseModel], name: str) -> tuple[str, str]:
    """The class that declares an option, and the first line of its docstring: options are listed by it."""
    specs = [cls for cls in reversed(model.__mro__) if issubclass(cls, Spec)]
    owner = next(cls for cls in specs if name in inspect.get_annotations(cls))
    return owner.__name__, (owner.__doc__ or "").strip().split("\n")[0].rstrip(".")


def _alternatives(annotation: Any) -> list[Any]:
    plain = bare(annotation)
    return list(get_args(plain)) if get_origin(plain) in {Union, types.UnionType} else [plain]


_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    dict: "mapping",
    list: "list",
    Any: "any",
}


def _name(part: Any) -> str:
    origin, arguments = get_origin(part), get_args(part)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in {list, Sequence}:
        return f"list of {_NAMES.get(arguments[0], 'value')}s"
    if origin is not None:
        return "mapping"
    return _NAMES.get(part, str(part))
