"""Parameters <-> the two fields that carry them.

`parameters` is a `Struct`, all that a Jina 3 peer knows: there every number is a float. `parameters_json`, which such
a peer does not read, holds the same as JSON with its integers. Both are written; a value of the JSON counts where its
numbers, as floats, are those of the Struct, because a Jina 3 hop in between may have changed the Struct, and it alone.

What JSON lacks travels as `pydantic_core.to_jsonable_python` shows it: bytes as text, `datetime` in ISO 8601, sets
and tuples as lists; arrays travel as lists. NaN and infinities are kept (as Python's json writes them: the field is
ours alone).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from jina.codec.json_text import more_values_in_text_than, nested_deeper_than
from jina.errors import BadClientInput, BadRequest

if TYPE_CHECKING:
    from jina.codec import pb

    Carrier = (
        pb.DataRequestProto | pb.SingleDocumentRequestProto | pb.EnvelopeProto | pb.SingleDocumentEnvelopeProto
    )  # fmt: skip
_DEEPEST = 32
"""Each dict in a `Struct` takes three of the 100 messages that readers allow inside each other
(https://protobuf.dev/programming-guides/proto-limits)."""


def write(parameters: Mapping[str, Any], into: Carrier) -> None:
    """Write both fields; raises `BadClientInput` for a key that is no str or a value that JSON cannot hold."""
    if not parameters:
        return
    values = plain(parameters)
    if nested_deeper_than(_DEEPEST, values):
        raise BadClientInput(
            f"parameters: more than {_DEEPEST} dicts and lists inside each other, which protobuf messages cannot hold"
        )
    into.parameters.SetInParent()
    _fill_struct(values, into.parameters)
    into.parameters_json = json.dumps(values, separators=(",", ":"), allow_nan=True).encode()


def more_than(limit: int, message: Carrier) -> bool:
    """Whether a message's parameters hold more than `limit` values, without reading them."""
    text = message.parameters_json
    if text and more_values_in_text_than(limit, text):
        return True
    # A value of a Struct takes at least two bytes: the tag and the length of its message.
    if not message.HasField("parameters") or message.parameters.ByteSize() <= 2 * limit:
        return False
    return _more_in_struct_than(limit, message.parameters)


def read(message: Carrier) -> dict[str, Any]:
    """The parameters with their types; raises `BadRequest` if the JSON field is not an object."""
    struct = _struct_value(message.parameters) if message.HasField("parameters") else {}
    text = message.parameters_json
    if not text:
        return struct
    try:
        exact = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"parameters_json is not JSON: {error}") from None
    if not isinstance(exact, dict):
        raise BadRequest("parameters_json is not a JSON object")
    if not message.HasField("parameters"):
        return exact
    return {
        name: exact[name] if name in exact and _agree(exact[name], value) else value for name, value in struct.items()
    }


def plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in JSON's own types; raises `BadClientInput` as `write` does."""
    for name in parameters:
        if not isinstance(name, str):
            raise BadClientInput(f"parameters: key {name!r} is a {type(name).__name__}; keys are str")
    try:
        if _is_json(parameters):
            return dict(parameters)
        from pydantic_core import to_jsonable_python

        shown = to_jsonable_python(dict(parameters), fallback=_foreign, inf_nan_mode="constants")
    except RecursionError:
        raise BadClientInput("parameters: too many dicts and lists inside each other") from None
    except ValueError as error:
        raise BadClientInput(f"parameters: {error}") from None
    assert isinstance(shown, dict)
    return shown


def _is_json(value: Any) -> bool:
    """Whether the value is made of JSON's own types only."""
    kind = type(value)
    if kind is dict:
        return all(type(name) is str and _is_json(item) for name, item in value.items())
    if kind is list:
        return all(map(_is_json, value))
    return kind in {str, int, bool, float, type(None)}


def _foreign(value: Any) -> Any:
    """Arrays and numpy scalars, by their own conversion."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise ValueError(
        f"a {type(value).__qualname__} cannot be sent as a parameter: make it a str, a number, a list or a dict"
    )


def _fill_struct(values: Mapping[str, Any], struct: pb.Struct) -> None:
    fields = struct.fields
    for name, value in values.items():
        _fill_value(value, fields[name])


def _fill_value(value: Any, into: pb.Value) -> None:
    if value is None:
        into.null_value = 0  # type: ignore[assignment]  # NULL_VALUE
    elif isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, int | float):
        into.number_value = _as_float(value)
    elif isinstance(value, str):
        into.string_value = value
    elif isinstance(value, Mapping):
        into.struct_value.SetInParent()
        _fill_struct(value, into.struct_value)
    else:
        into.list_value.SetInParent()
        for item in value:
            _fill_value(item, into.list_value.values.add())


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _struct_value(struct: pb.Struct) -> dict[str, Any]:
    fields = struct.fields
    return {name: _value(fields[name]) for name in fields}


def _value(value: pb.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _struct_value(value.struct_value)
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    return None if kind is None or kind == "null_value" else getattr(value, kind)


def _more_in_struct_than(limit: int, struct: pb.Struct) -> bool:
    waiting: list[Collection[pb.Value]] = [struct.fields.values()]
    total = 0
    while waiting and total <= limit:
        values = waiting.pop()
        total += len(values) or 1
        if total > limit:
            break
        for value in values:
            kind = value.WhichOneof("kind")
            if kind == "struct_value":
                waiting.append(value.struct_value.fields.values())
            elif kind == "list_value":
                waiting.append(value.list_value.values)
    return total > limit


def _agree(exact: Any, rounded: Any) -> bool:
    """Whether `rounded` is what a Struct makes of `exact`."""
    if isinstance(exact, dict):
        return (
            isinstance(rounded, dict)
            and exact.keys() == rounded.keys()
            and all(_agree(value, rounded[name]) for name, value in exact.items())
        )
    if isinstance(exact, list):
        return (
            isinstance(rounded, list)
            and len(exact) == len(rounded)
            and all(_agree(one, other) for one, other in zip(exact, rounded, strict=True))
        )
    if isinstance(exact, int | float) and not isinstance(exact, bool):
        number = _as_float(exact)
        return type(rounded) is float and (number == rounded or (math.isnan(number) and math.isnan(rounded)))
    return type(exact) is type(rounded) and bool(exact == rounded)
