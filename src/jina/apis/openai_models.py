"""What of a service clients of OpenAI's API can use: its endpoints as models, by what they take and give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from jina.errors import EndpointNotFound, nearest, quoted
from jina.net.service import EndpointInfo, endpoints_for_people
from jina.server.uploads import field_kinds

Kind = Literal["chat", "embedding", "rerank", "speech", "transcription"]
MARK: Final = "x-jina-serves"
"""Where the JSON Schema of a class tells what those do that take or give it."""


@dataclass(frozen=True, slots=True)
class Model:
    """An endpoint as a model: `serves` tells for what, the others are fields of its documents."""

    endpoint: str
    info: EndpointInfo
    serves: tuple[Kind, ...]
    text: str = "text"
    result: str = ""


class ModelNotFound(EndpointNotFound):
    """No endpoint has the name, or none of this name does what is asked for."""

    code = "model_not_found"


def models_of(endpoints: Mapping[str, EndpointInfo]) -> dict[str, Model]:
    """By name, which is the path of the endpoint without its first slash; endpoints that serve nothing are left out.

    So is what agents alone use.
    """
    found = {}
    for path, info in endpoints_for_people(endpoints).items():
        if (model := _model(path, info)) is not None:
            found[path.strip("/") or "default"] = model
    return found


def model_named(models: Mapping[str, Model], name: str, kind: Kind | None = None) -> Model:
    """The model of a name that serves `kind`; the only one where the name is empty. Raises `ModelNotFound`."""
    able = {known: model for known, model in models.items() if kind is None or kind in model.serves}
    if not name and len(able) == 1:
        return next(iter(able.values()))
    if name in able:
        return able[name]
    what = f"no {kind} model" if kind else "no model"
    known = f"there are {', '.join(sorted(able))}" if able else "this server has none"
    near = nearest(name, able) if name else None
    raise ModelNotFound(f"{what} {quoted(name)} here; {known}", help=f"did you mean {near!r}?" if near else "")


def _model(path: str, info: EndpointInfo) -> Model | None:
    takes, gives = resolved(info.input_schema), resolved(info.output_schema)
    if info.is_generator:
        if takes.get(MARK) == gives.get(MARK) == "chat":
            return Model(path, info, ("chat",))
        return _audio_model(path, info, _text_field(info))
    fields, results = takes.get("properties", {}), gives.get("properties", {})
    if "query" in fields and "documents" in fields and "scores" in results:
        return Model(path, info, ("rerank",), "query", "scores")
    text = _text_field(info)
    if text is not None and _is(results.get("embedding"), "array"):
        return Model(path, info, ("embedding", "rerank"), text, "embedding")
    return None if info.answers == "many" else _audio_model(path, info, text)


def _text_field(info: EndpointInfo) -> str | None:
    fields = properties_of(info.input_schema)
    names = ("text", "input", "prompt", *(("value",) if info.input_is_value else ()))
    return next((name for name in names if _is(fields.get(name), "string")), None)


def _audio_model(path: str, info: EndpointInfo, text: str | None) -> Model | None:
    """Of a method that takes audio and gives text, or takes text and gives audio."""
    results = properties_of(info.output_schema)
    said = "value" if info.output_is_value else "text"
    heard = _audio_field(info.input_schema)
    if heard is not None and _is(results.get(said), "string"):
        return Model(path, info, ("transcription",), heard, said)
    spoken = _audio_field(info.output_schema)
    return None if spoken is None or text is None else Model(path, info, ("speech",), text, spoken)


def _audio_field(schema: Mapping[str, Any]) -> str | None:
    """The field for a file of a class that says that it takes audio."""
    kinds = field_kinds({"$defs": schema.get("$defs", {}), "properties": properties_of(schema)})
    sounds = [name for name, kind in kinds.items() if kind.kind == "file" and not kind.many and _is_audio(kind.accepts)]
    return sounds[0] if len(sounds) == 1 else None


def _is_audio(accepts: Iterable[str]) -> bool:
    return any(kind.startswith("audio/") for kind in accepts)


def properties_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schemas of a class's fields."""
    fields: Mapping[str, Any] = resolved(schema).get("properties", {})
    return fields


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a schema refers to, where it is nothing but a reference into its own definitions."""
    target = schema.get("$ref", "")
    if isinstance(target, str) and target.startswith("#/$defs/"):
        found = schema.get("$defs", {}).get(target.removeprefix("#/$defs/"), {})
        return found if isinstance(found, Mapping) else {}
    return schema


def _is(field: Any, kind: str) -> bool:
    """Whether a field may be of a JSON type."""
    if not isinstance(field, Mapping):
        return False
    choices: Iterable[Any] = field.get("anyOf") or [field]
    return any(isinstance(one, Mapping) and one.get("type") == kind for one in choices)
