"""The Open Inference Protocol, version 2, over a service: models below `/v2`, and `inference.GRPCInferenceService`.

An endpoint whose fields are tensors is a model, named as its path without slashes. Both follow
https://github.com/kserve/open-inference-protocol, with the extension for binary tensors over HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from jina.apis.oip_grpc import methods
from jina.apis.oip_models import VERSION, Inference, OipModels, metadata_of
from jina.apis.oip_tensors import tensor_of_list, tensor_of_raw
from jina.codec.json_text import loads
from jina.errors import BadRequest, JinaError, quoted
from jina.net.messages import new_request_id
from jina.server.apis import ErrorForm, Methods
from jina.server.http import JSON_HEADER, Exchange, dumps
from jina.server.http_calls import TIMEOUT_HEADER, deadline_of, guarded

PREFIX = "/v2"
JSON_SIZE = "inference-header-content-length"
"""The header with the bytes of JSON that stand before binary tensors."""
_BINARY = (b"content-type", b"application/octet-stream")
_OURS = {"binary_data_output"}
"""Parameters of a request that are for the server."""


class OipApi(OipModels):
    """See `jina.server.apis.Api`."""

    name = "oip"

    # --- HTTP ---------------------------------------------------------------------------------------------

    def routes(self) -> Mapping[str, Methods]:
        """See `Api`."""
        routes: dict[str, Methods] = {
            PREFIX: {"GET": self._server},
            f"{PREFIX}/health/live": {"GET": self._live},
            f"{PREFIX}/health/ready": {"GET": self._ready},
            f"{PREFIX}/models": {"GET": self._list},
        }
        for path in (f"{PREFIX}/models/{{model}}", f"{PREFIX}/models/{{model}}/versions/{{version}}"):
            routes[path] = {"GET": self._metadata}
            routes[f"{path}/ready"] = {"GET": self._model_ready}
            routes[f"{path}/infer"] = {"POST": self._infer}
        return routes

    def error_form(self, path: str, error: JinaError) -> ErrorForm | None:
        """See `Api`."""
        return (dumps({"error": str(error)}), ()) if path == PREFIX or path.startswith(f"{PREFIX}/") else None

    async def _server(self, exchange: Exchange) -> None:
        await exchange.respond_json(dumps(self.about()))

    async def _live(self, exchange: Exchange) -> None:
        await exchange.respond_json(b'{"live":true}')

    async def _ready(self, exchange: Exchange) -> None:
        ready = self.gate.ready
        await exchange.respond_json(dumps({"ready": ready}), status=200 if ready else 503)

    async def _list(self, exchange: Exchange) -> None:
        await exchange.respond_json(dumps({"models": list(self.models())}))

    async def _model_ready(self, exchange: Exchange, model: str, version: str = "") -> None:
        self.model(model, version)
        ready = self.gate.ready
        content = {"name": model, "ready": ready}
        await exchange.respond_json(dumps(content), status=200 if ready else 503)

    async def _metadata(self, exchange: Exchange, model: str, version: str = "") -> None:
        await exchange.respond_json(dumps(metadata_of(self.model(model, version))))

    async def _infer(self, exchange: Exchange, model: str, version: str = "") -> None:
        found = self.model(model, version)
        body = await exchange.body()
        content, binary = _content(body, exchange.headers.get(JSON_SIZE))
        asked, form = _read_request(content, binary)
        exchange.request_id = exchange.request_id or asked.ident or new_request_id()
        asked.headers, asked.caller = exchange.headers, exchange.caller
        if (text := exchange.headers.get(TIMEOUT_HEADER)) is not None:
            asked.deadline = deadline_of(text)
        ident, asked.ident = asked.ident, exchange.request_id
        tensors = await guarded(exchange, self.infer(found, asked), asked.deadline)
        head: dict[str, Any] = {"model_name": model, "model_version": VERSION, "outputs": []}
        if ident:
            head["id"] = ident
        parts: list[bytes] = []
        for tensor in tensors:
            output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
            if form.is_binary(tensor.name):
                parts.append(tensor.raw())
                output["parameters"] = {"binary_data_size": len(parts[-1])}
            else:
                output["data"] = tensor.listed()
            head["outputs"].append(output)
        text_of_head = dumps(head)
        if parts:
            size = [(JSON_SIZE.encode(), b"%d" % len(text_of_head))]
            await exchange.respond((text_of_head, *parts), _BINARY, headers=size)
        else:
            await exchange.respond((text_of_head,), JSON_HEADER)

    # --- gRPC ---------------------------------------------------------------------------------------------

    def grpc_methods(self) -> Mapping[str, Any]:
        """See `Api`."""
        return methods(self)


class _Form(NamedTuple):
    """Which outputs are wanted in binary form: by name, and all others."""

    by_name: dict[str, bool]
    others: bool

    def is_binary(self, name: str) -> bool:
        return self.by_name.get(name, self.others)


def _content(body: bytes, header: str | None) -> tuple[dict[str, Any], memoryview]:
    """The JSON of a request, and the binary tensors behind it; raises `BadRequest`."""
    size = len(body)
    if header is not None:
        if not (header.isascii() and header.isdigit() and len(header) < 20 and int(header) <= size):
            raise BadRequest(f"{JSON_SIZE}: {quoted(header)} is not a number of bytes of the body")
        size = int(header)
    content = loads(body[:size])
    if not isinstance(content, dict):
        raise BadRequest("the body has to be a JSON object")
    return content, memoryview(body)[size:]


def _read_request(content: dict[str, Any], binary: memoryview) -> tuple[Inference, _Form]:
    ident, parameters = content.get("id", ""), _parameters(content)
    if not isinstance(ident, str):
        raise BadRequest("id has to be a string")
    inputs, at = [], 0
    for one in _listed(content, "inputs", required=True):
        size = _parameters(one).get("binary_data_size")
        if size is None:
            inputs.append(tensor_of_list(_name(one), one.get("datatype"), one.get("shape"), one.get("data")))
            continue
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(binary) - at:
            raise BadRequest(f"input {quoted(_name(one))}: binary_data_size {size!r} is not what the body has")
        inputs.append(tensor_of_raw(_name(one), one.get("datatype"), one.get("shape"), binary[at : at + size]))
        at += size
    if at != len(binary):
        raise BadRequest(f"the body has {len(binary) - at} bytes after the last binary input")
    wanted = _listed(content, "outputs", required=False)
    given = {_name(one): _parameters(one).get("binary_data") for one in wanted}
    form = _Form({name: bool(value) for name, value in given.items() if value is not None},
                 bool(parameters.get("binary_data_output", False)))  # fmt: skip
    own = {name: value for name, value in parameters.items() if name not in _OURS}
    return Inference(ident, inputs, [_name(one) for one in wanted], own), form


def _listed(content: dict[str, Any], name: str, *, required: bool) -> list[dict[str, Any]]:
    found = content.get(name)
    if found is None and not required:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadRequest(f"{name} has to be a list of objects")
    return found


def _name(one: dict[str, Any]) -> str:
    name = one.get("name")
    if not isinstance(name, str):
        raise BadRequest("each input and output has to have a name, a string")
    return name


def _parameters(content: dict[str, Any]) -> dict[str, Any]:
    found = content.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadRequest("parameters has to be an object")
    return found
