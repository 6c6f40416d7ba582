"""The models that the Open Inference Protocol shows of a service, and what is asked of them on either protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jina.apis.mcp_tools import public_names
from jina.apis.oip_tensors import Model, Tensor, models_of
from jina.codec import pb
from jina.codec.messages import Request
from jina.codec.payloads import ProtoPayload
from jina.errors import EndpointNotFound, Unavailable, nearest, quoted
from jina.net.auth import Caller
from jina.net.messages import new_request_id
from jina.net.service import EndpointInfo
from jina.server.apis import Api
from jina.version import __version__

VERSION = "1"
"""The only version of each model."""
_EXTENSIONS = ["binary_tensor_data"]


@dataclass(slots=True)
class Inference:
    """What a client asks of a model, on either protocol."""

    ident: str = ""
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    """The names of those that are wanted; all where it is empty."""
    parameters: dict[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    deadline: float | None = None
    caller: Caller | None = None


class OipModels(Api):
    """The models by name, and their answers."""

    _models: Mapping[str, Model] = {}
    _models_of: Mapping[str, EndpointInfo] | None = None

    def models(self) -> Mapping[str, Model]:
        """The models by name; raises `Unavailable` while the endpoints are not known."""
        service = self.gate.service
        if not service.started:
            raise Unavailable("the service is not ready yet")
        if service.endpoints is not self._models_of:
            shown = {path: info for path, info in service.endpoints.items() if info.offer is None}
            self._models, self._models_of = models_of(shown, public_names(shown)), service.endpoints
        return self._models

    def model(self, name: str, version: str = "") -> Model:
        """The model; raises `EndpointNotFound`."""
        models = self.models()
        found = models.get(name)
        if found is None:
            near = nearest(name, models)
            hint = f"; did you mean {near!r}?" if near else f"; there are {', '.join(models) or 'none'}"
            raise EndpointNotFound(f"no model {quoted(name)} here{hint}")
        if version and version != VERSION:
            raise EndpointNotFound(f"no version {quoted(version)} of the model {name!r}; there is {VERSION}")
        return found

    def about(self) -> dict[str, Any]:
        """The metadata of the server."""
        return {"name": self.plan.title or "jina", "version": __version__, "extensions": _EXTENSIONS}

    async def infer(self, model: Model, asked: Inference) -> list[Tensor]:
        """The outputs of a model; raises a `JinaError`."""
        if asked.caller is not None:
            asked.caller.check(model.info.path)
        message = model.documents(asked.inputs, self.gate.limits.documents)
        request = Request(
            model.info.path,
            ProtoPayload(message),
            asked.parameters,
            request_id=asked.ident or new_request_id(),
            headers=asked.headers,
            deadline=asked.deadline,
        )
        reply = await self.gate.call(request)
        return model.tensors(pb.DocListProto.FromString(reply.payload.to_bytes()), asked.outputs)


def metadata_of(model: Model) -> dict[str, Any]:
    """What clients are told of a model."""
    return {
        "name": model.name,
        "versions": [VERSION],
        "platform": "jina",
        "inputs": [one.metadata() for one in model.inputs.values()],
        "outputs": [one.metadata() for one in model.outputs.values()],
    }
