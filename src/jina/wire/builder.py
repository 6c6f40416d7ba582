"""Values of fields -> a document, by the shortest way that its class allows.

A class whose construction pydantic alone decides (no validators, private attributes, `model_post_init` or
`__init__` of its own, no settings that change values) is *plain*: once each value is known to be what its
annotation says, the object is laid out as pydantic would, without running it. All others are called.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Optional, get_args

from docarray.base_doc.doc import BaseDocWithoutId
from pydantic import BaseModel, PydanticUndefinedAnnotation, ValidationError
from pydantic_core import PydanticUndefined, to_jsonable_python

from jina.errors import ConfigError, ValidationFailed
from jina.wire.loose import Invalid

Location = tuple[str | int, ...]

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


def is_plain(cls: Any) -> bool:
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


def layer(cls: type[BaseDocWithoutId]) -> Callable[[dict[str, Any], set[str]], Any]:
    """A function that lays out an object of a plain class from all its fields and the names of those given."""
    new = object.__new__

    def lay(values: dict[str, Any], given: set[str]) -> Any:
        doc = new(cls)
        _set_dict(doc, values)
        _set_fields_set(doc, given)
        _set_extra(doc, None)
        _set_private(doc, None)
        return doc

    return lay


def default_maker(field: Any) -> Callable[[], Any] | None:
    """What gives the default of a field, or None where there is none; `NeedsPydantic` comes of one that only it can."""
    if field.default is PydanticUndefined and field.default_factory is None:
        return None
    if field.validate_default:
        return _ask_pydantic
    factory = field.default_factory
    if factory is not None:
        return _ask_pydantic if getattr(field, "default_factory_takes_validated_data", False) else factory
    default = field.default
    if default is None or isinstance(default, str | bytes | int | float | bool):
        return lambda: default
    return lambda: copy.deepcopy(default)


def _ask_pydantic() -> Any:
    raise NeedsPydantic


def complete(cls: type[BaseDocWithoutId]) -> None:
    """Resolve what annotations refer to; raises `ConfigError` naming what is not defined."""
    try:
        cls.model_rebuild()
    except PydanticUndefinedAnnotation as error:
        raise ConfigError(f"{cls.__name__}: the annotation {error.name!r} is not defined") from None


def annotations_of(cls: type[BaseDocWithoutId]) -> dict[str, Any]:
    """The annotation of each field, with what `Field` and `Annotated` ask of it.

    A field with the default None may be None, whatever its annotation: what was left out here is None there.
    """
    return {name: _annotation(field) for name, field in cls.model_fields.items()}


def _annotation(field: Any) -> Any:
    annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return Optional[annotation] if field.default is None else annotation  # noqa: UP045 - a forward reference has no |


def tacit_nones(cls: type[BaseDocWithoutId]) -> frozenset[str]:
    """The names in JSON of the fields that are None by default though their annotation does not say so."""
    names = json_names(cls)
    return frozenset(
        names.get(name, name)
        for name, field in cls.model_fields.items()
        if field.default is None and type(None) not in get_args(field.annotation) and field.annotation is not Any
    )


def has_aliases(cls: type[BaseDocWithoutId]) -> bool:
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


def validate(cls: type[BaseDocWithoutId], values: Any, location: Location = ()) -> Any:
    """Construct through pydantic from values by the names of JSON; raises `ValidationFailed`."""
    try:
        return validated(cls, values)
    except ValidationError as error:
        raise failed(error, cls.__name__, location) from None
    except (TypeError, ValueError) as error:
        found = {"type": "value_error", "loc": list(location), "msg": str(error), "input": None}
        raise failure(cls.__name__, [found]) from error


def validated(cls: type[BaseDocWithoutId], values: Any) -> Any:
    """As `validate`, raising what pydantic and the class raise."""
    return cls.model_validate(values)


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
    told = f"{where}: {first['msg']}" if where else str(first["msg"])
    return ValidationFailed(f"{owner}: {told}{more}", errors=found)


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
