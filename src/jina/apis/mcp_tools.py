"""Endpoints as tools of the Model Context Protocol: their names and schemas, arguments, and results. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from jina.apis.mcp_messages import INVALID_PARAMS, McpError
from jina.codec import pb
from jina.codec.messages import Payload
from jina.codec.payloads import JsonPayload
from jina.executor.offers import CONTENT_MARK, block_of
from jina.net.service import EndpointInfo
from jina.server.plain_bodies import unwrapped
from jina.server.uploads import field_kinds

_OTHER = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST = 128
_DATA_URL = "a data URL, data:MEDIA/TYPE;base64,... with the content in base64"
_TEXT_OF_PROGRESS = 1000
"""Letters of a document that are shown as the message of progress."""


def public_names(paths: Iterable[str]) -> dict[str, str]:
    """A name for each endpoint, of letters, digits and _ . - alone: what other protocols call it. Path by name."""
    names: dict[str, str] = {}
    for path in sorted(paths):
        plain = _OTHER.sub("_", path.strip("/")).strip("_")[:_LONGEST] or "root"
        name, number = plain, 1
        while name in names:
            number += 1
            name = f"{plain[: _LONGEST - 5]}_{number}"
        names[name] = path
    return names


@dataclass(frozen=True, slots=True)
class Tool:
    """One endpoint as a tool; `definition` is what clients are told."""

    name: str
    info: EndpointInfo
    definition: dict[str, Any]
    gives_content: bool
    """Whether it answers with pieces of content instead of documents."""
    gives_files: bool = False
    """Whether its answers are files, which are content too."""

    @property
    def one(self) -> bool:
        """Whether it answers with one document, which is the result itself."""
        return _gives_one(self.info)

    def arguments(self, given: dict[str, Any]) -> tuple[Payload, dict[str, Any]]:
        """The documents and the parameters in the arguments of a call; raises `McpError`."""
        parameters: Any = {}
        if self.info.parameters_schema is not None or not self.info.is_single:
            given = dict(given)
            parameters = given.pop("parameters", {})
        if not isinstance(parameters, dict):
            raise McpError(INVALID_PARAMS, "params.arguments.parameters has to be an object")
        if self.info.is_single:
            return JsonPayload([given], location=("arguments",), single=True), dict(parameters)
        docs = given.get("docs", [])
        if self.info.input_is_value and isinstance(docs, list):
            docs = [doc if isinstance(doc, dict) and doc.keys() == {"value"} else {"value": doc} for doc in docs]
        if not isinstance(docs, list) or not all(isinstance(doc, dict) for doc in docs):
            raise McpError(INVALID_PARAMS, "params.arguments.docs has to be a list of objects")
        return JsonPayload(docs, location=("arguments", "docs")), dict(parameters)

    def items(self, payload: Payload) -> list[bytes]:
        """The documents in an answer, each as JSON; files, and values in a list, without the object around them."""
        items = payload.json_items()
        bare = self.info.output_is_value and (self.gives_files or not self.one)
        return [unwrapped(item) for item in items] if bare else items

    def result(self, items: list[bytes]) -> bytes:
        """The members of the result of a call that gave `items`."""
        if self.gives_files:
            return b'"content":%b,"isError":false' % orjson.dumps([_file_block(item) for item in items])
        text = items[0] if self.one and len(items) == 1 else b'{"items":[' + b",".join(items) + b"]}"
        return b'"content":[{"type":"text","text":%b}],"structuredContent":%b,"isError":false' % (
            orjson.dumps(text.decode()),
            text,
        )


def tools_of(endpoints: Mapping[str, EndpointInfo]) -> dict[str, Tool]:
    """The tools by name, in the order of their paths. Executors without endpoints, and offers, are none."""
    shown = {path: info for path, info in endpoints.items() if info.offer is None and not info.is_passthrough}
    return {name: _tool(name, shown[path]) for name, path in public_names(shown).items()}


def _tool(name: str, info: EndpointInfo) -> Tool:
    output, gives_content = _plain(info.output_schema), bool(_resolved(info.output_schema).get(CONTENT_MARK))
    kind = field_kinds(output).get("value") if info.output_is_value else None
    gives_files = kind is not None and kind.kind == "file" and not kind.many
    definition: dict[str, Any] = {"name": name}
    definition["description"] = info.description or f"The endpoint {info.path} of the service."
    definition["inputSchema"] = _changed(_input_schema(info), _describe_bytes)
    if not gives_content and not gives_files:
        definition["outputSchema"] = (
            output if _gives_one(info) else _listed(output, "items", is_value=info.output_is_value)
        )
    if info.is_safe:
        definition["annotations"] = {"readOnlyHint": True}
    return Tool(name, info, definition, gives_content, gives_files)


def _file_block(item: bytes) -> dict[str, Any]:
    """A file, which is a data URL in JSON, as what a client shows: a picture, a sound, or any file."""
    from jina.documents.files import read_data_url

    found = orjson.loads(item)
    file = read_data_url(found) if isinstance(found, str) else None
    if file is None:
        return block_of({"text": item.decode()})
    media_type, name, data = file
    kind = media_type.partition("/")[0]
    fields = {"type": kind if kind in {"image", "audio"} else "resource", "mime_type": media_type, "data": data}
    return block_of({**fields, "uri": f"file:///{quote(name or 'file')}"})


def _gives_one(info: EndpointInfo) -> bool:
    """Whether a call gives one document, rather than a list: of plain types also where it takes several."""
    if info.is_generator or info.answers == "many":
        return False
    return info.is_single or info.answers == "one"


def _input_schema(info: EndpointInfo) -> dict[str, Any]:
    """The schema of the arguments: the fields of the document, or a list of documents as `docs`."""
    document = _plain(info.input_schema)
    if not info.answers:
        document = _changed(document, _remove_id)
    schema = document if info.is_single else _listed(document, "docs", is_value=info.input_is_value)
    if info.parameters_schema is None and info.is_single:
        return schema
    parameters = _renamed(_plain(info.parameters_schema or {"type": "object"}), "Parameters.")
    definitions = {**schema.get("$defs", {}), **parameters.pop("$defs", {})}
    parameters.pop("$schema", None)
    schema = {**schema, "properties": {**schema.get("properties", {}), "parameters": parameters}}
    if definitions:
        schema["$defs"] = definitions
    if parameters.get("required"):
        schema["required"] = [*schema.get("required", ()), "parameters"]
    return schema


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a schema refers to, where it is nothing but a reference into its own definitions."""
    target = schema.get("$ref", "")
    if isinstance(target, str) and target.startswith("#/$defs/"):
        found = schema.get("$defs", {}).get(target.removeprefix("#/$defs/"), {})
        return found if isinstance(found, Mapping) else {}
    return schema


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with its properties at the top, and the type `object`, which the protocol wants."""
    found = _resolved(schema)
    top = {key: value for key, value in found.items() if key != CONTENT_MARK}
    if "$defs" in schema:
        top["$defs"] = schema["$defs"]
    return {**top, "type": "object"}


def _listed(schema: dict[str, Any], name: str, *, is_value: bool) -> dict[str, Any]:
    """The schema of an object that holds a list of what `schema` describes: of its field `value` with `is_value`."""
    top: dict[str, Any] = {key: schema[key] for key in ("$schema", "$defs") if key in schema}
    items = {key: value for key, value in schema.items() if key not in top}
    if is_value:
        items = schema.get("properties", {}).get("value", {})
    return {**top, "type": "object", "properties": {name: {"type": "array", "items": items}}, "required": [name]}


def _changed(schema: Any, change: Callable[[dict[str, Any]], None]) -> Any:
    """A copy of the schema, of which `change` has got each object, the inner ones first."""
    if isinstance(schema, list):
        return [_changed(item, change) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: _changed(value, change) for key, value in schema.items()}
    change(copy)
    return copy


def _describe_bytes(schema: dict[str, Any]) -> None:
    """Say what to write where a file or bytes are wanted; models know no other form of them in JSON."""
    if schema.get("type") == "string" and schema.get("format") == "binary":
        schema.setdefault("description", _DATA_URL)


def _remove_id(schema: dict[str, Any]) -> None:
    """Take out the id of a document, which is made where it is not given."""
    properties = schema.get("properties")
    if isinstance(properties, dict) and _is_id(properties.get("id")):
        schema["properties"] = {name: field for name, field in properties.items() if name != "id"}
        if isinstance(schema.get("required"), list):
            schema["required"] = [name for name in schema["required"] if name != "id"]
            if not schema["required"]:
                del schema["required"]


def _is_id(field: Any) -> bool:
    """Whether a field is the id that every document has, and not one of the user's own."""
    if not isinstance(field, dict) or field.get("title") != "Id":
        return False
    kinds = [one.get("type") for one in field.get("anyOf", ()) if isinstance(one, dict)]
    return sorted(map(str, kinds)) == ["null", "string"]


def _renamed(schema: Any, prefix: str) -> Any:
    """The schema with other names for its definitions, so that it can stand beside another one's."""
    if isinstance(schema, list):
        return [_renamed(item, prefix) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: _renamed(value, prefix) for key, value in schema.items()}
    target = copy.get("$ref")
    if isinstance(target, str) and target.startswith("#/$defs/"):
        copy["$ref"] = f"#/$defs/{prefix}{target.removeprefix('#/$defs/')}"
    if isinstance(copy.get("$defs"), dict):
        copy["$defs"] = {prefix + name: value for name, value in copy["$defs"].items()}
    return copy


def progress_text(item: bytes) -> str:
    """What a document or value that a generator yields shows of itself while the call goes on."""
    try:
        found = orjson.loads(item)
    except orjson.JSONDecodeError:
        found = None
    text = found.get("text") if isinstance(found, dict) else found
    shown = text if isinstance(text, str) and text else item.decode("utf-8", "replace")
    return shown if len(shown) <= _TEXT_OF_PROGRESS else shown[:_TEXT_OF_PROGRESS] + "..."


def contents_of(payload: Payload) -> list[dict[str, Any]]:
    """The fields of the pieces of content that an endpoint gave; see `jina.mcp.Content`."""
    message = pb.DocListProto.FromString(payload.to_bytes())
    return [{name: value for name, node in doc.data.items() if (value := _value(node)) is not None}
            for doc in message.docs]  # fmt: skip


def _value(node: Any) -> Any:
    kind = node.WhichOneof("content")
    return getattr(node, kind) if kind in {"text", "blob", "integer", "float", "boolean"} else None
