"""`inference.GRPCInferenceService`: the calls of the Open Inference Protocol over gRPC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from jina.apis.oip_models import VERSION, Inference, OipModels, metadata_of
from jina.apis.oip_tensors import Tensor, tensor_of_list, tensor_of_raw
from jina.codec import pb
from jina.errors import BadRequest
from jina.net.messages import FAILURES, as_jina_error
from jina.server.grpc import aborted
from jina.server.grpc_probes import parsed, serialised
from jina.server.grpc_protocol import Aborted, Call, Method

_SERVICE = "/inference.GRPCInferenceService/"
_CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
"""Where a message has the elements of a datatype; those of FP16 travel as bytes alone."""


def methods(api: OipModels) -> Mapping[str, Method]:
    """The methods by full name."""
    calls = _Calls(api)
    found = {
        "ServerLive": calls.server_live,
        "ServerReady": calls.server_ready,
        "ModelReady": calls.model_ready,
        "ServerMetadata": calls.server_metadata,
        "ModelMetadata": calls.model_metadata,
        "ModelInfer": calls.model_infer,
    }
    return {f"{_SERVICE}{name}": Method(_answered(name, answer)) for name, answer in found.items()}


def _answered(name: str, answer: Callable[[Any, Call], Awaitable[dict[str, Any]]]) -> Callable[[bytes, Call], Any]:
    """The method on bytes, with failures as statuses."""
    asked = pb.message_class(f"inference.{name}Request")
    given = pb.message_class(f"inference.{name}Response")

    async def method(data: bytes, call: Call) -> bytes:
        try:
            return serialised(given(**await answer(parsed(asked, data), call)))
        except Aborted:
            raise
        except FAILURES as error:  # each becomes a status
            raise aborted(as_jina_error(error)) from error

    return method


class _Calls:
    def __init__(self, api: OipModels) -> None:
        self._api = api

    async def server_live(self, _request: Any, _call: Call) -> dict[str, Any]:
        return {"live": True}

    async def server_ready(self, _request: Any, _call: Call) -> dict[str, Any]:
        return {"ready": self._api.gate.ready}

    async def model_ready(self, request: Any, _call: Call) -> dict[str, Any]:
        self._api.model(request.name, request.version)
        return {"ready": self._api.gate.ready}

    async def server_metadata(self, _request: Any, _call: Call) -> dict[str, Any]:
        return self._api.about()

    async def model_metadata(self, request: Any, _call: Call) -> dict[str, Any]:
        return metadata_of(self._api.model(request.name, request.version))

    async def model_infer(self, request: Any, call: Call) -> dict[str, Any]:
        api, headers = self._api, dict(call.headers)
        caller = None if api.access is None else api.access.caller(headers, call.address)
        if caller is not None:
            caller.take()
        model = api.model(request.model_name, request.model_version)
        asked = Inference(
            headers.get("x-request-id", "") or request.id,
            _inputs(request),
            [one.name for one in request.outputs],
            {name: _parameter(value) for name, value in request.parameters.items()},
            headers,
            call.deadline,
            caller,
        )
        tensors = await api.infer(model, asked)
        as_bytes = bool(request.raw_input_contents) or any(one.datatype not in _CONTENTS for one in tensors)
        answer: dict[str, Any] = {
            "model_name": request.model_name,
            "model_version": VERSION,
            "id": request.id,
            "outputs": [_output(one, as_bytes=as_bytes) for one in tensors],
        }
        if as_bytes:
            answer["raw_output_contents"] = [one.raw() for one in tensors]
        return answer


def _inputs(request: Any) -> list[Tensor]:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise BadRequest(f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs")
    if raw:
        pairs = zip(request.inputs, raw, strict=True)
        return [tensor_of_raw(one.name, one.datatype, list(one.shape), data) for one, data in pairs]
    return [_listed(one) for one in request.inputs]


def _listed(one: Any) -> Tensor:
    """A tensor whose elements are in the field of its datatype."""
    member = _CONTENTS.get(one.datatype)
    if member is None and one.datatype == "FP16":
        raise BadRequest(f"input {one.name!r}: FP16 has to be in raw_input_contents")
    values = list(getattr(one.contents, member)) if member else []
    return tensor_of_list(one.name, one.datatype, list(one.shape), values)


def _output(tensor: Tensor, *, as_bytes: bool) -> dict[str, Any]:
    output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
    if not as_bytes:
        values = tensor.values if tensor.datatype == "BYTES" else tensor.values.ravel().tolist()
        output["contents"] = {_CONTENTS[tensor.datatype]: values}
    return output


def _parameter(value: Any) -> Any:
    kind = value.WhichOneof("parameter_choice")
    return getattr(value, kind) if kind else None
