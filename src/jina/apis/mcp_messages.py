"""Messages of the Model Context Protocol: reading requests, and the forms of answers. Pure: no I/O.

Follows the revision 2026-07-28 (https://modelcontextprotocol.io/specification/2026-07-28), in which every request
stands alone, and what a server without sessions can do of those before it, which begin with `initialize`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jina.codec.json_text import loads, more_values_than, nested_deeper_than
from jina.errors import BadRequest, JinaError, quoted
from jina.net.limits import Limits

VERSION: Final = "2026-07-28"
"""The revision without sessions."""
HANDSHAKE_VERSIONS: Final = ("2025-11-25", "2025-06-18")
"""Revisions that begin with `initialize`, the newest first."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022
_STATUS = {METHOD_NOT_FOUND: 404, INTERNAL_ERROR: 500}
"""HTTP statuses of errors; 400 for all others."""

_META = "io.modelcontextprotocol/"
_PROTOCOL_VERSION = f"{_META}protocolVersion"
_CAPABILITIES = f"{_META}clientCapabilities"
_LOG_LEVEL = f"{_META}logLevel"
SERVER_INFO: Final = f"{_META}serverInfo"
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""By method the parameter that the header `Mcp-Name` repeats."""
ASKING: Final = frozenset(_NAMED)
"""Methods whose answers may ask for input of the client."""
LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""Of log messages, by severity."""
_ENCODED = re.compile(r"=\?base64\?(.*)\?=")


class McpError(Exception):
    """An error of the protocol: `code` and `data` are those of JSON-RPC, `status` that of HTTP."""

    def __init__(self, code: int, message: str, data: Any = None, *, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.status = _STATUS.get(code, 400) if status is None else status
        self.ident: str | int | None = None
        """The id of the request, where it could be read."""
        self.cause: JinaError | None = None

    def content(self) -> dict[str, Any]:
        """The message of JSON-RPC."""
        error = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return {"jsonrpc": "2.0", "id": self.ident, "error": error}


@dataclass(slots=True)
class McpRequest:
    """One request that a client sent."""

    ident: str | int
    method: str
    params: dict[str, Any]
    version: str
    """The revision that it follows."""
    capabilities: dict[str, Any] = field(default_factory=dict)
    """What the client says that it can do."""
    progress_token: str | int | None = None
    log_level: str | None = None
    """The lowest level of log messages that the client wants; None where it wants none."""

    @property
    def is_modern(self) -> bool:
        """Whether it stands alone; else the client began with `initialize`."""
        return self.version == VERSION

    def text(self, name: str) -> str:
        """A parameter that is a text; raises `McpError` where it is missing or something else."""
        value = self.params.get(name)
        if not isinstance(value, str):
            raise McpError(INVALID_PARAMS, f"params.{name} has to be a string")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """A parameter that is an object, empty where it is not given; raises `McpError` for something else."""
        value = self.params.get(name, {})
        if not isinstance(value, dict):
            raise McpError(INVALID_PARAMS, f"params.{name} has to be an object")
        return value

    def wants_log(self, level: str) -> bool:
        """Whether the client wants messages of a level."""
        return self.log_level is not None and LEVELS.index(level) >= LEVELS.index(self.log_level)


def read_message(body: bytes | str, headers: Mapping[str, str] | None, limits: Limits) -> McpRequest | None:
    """The request in a body, with its HTTP headers in lower case (None where there are none: standard input).

    None for a notification, which has no answer. Raises `McpError`.
    """
    message = _parsed(body, limits)
    ident = message.get("id")
    try:
        return _read(message, headers)
    except McpError as error:
        if isinstance(ident, str | int) and not isinstance(ident, bool):
            error.ident = ident
        raise


def _parsed(body: bytes | str, limits: Limits) -> dict[str, Any]:
    try:
        text = body.encode() if isinstance(body, str) else body
        message = loads(text)
    except (BadRequest, UnicodeEncodeError) as error:
        raise McpError(PARSE_ERROR, str(error)) from None
    if not isinstance(message, dict):
        raise McpError(INVALID_REQUEST, "the body has to be one JSON-RPC request or notification, an object")
    if nested_deeper_than(limits.depth + 4, message):
        raise McpError(
            INVALID_REQUEST, f"more than {limits.depth} arrays and objects inside each other: the max_depth here"
        )
    return message


def _read(message: dict[str, Any], headers: Mapping[str, str] | None) -> McpRequest | None:
    ident, method, params = message.get("id"), message.get("method"), message.get("params", {})
    if message.get("jsonrpc") != "2.0":
        raise McpError(INVALID_REQUEST, 'jsonrpc has to be "2.0"')
    if not isinstance(method, str):
        raise McpError(INVALID_REQUEST, "method has to be a string")
    if "id" not in message:
        return None
    if isinstance(ident, bool) or not isinstance(ident, str | int):
        raise McpError(INVALID_REQUEST, "id has to be a string or an integer")
    if not isinstance(params, dict):
        raise McpError(INVALID_PARAMS, "params has to be an object")
    meta = params.get("_meta", {})
    if not isinstance(meta, dict):
        raise McpError(INVALID_PARAMS, "params._meta has to be an object")
    request = McpRequest(ident, method, params, "", progress_token=_progress_token(meta))
    if _stands_alone(meta, headers):
        _read_alone(request, meta, headers)
    else:
        _read_of_session(request, headers)
    return request


def _progress_token(meta: dict[str, Any]) -> str | int | None:
    token = meta.get("progressToken")
    if token is not None and (isinstance(token, bool) or not isinstance(token, str | int)):
        raise McpError(INVALID_PARAMS, "params._meta.progressToken has to be a string or an integer")
    return token


def _stands_alone(meta: Mapping[str, Any], headers: Mapping[str, str] | None) -> bool:
    """Whether a request is of the revision without sessions, or of one to come."""
    if _PROTOCOL_VERSION in meta:
        return True
    version = headers.get("mcp-protocol-version") if headers is not None else None
    return version is not None and version not in HANDSHAKE_VERSIONS and not version.startswith(("2024-", "2025-"))


def _read_alone(request: McpRequest, meta: dict[str, Any], headers: Mapping[str, str] | None) -> None:
    version, capabilities = meta.get(_PROTOCOL_VERSION), meta.get(_CAPABILITIES)
    for name, value in ((_PROTOCOL_VERSION, version), (_CAPABILITIES, capabilities)):
        if value is None:
            raise McpError(INVALID_PARAMS, f"params._meta lacks {name!r}")
    if not isinstance(version, str):
        raise McpError(INVALID_PARAMS, f"params._meta: {_PROTOCOL_VERSION!r} has to be a string")
    if headers is not None:
        _compare(request, version, headers)
    if version != VERSION:
        raise McpError(
            UNSUPPORTED_VERSION,
            f"the revision {quoted(version)} of the protocol is not served here",
            {"supported": [VERSION], "requested": version},
        )
    if not isinstance(capabilities, dict):
        raise McpError(INVALID_PARAMS, f"params._meta: {_CAPABILITIES!r} has to be an object")
    level = meta.get(_LOG_LEVEL)
    if level is not None and level not in LEVELS:
        raise McpError(INVALID_PARAMS, f"params._meta: {_LOG_LEVEL!r} has to be one of {', '.join(LEVELS)}")
    request.version, request.capabilities, request.log_level = version, capabilities, level


def _compare(request: McpRequest, version: str, headers: Mapping[str, str]) -> None:
    """Raise where headers, by which proxies route, say something else than the body."""
    if headers.get("mcp-protocol-version") != version:
        raise McpError(HEADER_MISMATCH, "the header MCP-Protocol-Version is not the revision that the body names")
    if headers.get("mcp-method") != request.method:
        raise McpError(HEADER_MISMATCH, "the header Mcp-Method is not the method that the body names")
    name = _NAMED.get(request.method)
    value = request.params.get(name) if name else None
    if isinstance(value, str) and _decoded(headers.get("mcp-name")) != value:
        raise McpError(HEADER_MISMATCH, f"the header Mcp-Name is not params.{name} of the body")


def _decoded(header: str | None) -> str | None:
    """The text of a header; what is not ASCII comes as `=?base64?...?=`. None where that is malformed."""
    found = _ENCODED.fullmatch(header) if header is not None else None
    if found is None:
        return header
    try:
        data = base64.b64decode(found[1], validate=True)
        return data.decode() if base64.b64encode(data).decode() == found[1] else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _read_of_session(request: McpRequest, headers: Mapping[str, str] | None) -> None:
    version = headers.get("mcp-protocol-version") if headers is not None else None
    if request.method == "initialize":
        asked = request.params.get("protocolVersion")
        request.version = asked if asked in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[0]
        return
    if version is not None and version not in HANDSHAKE_VERSIONS:
        raise McpError(
            INVALID_REQUEST,
            f"the revision {quoted(version)} of the protocol is not served here; there are"
            f" {', '.join((VERSION, *HANDSHAKE_VERSIONS))}",
        )
    request.version = version or HANDSHAKE_VERSIONS[0]
    request.log_level = "info"


def check_size(values: Any, limits: Limits) -> None:
    """Raise where arguments hold more values than parameters may."""
    if more_values_than(limits.parameters, values):
        raise McpError(INVALID_PARAMS, f"more than {limits.parameters} values, the max_parameters of this server")


def as_mcp_error(error: JinaError) -> McpError:
    """An error of the service as one of the protocol, in which a client sees what to do by the status of HTTP."""
    status = error.http_status
    code = INTERNAL_ERROR if status >= 500 or status in {401, 403, 429, 499} else INVALID_PARAMS
    failed = McpError(code, str(error), {"code": type(error).__name__}, status=status)
    failed.cause = error
    return failed


def result_message(request: McpRequest, result: bytes) -> bytes:
    """The answer to a request; `result` is a JSON object."""
    from jina.server.http import dumps

    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (dumps(request.ident), result)


def completed(request: McpRequest, members: dict[str, Any], server: dict[str, Any]) -> dict[str, Any]:
    """The members of a result with those that its revision wants beside them."""
    if not request.is_modern:
        return members
    return {"resultType": "complete", **members, "_meta": {SERVER_INFO: server}}
