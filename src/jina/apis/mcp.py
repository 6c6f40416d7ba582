"""The Model Context Protocol over a service: streamable HTTP at `/mcp`, and what standard input shares with it.

Every endpoint is a tool; methods with `@resource` and `@prompt` are resources and prompts. Nothing is kept between two
requests, so that any replica of a gateway may answer any of them. A generator's documents are progress; closing the
connection cancels a call.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import orjson

from jina.apis.mcp_messages import (
    ASKING,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    VERSION,
    McpError,
    McpRequest,
    as_mcp_error,
    completed,
    read_message,
    result_message,
)
from jina.apis.mcp_tools import Tool, contents_of, progress_text, tools_of
from jina.codec.messages import Payload, Request
from jina.codec.payloads import JsonPayload
from jina.errors import (
    BadRequest,
    Cancelled,
    ExecutorError,
    InputRequired,
    JinaError,
    Overloaded,
    PermissionDenied,
    TooLarge,
    Unavailable,
    ValidationFailed,
    nearest,
    quoted,
)
from jina.executor.offers import PARAMETER, block_of, pattern_of, variables_of
from jina.net.auth import NAME_HEADER, Caller
from jina.net.limits import Gate
from jina.net.messages import as_jina_error, new_request_id
from jina.net.service import EndpointInfo
from jina.plan.plans import HttpPlan
from jina.server.apis import Api, ErrorForm, Methods
from jina.server.http import JSON, Exchange, dumps
from jina.server.http_calls import PING_INTERVAL, TIMEOUT_HEADER, deadline_of, guarded
from jina.version import __version__

PATH = "/mcp"
SECRET_VARIABLE = "JINA_MCP_SECRET"  # noqa: S105 - its name
"""The environment variable with what signs the states that clients carry; equal in all replicas of a gateway."""
_STATE_LIFE = 3600.0
"""Seconds for which a client may answer questions."""
_LIST_LIFE = 60_000
"""Milliseconds for which a client need not ask for a list again."""
_EVENTS = "text/event-stream"
_TOLD = (ValidationFailed, ExecutorError, BadRequest, TooLarge)
"""Errors that a model can learn from: they are results of a tool."""
_NEEDED = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
"""The capability of a client that a question needs."""
_LEGACY_NOT_FOUND = -32002
Notify = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Sends the client a notification: its method and parameters."""


@dataclass(slots=True)
class CallTerms:
    """What holds for the call of a client, beside its message. `notify` is None where it takes no notifications."""

    headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""
    deadline: float | None = None
    caller: Caller | None = None
    notify: Notify | None = None


class _Offers(NamedTuple):
    resources: list[EndpointInfo]
    prompts: dict[str, EndpointInfo]


class McpServer:
    """Answers requests of clients from a service, whichever way they came."""

    def __init__(self, gate: Gate, *, name: str = "jina", closed: bool = False) -> None:
        self._gate = gate
        self._server = {"name": name, "version": __version__}
        self._scope = "private" if closed else "public"
        self._seal = Seal((os.environ.get(SECRET_VARIABLE) or secrets.token_hex(32)).encode())
        self._made_of: Mapping[str, EndpointInfo] | None = None
        self._tools: dict[str, Tool] = {}
        self._offers = _Offers([], {})
        self._methods: dict[str, Callable[[McpRequest, CallTerms], Awaitable[bytes]]] = {
            "tools/list": self._list_tools,
            "tools/call": self._call_tool,
            "resources/list": self._list_resources,
            "resources/templates/list": self._list_templates,
            "resources/read": self._read_resource,
            "prompts/list": self._list_prompts,
            "prompts/get": self._get_prompt,
            "completion/complete": self._complete,
        }

    async def answer(self, request: McpRequest, terms: CallTerms) -> bytes:
        """The message that answers a request; raises `McpError`, and `Cancelled` where nobody waits any more."""
        try:
            self._refresh()
            return result_message(request, await self._found(request)(request, terms))
        except McpError as error:
            error.ident = request.ident
            raise
        except InputRequired as error:
            return result_message(request, self._input_required(request, error, terms))
        except Cancelled:
            raise
        except JinaError as error:
            failed = as_mcp_error(error)
            failed.ident = request.ident
            raise failed from error

    def _found(self, request: McpRequest) -> Callable[[McpRequest, CallTerms], Awaitable[bytes]]:
        method = request.method
        if request.is_modern and method == "server/discover":
            return self._discover
        if not request.is_modern and method in {"initialize", "ping", "logging/setLevel"}:
            return self._initialize if method == "initialize" else self._nothing
        offered = self._capabilities().keys()
        found = self._methods.get(method)
        group = {"completion/complete": "completions"}.get(method, method.partition("/")[0])
        if found is None or group not in offered:
            raise McpError(METHOD_NOT_FOUND, f"no method {quoted(method)} here")
        return found

    def _refresh(self) -> None:
        """Look at the endpoints again where they have changed; raises `Unavailable` while they are not known."""
        service = self._gate.service
        if not service.started:
            raise Unavailable("the service is not ready yet")
        endpoints = service.endpoints
        if endpoints is self._made_of:
            return
        self._tools = tools_of(endpoints)
        offers = [info for info in endpoints.values() if info.offer is not None]
        resources = [info for info in offers if info.offer and info.offer.get("type") == "resource"]
        prompts = {str(info.offer["name"]): info for info in offers if info.offer and info.offer["type"] == "prompt"}
        self._offers = _Offers(resources, prompts)
        self._made_of = endpoints

    def _capabilities(self) -> dict[str, Any]:
        found: dict[str, Any] = {"tools": {}}
        if self._offers.resources:
            found["resources"] = {}
        if self._offers.prompts:
            found["prompts"] = {}
        if self._offers.prompts or self._offers.resources:
            found["completions"] = {}
        return found

    def _result(self, request: McpRequest, members: dict[str, Any]) -> bytes:
        return dumps(completed(request, members, self._server))

    def _cached(self, request: McpRequest, members: dict[str, Any]) -> bytes:
        """A result that a client may keep."""
        hints = {"ttlMs": _LIST_LIFE, "cacheScope": self._scope} if request.is_modern else {}
        return self._result(request, {**members, **hints})

    def _about(self) -> dict[str, Any]:
        endpoints = self._gate.service.endpoints.values()
        texts = dict.fromkeys(info.about for info in endpoints if info.about and info.offer is None)
        return {"instructions": "\n\n".join(texts)} if texts else {}

    async def _discover(self, request: McpRequest, _terms: CallTerms) -> bytes:
        members = {"supportedVersions": [VERSION], "capabilities": self._capabilities(), **self._about()}
        return self._cached(request, members)

    async def _initialize(self, request: McpRequest, _terms: CallTerms) -> bytes:
        capabilities = {**self._capabilities(), "logging": {}}
        members = {"protocolVersion": request.version, "capabilities": capabilities, "serverInfo": self._server}
        return dumps({**members, **self._about()})

    async def _nothing(self, _request: McpRequest, _terms: CallTerms) -> bytes:
        return b"{}"

    async def _list_tools(self, request: McpRequest, terms: CallTerms) -> bytes:
        _check_cursor(request)
        tools = [tool.definition for tool in self._tools.values() if _may_call(terms.caller, tool.info.path)]
        return self._cached(request, {"tools": tools})

    async def _call_tool(self, request: McpRequest, terms: CallTerms) -> bytes:
        name = request.text("name")
        tool = self._tools.get(name)
        if tool is None:
            near = nearest(name, self._tools)
            raise McpError(INVALID_PARAMS, f"no tool {quoted(name)} here{f'; did you mean {near!r}?' if near else ''}")
        arguments = {} if request.params.get("arguments") is None else request.mapping("arguments")
        _check(terms.caller, tool.info.path)
        payload, parameters = tool.arguments(arguments)
        parameters.update(self._answers(request, terms))
        asked = self._request(tool.info, payload, parameters, terms, as_json=not tool.gives_content)
        try:
            members = await self._called(request, tool, asked, terms)
        except InputRequired:
            raise
        except _TOLD as error:
            members = b'"content":%b,"isError":true' % dumps([{"type": "text", "text": _told(error)}])
        if not request.is_modern:
            return b"{%b}" % members
        return b'{"resultType":"complete",%b,"_meta":%b}' % (
            members,
            dumps(completed(request, {}, self._server)["_meta"]),
        )

    async def _called(self, request: McpRequest, tool: Tool, asked: Request, terms: CallTerms) -> bytes:
        shown = _Shown(request, terms.notify)
        if tool.info.is_generator:
            async with aclosing(self._gate.stream(asked)) as replies:
                async for reply in replies:
                    await shown.take(reply.payload, tool)
        else:
            await shown.take((await self._gate.call(asked)).payload, tool)
        if tool.gives_content:
            return b'"content":%b,"isError":false' % dumps(shown.blocks)
        return tool.result(shown.items)

    def _request(
        self, info: EndpointInfo, payload: Any, parameters: dict[str, Any], terms: CallTerms, *, as_json: bool
    ) -> Request:
        return Request(
            info.path,
            payload,
            parameters,
            request_id=terms.request_id or new_request_id(),
            headers=terms.headers,
            deadline=terms.deadline,
            json_reply=as_json,
        )

    async def _list_resources(self, request: McpRequest, _terms: CallTerms) -> bytes:
        _check_cursor(request)
        return self._cached(request, {"resources": [_shown_offer(one, "uri") for one in self._fixed()]})

    def _fixed(self) -> list[dict[str, Any]]:
        offers = [dict(info.offer or {}) for info in self._offers.resources]
        return [offer for offer in offers if not variables_of(offer["uri"])]

    async def _list_templates(self, request: McpRequest, _terms: CallTerms) -> bytes:
        _check_cursor(request)
        offers = [dict(info.offer or {}) for info in self._offers.resources]
        found = [_shown_offer(offer, "uriTemplate") for offer in offers if variables_of(offer["uri"])]
        return self._cached(request, {"resourceTemplates": found})

    async def _read_resource(self, request: McpRequest, terms: CallTerms) -> bytes:
        uri = request.text("uri")
        for info in self._offers.resources:
            found = pattern_of((info.offer or {})["uri"]).fullmatch(uri)
            if found is not None:
                arguments = {name: unquote(value) for name, value in found.groupdict().items()}
                members = await self._offered(info, {"uri": uri, "arguments": arguments}, request, terms)
                hints = {"ttlMs": 0, "cacheScope": "private"} if request.is_modern else {}
                return self._result(request, {**members, **hints})
        code = INVALID_PARAMS if request.is_modern else _LEGACY_NOT_FOUND
        raise McpError(code, f"no resource {quoted(uri)} here", {"uri": uri})

    async def _list_prompts(self, request: McpRequest, _terms: CallTerms) -> bytes:
        _check_cursor(request)
        prompts = [dict(info.offer or {}) for info in self._offers.prompts.values()]
        return self._cached(request, {"prompts": [_without(prompt, "type", "values") for prompt in prompts]})

    async def _get_prompt(self, request: McpRequest, terms: CallTerms) -> bytes:
        info = self._prompt(request.text("name"))
        arguments = {} if request.params.get("arguments") is None else request.mapping("arguments")
        listed = (info.offer or {}).get("arguments", ())
        if missing := [one["name"] for one in listed if one.get("required") and one["name"] not in arguments]:
            raise McpError(INVALID_PARAMS, f"the prompt needs the arguments {', '.join(missing)}")
        members = await self._offered(info, {"arguments": arguments}, request, terms)
        return self._result(request, members)

    def _prompt(self, name: str) -> EndpointInfo:
        info = self._offers.prompts.get(name)
        if info is None:
            raise McpError(INVALID_PARAMS, f"no prompt {quoted(name)} here")
        return info

    async def _offered(
        self, info: EndpointInfo, message: dict[str, Any], request: McpRequest, terms: CallTerms
    ) -> dict[str, Any]:
        """What a resource or prompt gives."""
        _check(terms.caller, info.path)
        payload = JsonPayload([{"text": orjson.dumps(message).decode()}], single=True)
        asked = self._request(info, payload, self._answers(request, terms), terms, as_json=True)
        items = (await self._gate.call(asked)).payload.json_items()
        try:
            members: dict[str, Any] = orjson.loads(orjson.loads(items[0])["text"])
        except (IndexError, KeyError, TypeError, orjson.JSONDecodeError):
            raise McpError(INTERNAL_ERROR, f"{info.path} gave something else than it should") from None
        return members

    async def _complete(self, request: McpRequest, _terms: CallTerms) -> bytes:
        reference, argument = request.mapping("ref"), request.mapping("argument")
        name, begun = argument.get("name"), argument.get("value")
        if not isinstance(name, str) or not isinstance(begun, str):
            raise McpError(INVALID_PARAMS, "params.argument has to have a name and a value, both strings")
        values = self._values(reference).get(name, [])
        found = [value for value in values if value.startswith(begun)]
        return self._result(
            request, {"completion": {"values": found[:100], "total": len(found), "hasMore": len(found) > 100}}
        )

    def _values(self, reference: dict[str, Any]) -> dict[str, list[str]]:
        if reference.get("type") == "ref/prompt" and isinstance(reference.get("name"), str):
            info: EndpointInfo | None = self._prompt(reference["name"])
        elif reference.get("type") == "ref/resource" and isinstance(reference.get("uri"), str):
            uri = reference["uri"]
            info = next((one for one in self._offers.resources if (one.offer or {}).get("uri") == uri), None)
        else:
            info = None
        if info is None:
            raise McpError(INVALID_PARAMS, "params.ref has to name a prompt or the URI of a resource that is here")
        values: dict[str, list[str]] = (info.offer or {}).get("values") or {}
        return values

    def _answers(self, request: McpRequest, terms: CallTerms) -> dict[str, Any]:
        """The parameter with what the client has answered so far, where it has."""
        given, text = request.params.get("inputResponses", {}), request.params.get("requestState")
        if not isinstance(given, dict) or not all(isinstance(answer, dict) for answer in given.values()):
            raise McpError(INVALID_PARAMS, "params.inputResponses has to be an object of objects")
        if text is None:
            return {PARAMETER: {"responses": given}} if given else {}
        if not isinstance(text, str):
            raise McpError(INVALID_PARAMS, "params.requestState has to be a string")
        known = self._seal.open(text, _binding(request, terms))
        responses = {**known["responses"], **given}
        return {PARAMETER: {"responses": responses, "state": known["state"]}}

    def _input_required(self, request: McpRequest, error: InputRequired, terms: CallTerms) -> bytes:
        """The result that asks the client for what a method lacks; raises `McpError` where it cannot answer."""
        failed: McpError | None = None
        if not request.is_modern or request.method not in ASKING:
            failed = McpError(INTERNAL_ERROR, f"{error.message}: needs a client of the revision {VERSION}")
        kept = {
            name: question
            for name, question in error.requests.items()
            if _NEEDED.get(question.get("method", "")) in request.capabilities
        }
        if not kept and failed is None:
            lacking: dict[str, Any] = {
                _NEEDED.get(question.get("method", ""), "unknown"): {} for question in error.requests.values()
            }
            failed = McpError(MISSING_CAPABILITY, error.message, {"requiredCapabilities": lacking})
        if failed is not None:
            failed.ident = request.ident
            raise failed
        answers = self._answers(request, terms).get(PARAMETER, {})
        state = {"responses": answers.get("responses", {}), "state": error.state}
        members = {"inputRequests": kept, "requestState": self._seal.seal(state, _binding(request, terms))}
        return dumps(
            {"resultType": "input_required", **members, "_meta": completed(request, {}, self._server)["_meta"]}
        )


def _check_cursor(request: McpRequest) -> None:
    """Lists have one page, so that no cursor is ours."""
    if request.params.get("cursor") is not None:
        raise McpError(INVALID_PARAMS, "params.cursor is not one that this server gave")


def _check(caller: Caller | None, path: str) -> None:
    if caller is not None:
        caller.check(path)


def _may_call(caller: Caller | None, path: str) -> bool:
    try:
        _check(caller, path)
    except PermissionDenied:
        return False
    return True


def _without(offer: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in offer.items() if name not in names}


def _shown_offer(offer: dict[str, Any], uri_name: str) -> dict[str, Any]:
    return {uri_name: offer["uri"], **_without(offer, "type", "values", "uri")}


def _told(error: JinaError) -> str:
    """What a model reads of an error."""
    if isinstance(error, ValidationFailed) and error.errors:
        faults = [
            f"{'.'.join(str(part) for part in fault.get('loc', ()))}: {fault.get('msg', '')}" for fault in error.errors
        ]
        return "\n".join(faults)
    if isinstance(error, ExecutorError) and error.exception_args:
        return f"{error.name}: {', '.join(error.exception_args)}"
    return str(error)


def _binding(request: McpRequest, terms: CallTerms) -> bytes:
    """What a state belongs to: the same call of the same caller."""
    params = request.params
    what = [
        request.method,
        params.get("name"),
        params.get("uri"),
        params.get("arguments"),
        terms.headers.get(NAME_HEADER),
    ]
    return hashlib.sha256(orjson.dumps(what, option=orjson.OPT_SORT_KEYS)).digest()


class Seal:
    """Signs what clients carry for us between two calls, so that they cannot change it; they may read it."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def seal(self, content: dict[str, Any], binding: bytes) -> str:
        """The content as text that `open` reads for the same binding, for an hour."""
        data = orjson.dumps([content, int(self._clock() + _STATE_LIFE), secrets.token_hex(8)])
        return f"{_encoded(data)}.{_encoded(self._signature(data, binding))}"

    def open(self, text: str, binding: bytes) -> dict[str, Any]:
        """The content; raises `McpError` for a text that `seal` did not give for this binding, or not lately."""
        body, _, signature = text.partition(".")
        try:
            data, given = _bytes_in(body), _bytes_in(signature)
        except (binascii.Error, ValueError):
            raise _bad_state() from None
        if not hmac.compare_digest(given, self._signature(data, binding)):
            raise _bad_state()
        content, until, _nonce = orjson.loads(data)
        if self._clock() > until:
            raise McpError(INVALID_PARAMS, "params.requestState is too old: call again without it")
        found: dict[str, Any] = content
        return found

    def _signature(self, data: bytes, binding: bytes) -> bytes:
        return hmac.digest(self._secret, binding + data, "sha256")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes_in(text: str) -> bytes:
    data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _encoded(data) != text:
        raise ValueError("not the one form of these bytes")
    return data


def _bad_state() -> McpError:
    return McpError(INVALID_PARAMS, "params.requestState is not what this server gave for this call")


class _Shown:
    """What a call gives, and what a client sees of it before it ends."""

    def __init__(self, request: McpRequest, notify: Notify | None) -> None:
        self._request = request
        self._notify = notify
        self.items: list[bytes] = []
        """The documents, as JSON."""
        self.blocks: list[dict[str, Any]] = []
        """The pieces of content of the answer."""

    async def take(self, payload: Payload, tool: Tool) -> None:
        """Keep what came, and show it where that is of use."""
        if tool.gives_content:
            pieces = contents_of(payload)
            self.blocks += [block_of(fields) for fields in pieces if not await self._is_shown(fields)]
            return
        for item in tool.items(payload):
            self.items.append(item)
            if tool.info.is_generator and self._notify is not None and self._request.progress_token is not None:
                text = None if tool.gives_files else progress_text(item)
                await self._progress(float(len(self.items)), None, text)

    async def _is_shown(self, fields: dict[str, Any]) -> bool:
        """Show a piece of content that is for the time of the call alone; False for one that is part of the answer."""
        kind = fields.get("type", "text")
        if kind == "progress":
            if self._notify is not None and self._request.progress_token is not None:
                await self._progress(fields.get("progress", 0.0), fields.get("total"), fields.get("text"))
            return True
        if kind == "log":
            level = fields.get("level", "info")
            if self._notify is not None and self._request.wants_log(level):
                await self._notify("notifications/message", {"level": level, "data": fields.get("text", "")})
            return True
        return False

    async def _progress(self, done: float, total: float | None, text: str | None) -> None:
        assert self._notify is not None
        params: dict[str, Any] = {"progressToken": self._request.progress_token, "progress": done}
        if total is not None:
            params["total"] = total
        if text:
            params["message"] = text
        await self._notify("notifications/progress", params)


class McpApi(Api):
    """`/mcp` of HTTP listeners."""

    name = "mcp"

    def __init__(self, gate: Gate, plan: HttpPlan, *, closed: bool) -> None:
        super().__init__(gate, plan, closed=closed)
        self._server = McpServer(gate, name=plan.title or "jina", closed=closed)

    def routes(self) -> Mapping[str, Methods]:
        """See `Api`. Streams of a server without sessions are those of calls alone, so that GET has no meaning."""
        return {PATH: {"POST": self.answer}}

    def error_form(self, path: str, error: JinaError) -> ErrorForm | None:
        """See `Api`."""
        return (dumps(as_mcp_error(error).content()), ()) if path == PATH else None

    def openapi(self, endpoints: Mapping[str, EndpointInfo]) -> Mapping[str, Any]:
        """See `Api`."""
        del endpoints
        anything = {"content": {JSON: {"schema": {"type": "object"}}}}
        operation = {
            "operationId": "mcp",
            "summary": "The Model Context Protocol",
            "tags": ["mcp"],
            "requestBody": {"required": True, **anything},
            "responses": {
                "200": {"description": "The answer, as JSON or as server-sent events", **anything},
                "202": {"description": "A notification was taken"},
                "default": {"description": "An error of JSON-RPC", **anything},
            },
        }
        return {"paths": {PATH: {"post": operation}}}

    async def answer(self, exchange: Exchange) -> None:
        """Answer one POST."""
        events = _EventStream(exchange)
        exchange.request_id = exchange.request_id or new_request_id()
        try:
            self._check_origin(exchange)
            if not exchange.headers.get("content-type", "").lower().startswith(JSON):
                raise McpError(-32600, f"the content type has to be {JSON}", status=415)
            message = read_message(await exchange.body(), exchange.headers, self.gate.limits)
            if message is None:
                await exchange.respond((), None, status=202)
                return
            terms = self._terms(exchange, events)
            answer = await guarded(exchange, events.alive(self._server.answer(message, terms)), terms.deadline)
            await events.end(answer)
        except McpError as error:
            await events.fail(error)
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - each failure becomes an answer
            await events.fail(as_mcp_error(as_jina_error(error)))

    def _terms(self, exchange: Exchange, events: _EventStream) -> CallTerms:
        text = exchange.headers.get(TIMEOUT_HEADER)
        deadline = deadline_of(text) if text is not None else None
        notify = events.notify if events.possible else None
        return CallTerms(exchange.headers, exchange.request_id, deadline, exchange.caller, notify)

    def _check_origin(self, exchange: Exchange) -> None:
        """Refuse pages of other sites, which a browser would let call a server of this machine (DNS rebinding).

        Where callers need a key, which browsers do not add by themselves, a page of the server's own name may call.
        """
        origin = exchange.headers.get("origin")
        if origin is None or self.plan.cors:
            return
        try:
            parts = urlsplit(origin)
            host, place = parts.hostname, parts.netloc
        except ValueError:
            host = place = None
        if host in {"localhost", "127.0.0.1", "::1"}:
            return
        if self.closed and place and place == exchange.headers.get("host"):
            return
        raise McpError(
            -32600, f"pages of {quoted(origin)} may not call this server: cors=True lets all pages", status=403
        )


class _EventStream:
    """The answer to one request: JSON, or server-sent events once there is something to tell before the end."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        accepted = exchange.headers.get("accept", "")
        self.possible = _EVENTS in accepted or "*/*" in accepted
        self._silent = True

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification."""
        self._silent = False
        await self._event(dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    async def alive(self, work: Awaitable[bytes]) -> bytes:
        """The result of the work; while it takes long, the client gets signs of life."""
        if not self.possible:
            return await work
        beating = asyncio.create_task(self._beat())
        try:
            return await work
        finally:
            beating.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(PING_INTERVAL)
            if self._silent:
                await self._start()
                await self._exchange.write(b": ping\r\n\r\n")
            self._silent = True

    async def _start(self) -> None:
        if not self._exchange.started:
            await self._exchange.start_stream(_EVENTS.encode())

    async def _event(self, message: bytes, *, more: bool = True) -> None:
        await self._start()
        await self._exchange.write(b"event: message\r\ndata: " + message + b"\r\n\r\n", more=more)

    async def end(self, message: bytes) -> None:
        """Send the answer."""
        if self._exchange.started:
            await self._event(message, more=False)
        else:
            await self._exchange.respond_json(message)

    async def fail(self, error: McpError) -> None:
        """Send an error."""
        message = dumps(error.content())
        if self._exchange.started:
            await self._event(message, more=False)
            return
        headers = []
        if isinstance(error.cause, Overloaded):
            headers.append((b"retry-after", b"%d" % max(1, round(error.cause.retry_after))))
        elif isinstance(error.cause, Unavailable):
            headers.append((b"retry-after", b"1"))
        elif isinstance(error.cause, TooLarge):
            headers.append((b"connection", b"close"))  # the rest of the body is not worth reading
        discard = isinstance(error.cause, TooLarge)
        content = (b"content-type", JSON.encode())
        await self._exchange.respond((message,), content, status=error.status, headers=headers, discard=discard)
