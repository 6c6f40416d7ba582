"""The OpenAPI 3.1 document of a service (https://spec.openapis.org/oas/v3.1.0)."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from jina.net.service import EndpointInfo, flat_fields
from jina.server.http import DOCUMENTS, JSON, ExtraRoute, http_path, served_methods
from jina.server.uploads import FILE_KINDS, FORM, field_kinds, file_field

_REFERENCE = "#/components/schemas/"
_ANY_OBJECT: dict[str, Any] = {"type": "object", "additionalProperties": True}


def openapi_document(
    endpoints: Mapping[str, EndpointInfo],
    *,
    title: str,
    description: str | None,
    version: str,
    extra: Sequence[ExtraRoute] = (),
    hidden: Collection[str] = (),
    closed: bool = False,
) -> dict[str, Any]:
    """The document, ready for JSON; equal endpoints give equal documents. Paths of `hidden` are left out.

    `closed` says that callers need a key.
    """
    components = Components()
    paths = {http_path(path): _path_item(path, info, components) for path, info in endpoints.items()}
    for path in hidden:
        paths.pop(path, None)
    for route in extra:
        _add_extra(route, endpoints, paths, components)
    if "/post" not in hidden:
        paths.setdefault("/post", {"post": _post_operation(components)})
    for path, (summary, media_type) in _OWN_PAGES.items():
        if path not in hidden:
            paths.setdefault(path, {})["get"] = _page_operation(path, summary, media_type)
    tags = _tags(endpoints.values())
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, **({"description": description} if description else {})},
        "paths": paths,
        **({"tags": tags} if tags else {}),
        "components": {
            "schemas": components.schemas,
            "responses": {name: answer for name, (_, answer) in _RESPONSES.items()},
            **({"securitySchemes": _KEYS} if closed else {}),
        },
        **({"security": [{name: []} for name in _KEYS]} if closed else {}),
    }


def add_application(document: dict[str, Any], prefix: str, own: Mapping[str, Any]) -> None:
    """Describe the routes of a user's application that is mounted at `prefix`, whose own document is `own`.

    At the root, its patterns leave the paths that we have to us, as they do when a request comes.
    """
    names = _free_names(document["components"], own.get("components") or {})
    paths = document["paths"]
    taken = {operation.get("operationId") for item in paths.values() for operation in item.values()}
    for path, item in (own.get("paths") or {}).items():
        ours = paths.setdefault(prefix + path, {})
        for key, value in item.items():
            renamed = _with_names(value, names)
            if isinstance(renamed, dict) and renamed.get("operationId") in taken:
                renamed["operationId"] = f"{renamed['operationId']}_{_slug(prefix + path)}_own"
            if prefix or "{" not in path:
                ours[key] = renamed
            else:
                ours.setdefault(key, renamed)
    for section, items in (own.get("components") or {}).items():
        target = document["components"].setdefault(section, {})
        for name, value in items.items():
            target[names[section, name]] = _with_names(value, names)
    if own.get("tags"):
        document["tags"] = [*document.get("tags", ()), *own["tags"]]


def _free_names(ours: Mapping[str, Any], own: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """What each component of another document is called here, by section and name."""
    names = {}
    for section, items in own.items():
        taken = set(ours.get(section, ()))
        for name in items:
            free, number = name, 1
            while free in taken or (free != name and free in items):
                free, number = f"own_{name}" if number == 1 else f"own_{name}_{number}", number + 1
            names[section, name] = free
            taken.add(free)
    return names


def _with_names(value: Any, names: Mapping[tuple[str, str], str]) -> Any:
    """A part of another document whose references are to the names that its components have here."""
    if isinstance(value, list):
        return [_with_names(item, names) for item in value]
    if not isinstance(value, Mapping):
        return value
    copy = {key: _with_names(item, names) for key, item in value.items()}
    target = copy.get("$ref")
    if isinstance(target, str) and target.startswith("#/components/"):
        section, _, name = target.removeprefix("#/components/").partition("/")
        copy["$ref"] = f"#/components/{section}/{names.get((section, name), name)}"
    if isinstance(copy.get("security"), list):
        copy["security"] = [
            {names.get(("securitySchemes", name), name): scopes for name, scopes in one.items()}
            for one in copy["security"]
        ]
    return copy


def about(endpoints: Iterable[EndpointInfo]) -> str:
    """What the docstrings of the Executors say, each once."""
    return "\n\n".join(dict.fromkeys(info.about for info in endpoints if info.about))


def _tags(endpoints: Iterable[EndpointInfo]) -> list[dict[str, str]]:
    """The Executors by name, with the first line of what each says of itself."""
    found = {info.executor: info.about.partition("\n")[0] for info in endpoints if info.executor}
    return [{"name": name, **({"description": text} if text else {})} for name, text in found.items()]


def _add_extra(
    route: ExtraRoute, endpoints: Mapping[str, EndpointInfo], paths: dict[str, Any], components: Components
) -> None:
    info = endpoints.get(route.endpoint) or endpoints.get("/default")
    details = dict(route.details)
    if info is None or not details.pop("include_in_schema", True):
        return
    operation_id = details.pop("operation_id", None)
    by_get, by_body = _operations(route.endpoint, info, components)
    for method in route.methods:
        operation = {**_named(by_get if method == "GET" else by_body, method, route.path), **details}
        if operation_id:
            operation["operationId"] = operation_id
        paths.setdefault(route.path, {})[method.lower()] = operation


_KEYS = {
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
_OWN_PAGES = {
    "/": ("Whether the service is ready", "application/json"),
    "/status": ("Versions and settings", "application/json"),
    "/dry_run": ("Whether a request would be served", "application/json"),
    "/livez": ("Liveness probe", "text/plain"),
    "/readyz": ("Readiness probe", "text/plain"),
    "/startupz": ("Start-up probe", "text/plain"),
    "/metrics": ("Metrics in OpenMetrics text", "application/openmetrics-text"),
}


class Components:
    """Named schemas; equal ones are shared, different ones of one name get the endpoint into theirs."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {"Header": _HEADER, "Problem": _PROBLEM, "Invalid": _INVALID}
        self._names: dict[tuple[str, str], str] = {}

    def add(self, name: str, schema: Mapping[str, Any], qualifier: str, *, plain: bool = False) -> dict[str, Any]:
        """Register a JSON Schema with its `$defs`, of `plain` types or of documents; gives a reference to it."""
        definitions = {key: value for key, value in schema.get("$defs", {}).items() if isinstance(value, Mapping)}
        root = {key: value for key, value in schema.items() if key != "$defs"}
        if not root:
            root = dict(_ANY_OBJECT)
        target = root.get("$ref", "") if len(root) == 1 else ""
        if not target.startswith("#/$defs/"):
            target = f"#/$defs/{name}"
            definitions[name] = root
        names = {key: self._name(key, definitions, qualifier) for key in definitions}
        for key, component in names.items():
            if component not in self.schemas:
                self.schemas[component] = _renamed(definitions[key], names, _PLAIN_BYTES if plain else _BYTES)
        return {"$ref": _REFERENCE + names[target.removeprefix("#/$defs/")]}

    def _name(self, key: str, definitions: Mapping[str, Any], qualifier: str) -> str:
        content = json.dumps({used: definitions[used] for used in sorted(_closure(key, definitions))}, sort_keys=True)
        known = self._names.get((key, content))
        if known is not None:
            return known
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", key).strip("_") or "Document"
        taken = {*self._names.values(), "Header", "Problem", "Invalid"}
        name, number = plain, 1
        while name in taken:
            name = f"{qualifier}_{plain}" if number == 1 else f"{qualifier}_{plain}_{number}"
            number += 1
        self._names[key, content] = name
        return name


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        target = schema.get("$ref")
        if isinstance(target, str) and target.startswith("#/$defs/"):
            yield target.removeprefix("#/$defs/")
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _closure(key: str, definitions: Mapping[str, Any]) -> set[str]:
    found, waiting = set(), [key]
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in found:
            found.add(name)
            waiting.extend(_references(definitions[name]))
    return found


_FILE = "a file: a part of a form with a file name, or in JSON a data URL `data:image/png;base64,...`; no other text"
_BYTES = {
    "description": "bytes: a data URL `data:;base64,...` stands for the bytes that its base64 encodes, any other text"
    " for its UTF-8; base64 without that prefix is text",
    "examples": ["hello", "data:;base64,iVBORw0KGgo="],
}
"""What fields of bytes take; said here, because gateways of Jina 3 compare the schemas that workers tell them."""
_PLAIN_BYTES = {
    "description": "bytes: a file in a form, or in JSON a data URL `data:;base64,...`; no other text",
    "examples": ["data:;base64,iVBORw0KGgo="],
}
"""The same of plain types."""


def _renamed(schema: Any, names: Mapping[str, str], of_bytes: Mapping[str, Any]) -> Any:
    if isinstance(schema, Mapping):
        copy = {key: _renamed(value, names, of_bytes) for key, value in schema.items()}
        target = copy.get("$ref")
        if isinstance(target, str) and target.startswith("#/$defs/"):
            name = target.removeprefix("#/$defs/")
            copy["$ref"] = _REFERENCE + names.get(name, name)
        if copy.get("x-jina") == "file":
            return {**copy, "description": _FILE}
        if copy.get("format") == "binary":
            return {**of_bytes, **copy}
        return copy
    if isinstance(schema, list):
        return [_renamed(value, names, of_bytes) for value in schema]
    return schema


def _path_item(path: str, info: EndpointInfo, components: Components) -> dict[str, Any]:
    """The operations at the endpoint's own path."""
    by_get, by_body = _operations(path, info, components)
    return {
        method.lower(): _named(by_get if method == "GET" else by_body, method, path)
        for method in served_methods(path, info)
    }


def _named(operation: Mapping[str, Any], method: str, path: str) -> dict[str, Any]:
    return {"operationId": f"{method.lower()}_{_slug(path)}", **operation}


def _operations(path: str, info: EndpointInfo, components: Components) -> tuple[dict[str, Any], dict[str, Any]]:
    """How an endpoint is called by GET, with its document in the query, and by the other methods, with a body."""
    qualifier = _slug(path)
    plain = bool(info.answers)
    document = components.add(info.input_name, info.input_schema, qualifier, plain=plain)
    result = components.add(info.output_name, info.output_schema, f"{qualifier}_output", plain=plain)
    parameters: dict[str, Any] = dict(_ANY_OBJECT)
    if info.parameters_schema is not None:
        name = info.parameters_name or "Parameters"
        parameters = components.add(name, info.parameters_schema, f"{qualifier}_parameters")
    operation: dict[str, Any] = {
        **({"tags": [info.executor]} if info.executor else {}),
        "summary": info.description.partition("\n")[0],
        "description": info.description,
        "responses": {"200": _stream_of(result) if info.is_generator else _reply_of(result), **_FAILURES},
    }
    if info.answers:
        _describe_plain(operation, info, document, result)
    if info.is_write:
        operation["x-jina-write"] = True
    needs_parameters = bool(info.parameters_schema and info.parameters_schema.get("required"))
    body = operation.pop("requestBody", None)
    if body is None:
        example = example_of(info.input_schema)
        body = _request_body(document, parameters, needs_parameters=needs_parameters, example=example)
    body["content"] |= _file_bodies(info, document)
    if not info.is_generator and file_field(info.output_schema) is not None:
        answer = operation["responses"]["200"]
        raw = {"schema": _CONTENT}
        accepted = _media_types(info.output_schema, file_field(info.output_schema) or "")
        operation["responses"]["200"] = {**answer, "content": {**answer["content"], **dict.fromkeys(accepted, raw)}}
    return {**operation, "parameters": _query_of(info, parameters, needs_parameters)}, {
        **operation,
        "requestBody": body,
    }


_CONTENT = {"type": "string", "format": "binary", "description": "the content of the file as it is"}


def _file_bodies(info: EndpointInfo, document: Any) -> dict[str, Any]:
    """The bodies with files that an endpoint takes: a form, and the file itself where there is one field for it."""
    kinds = field_kinds(info.input_schema)
    if not any(kind.kind in FILE_KINDS for kind in kinds.values()):
        return {}
    bodies: dict[str, Any] = {FORM: {"schema": document}}
    if name := file_field(info.input_schema):
        bodies |= {kind: {"schema": _CONTENT} for kind in _media_types(info.input_schema, name)}
    return bodies


def _media_types(schema: Mapping[str, Any], name: str) -> tuple[str, ...]:
    accepted = field_kinds(schema)[name].accepts if name else tuple(schema.get("x-media-types", ()))
    return accepted or ("application/octet-stream",)


_OF_FIELDS = ("description", "default", "examples", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum",
              "exclusiveMinimum", "exclusiveMaximum", "multipleOf")  # fmt: skip
"""What the schema of a field says of its values."""


def _query_of(info: EndpointInfo, parameters: Any, needs_parameters: bool) -> list[dict[str, Any]]:
    """The query parameters: the fields of the document that have a place there, and `parameters` as JSON."""
    schema = info.input_schema
    found = []
    for name, kind in info.flat_fields.items():
        field = schema.get("properties", {}).get(name, {})
        own = {key: field[key] for key in _OF_FIELDS if field.get(key) is not None}
        description = own.pop("description", None)
        found.append(
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                **({"description": description} if description else {}),
                "schema": {"type": kind, **own},
            }
        )
    if "parameters" not in info.flat_fields:
        content = {"application/json": {"schema": parameters}}
        found.append({"name": "parameters", "in": "query", "required": needs_parameters, "content": content})
    return found


def example_of(schema: Mapping[str, Any]) -> Any:
    """A document of the class, from what its fields or the class itself give as examples; None where these lack."""
    if examples := schema.get("examples"):
        return examples[0] if isinstance(examples, list) else None
    fields = schema.get("properties", {})
    given = {name: field["examples"][0] for name, field in fields.items() if _is_list(field.get("examples"))}
    return given if given and set(schema.get("required", ())) <= given.keys() else None


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _describe_plain(operation: dict[str, Any], info: EndpointInfo, document: Any, result: Any) -> None:
    """Show the bare bodies of an endpoint of plain types instead of Jina 3's envelope, which it takes as well."""
    one, out = _bare(document, is_value=info.input_is_value), _bare(result, is_value=info.output_is_value)
    operation["requestBody"] = {
        "required": bool(not info.is_single or info.input_is_value or info.input_schema.get("required")),
        "content": {
            JSON: {"schema": one if info.is_single else {"type": "array", "items": one}},
            DOCUMENTS: {"schema": _BINARY},
        },
    }
    if info.parameters_schema is not None:
        required = info.parameters_schema.get("required", ())
        operation["parameters"] = [
            {"name": name, "in": "query", "required": name in required, "schema": {"type": kind}}
            for name, kind in flat_fields(info.parameters_schema).items()
        ]
    if info.is_generator:
        operation["responses"]["200"] = _stream_of(out)
        return
    is_list = info.answers == "many" or (info.answers == "each" and not info.is_single)
    schema = {"type": "array", "items": out} if is_list else out
    content = {JSON: {"schema": schema}, DOCUMENTS: {"schema": _BINARY}}
    operation["responses"]["200"] = {"description": "What the method returned", "content": content}


def _bare(reference: dict[str, Any], *, is_value: bool) -> dict[str, Any]:
    return {"$ref": f"{reference['$ref']}/properties/value"} if is_value else reference


def _slug(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", path).strip("_") or "root"


def _request_body(document: Any, parameters: Any, *, needs_parameters: bool, example: Any = None) -> dict[str, Any]:
    envelope = {
        "type": "object",
        "properties": {
            "data": {"anyOf": [{"type": "array", "items": document}, document]},
            "parameters": parameters,
            "header": {"$ref": f"{_REFERENCE}Header"},
        },
        "required": ["data", "parameters"] if needs_parameters else ["data"],
    }
    as_json: dict[str, Any] = {"schema": envelope}
    if example is not None:
        as_json["example"] = {"data": [example]}
    return {"required": True, "content": {"application/json": as_json, DOCUMENTS: {"schema": _BINARY}}}


def _reply_of(result: Any) -> dict[str, Any]:
    body = {
        "type": "object",
        "properties": {
            "data": {"type": "array", "items": result},
            "parameters": _ANY_OBJECT,
            "header": {"$ref": f"{_REFERENCE}Header"},
        },
        "required": ["data", "parameters", "header"],
    }
    content = {"application/json": {"schema": body}, DOCUMENTS: {"schema": _BINARY}}
    return {"description": "The documents that the handler gave", "content": content}


def _stream_of(result: Any) -> dict[str, Any]:
    content = {"text/event-stream": {"schema": _event_of(result)}, "application/x-ndjson": {"schema": result}}
    return {"description": "A document for each that the handler yields", "content": content}


def _event_of(result: Any) -> dict[str, Any]:
    """A server-sent event as an object of its fields, as OpenAPI 3.2 (section 4.14.2) describes those of a stream."""
    data = {"anyOf": [result, {"$ref": f"{_REFERENCE}Problem"}]}
    return {
        "type": "object",
        "properties": {
            "event": {"type": "string", "enum": ["update", "error", "end"]},
            "data": {"type": "string", "contentMediaType": JSON, "contentSchema": data},
        },
    }


def _post_operation(components: Components) -> dict[str, Any]:
    document = components.add("AnyDocument", _ANY_OBJECT, "post")
    body = _request_body(document, _ANY_OBJECT, needs_parameters=False)
    schema = body["content"]["application/json"]["schema"]
    schema["properties"]["execEndpoint"] = {"type": "string", "description": "the endpoint to call"}
    schema["properties"]["targetExecutor"] = {"type": "string"}
    schema["required"] = ["execEndpoint"]
    return {
        "operationId": "post",
        "summary": "Any endpoint, named in the body",
        "requestBody": body,
        "responses": {"200": _reply_of(document), **_FAILURES},
    }


def _page_operation(path: str, summary: str, media_type: str) -> dict[str, Any]:
    answer = {"description": summary, "content": {media_type: {"schema": {}}}}
    return {
        "operationId": f"get_own_{_slug(path)}",
        "summary": summary,
        "tags": ["server"],
        "responses": {"200": answer},
    }


_BINARY = {"type": "string", "format": "binary", "description": "a serialised docarray.DocListProto"}
_HEADER = {
    "type": "object",
    "properties": {"request_id": {"type": "string"}, "target_executor": {"type": "string"}},
}
_PROBLEM = {
    "type": "object",
    "description": "An error: the members of RFC 9457, with the error's class as `code`",
    "properties": {
        "detail": {"anyOf": [{"type": "string"}, {"type": "array", "items": _ANY_OBJECT}]},
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "errors": {"type": "array", "items": _ANY_OBJECT},
    },
    "required": ["detail", "type", "title", "status", "code", "errors"],
}
_INVALID = {
    "description": "What does not fit the types of the endpoint, and where",
    "allOf": [{"$ref": f"{_REFERENCE}Problem"}],
    "properties": {
        "errors": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "msg": {"type": "string"},
                    "type": {"type": "string"},
                    "input": {},
                },
                "required": ["loc", "msg", "type"],
            },
        }
    },
}


def _failure(description: str, model: str = "Problem") -> dict[str, Any]:
    schema = {"schema": {"$ref": f"{_REFERENCE}{model}"}}
    return {"description": description, "content": {"application/json": schema, "application/problem+json": schema}}


_RESPONSES = {
    "BadRequest": (400, _failure("The request cannot be read")),
    "TooLarge": (413, _failure("The request is larger than the server takes")),
    "UnsupportedMediaType": (415, _failure("The endpoint takes no bodies, or files, of this media type")),
    "Invalid": (422, _failure("The documents or parameters do not fit the types of the endpoint", "Invalid")),
    "Overloaded": (429, _failure("Too many requests; the header Retry-After says when to try again")),
    "Failed": (500, _failure("The method of the Executor raised an error")),
    "OutOfStorage": (507, _failure("No room on the disk of the server for a file")),
    "Unavailable": (503, _failure("Not ready, or stopping; the header Retry-After says when to try again")),
    "Late": (504, _failure("No answer within the time that the client, or the server, allows")),
}
_FAILURES: dict[str, Any] = {
    **{str(status): {"$ref": f"#/components/responses/{name}"} for name, (status, _) in _RESPONSES.items()},
    "default": _failure("An error"),
}
