"""Methods that an agent uses beside tools: `@resource` and `@prompt`, as MCP knows them.

Each becomes an endpoint of its own below `/mcp/`, which other clients do not see: it takes one document, whose text is
a JSON object with the arguments, and gives one whose text is the JSON of the result. So they pass gateways as all
endpoints do.
"""

from __future__ import annotations

import base64
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NotRequired, TypeVar, overload

import msgspec

from jina.errors import ExecutorDefinitionError, ValidationFailed
from jina.executor.decorators import describe, kind_of, parameters_of
from jina.plan.plans import PROMPTS, RESOURCES

CONTENT_MARK = "x-mcp-content"
"""In the JSON Schema of `jina.mcp.Content`: how servers know it, which may be another process than the Executor's."""
PARAMETER = "mcp"
"""The name among the parameters of a request under which the answers of an agent's client are."""
_ATTRIBUTE = "__jina_offer__"
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_GIVEN = ("parameters", "headers")
"""What a method may take beside its arguments."""
F = TypeVar("F", bound=Callable[..., Any])


class InvalidArguments(ValidationFailed):
    """What a client gave a method does not fit its arguments; the method was not called."""


class Offer(msgspec.Struct, frozen=True):
    """What a decorator noted: `uri` is empty for a prompt."""

    name: str
    title: str
    uri: str = ""
    mime_type: str = ""

    @property
    def path(self) -> str:
        """The endpoint."""
        return f"{RESOURCES if self.uri else PROMPTS}{self.name}"


class OfferedMethod(msgspec.Struct, frozen=True):
    """A resource or prompt of one Executor: what calls it, and what clients are told of it."""

    path: str
    method_name: str
    function: Callable[..., Any]
    is_async: bool
    description: dict[str, Any] = msgspec.field(default_factory=dict)


def resource(
    func: Any = None, *, uri: str = "", name: str | None = None, title: str | None = None, mime_type: str | None = None
) -> Callable[[F], F]:
    """Let agents read what the method gives, at `uri`; `{name}` in it is an argument of the method of that name.

    The method returns text, bytes, or anything that is JSON. `mime_type` is found by what the method says it returns:
    `text/plain`, `application/octet-stream` or `application/json`. `name` is by default that of the method, `title` is
    for people. Served at `/mcp` where `apis` has `mcp`.
    """

    def decorate(function: F) -> F:
        where = describe(function)
        if not isinstance(uri, str) or ":" not in uri:
            raise ExecutorDefinitionError(
                f"@resource(uri={uri!r}) of {where}: uri has to be a URI, such as 'notes://today' or 'notes://{{day}}'"
            )
        wanted = {parameter.name for parameter in _arguments(function)}
        variables = variables_of(uri)
        if set(variables) != wanted or len(variables) != len(wanted):
            raise ExecutorDefinitionError(
                f"@resource(uri={uri!r}) of {where}: the method takes {_listed(wanted)}, the URI has"
                f" {_listed(variables)}",
                help="write each argument of the method into the URI once, as `{name}`",
            )
        kind = mime_type or _mime_type_of(function)
        return _note(function, Offer(name or function.__name__, title or "", uri, kind))

    if func is not None:
        raise ExecutorDefinitionError("@resource takes keywords: write @resource(uri='notes://today')")
    return decorate


@overload
def prompt(func: F) -> F: ...


@overload
def prompt(func: None = None, *, name: str | None = None, title: str | None = None) -> Callable[[F], F]: ...


def prompt(func: Any = None, *, name: str | None = None, title: str | None = None) -> Any:
    """Offer the method to people who use an agent: `@prompt` or `@prompt(name='review')`.

    It takes plain arguments and returns the text of a message of the user, a `jina.mcp.Content`, or a list of messages:
    each one of these, or `{"role": "assistant", "content": ...}`. Served at `/mcp` where `apis` has `mcp`.
    """

    def decorate(function: F) -> F:
        _arguments(function)
        return _note(function, Offer(name or function.__name__, title or ""))

    if isinstance(func, str):
        raise ExecutorDefinitionError(f"@prompt({func!r}): the name is a keyword, @prompt(name={func!r})")
    return decorate if func is None else decorate(func)


def _note(function: F, offer: Offer) -> F:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", offer.name):
        raise ExecutorDefinitionError(
            f"{describe(function)}: the name {offer.name!r} may have letters, digits, and _ . - alone"
        )
    if kind_of(function)[1]:
        raise ExecutorDefinitionError(f"{describe(function)} yields; resources and prompts return what they have")
    setattr(function, _ATTRIBUTE, offer)
    return function


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"


def variables_of(uri: str) -> list[str]:
    """The names in braces, in their order."""
    return _VARIABLE.findall(uri)


def pattern_of(uri: str) -> re.Pattern[str]:
    """What matches the URIs of a template, with a group for each variable: any text without a slash."""
    pieces = _VARIABLE.split(uri)
    text = "".join(f"(?P<{piece}>[^/]+)" if number % 2 else re.escape(piece) for number, piece in enumerate(pieces))
    return re.compile(text)


def _arguments(function: Any) -> list[inspect.Parameter]:
    """The parameters that clients fill; raises `ExecutorDefinitionError` for others than keywords."""
    found = []
    for parameter in parameters_of(function):
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ExecutorDefinitionError(
                f"parameter {parameter.name!r} of {describe(function)} is positional-only, but methods are called with"
                " keywords",
                help="leave out the `/` in its signature",
            )
        if parameter.name not in _GIVEN:
            found.append(parameter)
    return found


def _mime_type_of(function: Any) -> str:
    returned = _annotations(function).get("return", str)
    if returned is bytes:
        return "application/octet-stream"
    return "text/plain" if returned is str else "application/json"


def _annotations(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(inspect.unwrap(function))
    except Exception:  # noqa: BLE001 - names that cannot be resolved: text then
        return {}


def offers_of(executor: object) -> list[OfferedMethod]:
    """The resources and prompts of an Executor; raises `ExecutorDefinitionError` for two of one name or URI."""
    found: dict[str, OfferedMethod] = {}
    uris: dict[str, str] = {}
    for name, offer in _noted(type(executor)):
        method = getattr(executor, name)
        where = describe(method)
        for known, key, what in ((found, offer.path, "name"), (uris, offer.uri, "URI")):
            if key and key in known:
                raise ExecutorDefinitionError(f"{where}: another method of the class has the same {what}")
        uris[offer.uri] = where
        found[offer.path] = _offered(method, offer, name)
    return list(found.values())


def _noted(cls: type) -> Iterator[tuple[str, Offer]]:
    seen: set[str] = set()
    for owner in cls.__mro__:
        for name, value in vars(owner).items():
            offer = getattr(value, _ATTRIBUTE, None)
            if name not in seen and isinstance(offer, Offer):
                yield name, offer
            seen.add(name)


def _offered(method: Any, offer: Offer, name: str) -> OfferedMethod:
    arguments = _arguments(method.__func__)
    hints = _annotations(method)
    described: dict[str, Any] = {"name": offer.name}
    if offer.title:
        described["title"] = offer.title
    if text := inspect.getdoc(method):
        described["description"] = text
    if offer.uri:
        described = {"type": "resource", **described, "uri": offer.uri, "mimeType": offer.mime_type}
        described["values"] = {one.name: values for one in arguments if (values := _values(hints.get(one.name)))}
    else:
        listed = [{"name": one.name, "required": one.default is one.empty} for one in arguments]
        described = {"type": "prompt", **described, "arguments": listed}
        described["values"] = {one.name: values for one in arguments if (values := _values(hints.get(one.name)))}
    is_async = kind_of(method)[0]
    call = _Call(method, offer, arguments, hints)
    return OfferedMethod(offer.path, name, call.asynchronous if is_async else call.plain, is_async, described)


def _values(annotation: Any) -> list[str]:
    """The texts that an argument may have, where its annotation lists them."""
    if typing.get_origin(annotation) is typing.Literal:
        return [str(value) for value in typing.get_args(annotation)]
    members = getattr(annotation, "__members__", None)
    if isinstance(members, Mapping):
        return [str(member.value) for member in members.values()]
    return []


class _Call:
    """Calls one method with the arguments in a document, and writes what it gives into another."""

    def __init__(self, method: Any, offer: Offer, arguments: list[inspect.Parameter], hints: dict[str, Any]) -> None:
        self._method = method
        self._offer = offer
        self._arguments = arguments
        self._hints = hints
        self._names = frozenset(one.name for one in parameters_of(method.__func__))
        self._reader: Any = None

    def plain(self, doc: Any, parameters: Any, headers: Any) -> Any:
        """Call a `def` method."""
        given, uri = self._read(doc, parameters, headers)
        return self._written(self._method(**given), uri)

    async def asynchronous(self, doc: Any, parameters: Any, headers: Any) -> Any:
        """Call an `async def` method."""
        given, uri = self._read(doc, parameters, headers)
        return self._written(await self._method(**given), uri)

    def _read(self, doc: Any, parameters: Any, headers: Any) -> tuple[dict[str, Any], str]:
        from pydantic import TypeAdapter, ValidationError
        from typing_extensions import TypedDict  # pydantic refuses that of typing before Python 3.12

        if self._reader is None:
            fields = {one.name: self._hints.get(one.name, Any) for one in self._arguments}
            optional = {
                one.name: NotRequired[fields[one.name]] for one in self._arguments if one.default is not one.empty
            }
            self._reader = TypeAdapter(TypedDict("Arguments", {**fields, **optional}))  # type: ignore[operator]
        message = json.loads(doc.text or "{}")
        try:
            given: dict[str, Any] = self._reader.validate_python(message.get("arguments", {}))
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False)
            place = ".".join(str(part) for part in faults[0]["loc"])
            raise InvalidArguments(
                f"{self._offer.name}: {place}: {faults[0]['msg']}",
                errors=[{**fault, "loc": ["arguments", *fault["loc"]]} for fault in faults],
            ) from None
        beside = {"parameters": parameters, "headers": headers}
        given.update({name: value for name, value in beside.items() if name in self._names})
        return given, str(message.get("uri", self._offer.uri))

    def _written(self, value: Any, uri: str) -> Any:
        from jina.documents import Document

        if self._offer.uri:
            result: dict[str, Any] = {"contents": [_contents(value, uri, self._offer.mime_type)]}
        else:
            items = value if isinstance(value, list | tuple) else [value]
            result = {"messages": [_message(item) for item in items]}
            if text := inspect.getdoc(self._method):
                result["description"] = text
        return Document(text=json.dumps(result))


def _contents(value: Any, uri: str, mime_type: str) -> dict[str, Any]:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"uri": uri, "mimeType": mime_type, "blob": base64.b64encode(value).decode()}
    return {"uri": uri, "mimeType": mime_type, "text": value if isinstance(value, str) else _as_json(value)}


def _as_json(value: Any) -> str:
    from pydantic_core import to_json

    return to_json(value, fallback=str).decode()


def _message(item: Any) -> dict[str, Any]:
    if isinstance(item, Mapping):
        return {"role": str(item.get("role", "user")), "content": _content(item.get("content", ""))}
    return {"role": "user", "content": _content(item)}


def _content(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):
        return {"type": "text", "text": value}
    if (block := getattr(value, "block", None)) is not None and isinstance(block, types.MethodType):
        found: dict[str, Any] = block()
        return found
    return {"type": "text", "text": _as_json(value)}


def block_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The block of content that the fields of a `Content` describe."""
    kind = fields.get("type", "text")
    data, mime_type = fields.get("data"), fields.get("mime_type")
    if kind == "text":
        return {"type": "text", "text": fields.get("text", "")}
    if kind in {"image", "audio"}:
        default = "image/png" if kind == "image" else "audio/wav"
        return {"type": kind, "data": _base64(data or b""), "mimeType": mime_type or default}
    if kind == "resource_link":
        uri = fields.get("uri", "")
        link = {"type": kind, "uri": uri, "name": fields.get("name", uri)}
        return {**link, "mimeType": mime_type} if mime_type else link
    inside: dict[str, Any] = {"uri": fields.get("uri", "")}
    if mime_type:
        inside["mimeType"] = mime_type
    if data is not None:
        inside["blob"] = _base64(data)
    else:
        inside["text"] = fields.get("text", "")
    return {"type": "resource", "resource": inside}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
