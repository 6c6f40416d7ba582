"""The gRPC calls of tools: health and reflection. Loaded when the first one asks."""

from __future__ import annotations

import asyncio
from typing import Any

from jina.codec import pb
from jina.net.grpc_wire import Code
from jina.net.limits import Gate
from jina.server.grpc_protocol import Aborted, Call, Method

JINA_SERVICES = (
    "jina.JinaDataRequestRPC",
    "jina.JinaDiscoverEndpointsRPC",
    "jina.JinaGatewayDryRunRPC",
    "jina.JinaInfoRPC",
    "jina.JinaRPC",
    "jina.JinaSingleDataRequestRPC",
    "jina.JinaSingleDocumentRequestRPC",
)
"""The services that reflection lists; Jina 3 clients choose their call by this list."""
_VERSIONS = ("v1", "v1alpha")
"""Newer tools ask for v1 first, Jina 3's clients for v1alpha alone."""
_REFLECTION_PACKAGE = "grpc.reflection.v1alpha"
_REFLECTION = f"{_REFLECTION_PACKAGE}.ServerReflection"
_ANSWER = pb.message_class(f"{_REFLECTION_PACKAGE}.ServerReflectionResponse")
_QUESTION = pb.message_class(f"{_REFLECTION_PACKAGE}.ServerReflectionRequest")
_CHECK = pb.message_class("grpc.health.v1.HealthCheckRequest")
_STATE = pb.message_class("grpc.health.v1.HealthCheckResponse")
_STATES = pb.message_class("grpc.health.v1.HealthListResponse")
_WATCH_INTERVAL = 0.1
"""Seconds between two looks at the readiness for a client that watches it."""


class Health:
    """`grpc.health.v1`: SERVING exactly while requests are served.

    Beside the services there are the names that `/readyz?verbose` lists, such as those of a Flow's Deployments and
    their replicas.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._known = {"", *JINA_SERVICES, _REFLECTION}

    def methods(self) -> dict[str, Method]:
        """By full method name."""
        return {
            "/grpc.health.v1.Health/Check": Method(self.check),
            "/grpc.health.v1.Health/Watch": Method(self.watch, streams=True),
            "/grpc.health.v1.Health/List": Method(self.list),
        }

    async def check(self, data: bytes, call: Call) -> bytes:
        """The state of a service; NOT_FOUND for a name that is not served."""
        request = parsed(_CHECK, data)
        if not self._knows(request.service):
            call.abort(Code.NOT_FOUND, f"no service {request.service!r} here")
        return serialised(self._state(request.service))

    async def list(self, _request: bytes, _call: Call) -> bytes:
        """The states of all services and names."""
        names = (*self._known, *self._gate.service.checks)
        return serialised(_STATES(statuses={name: self._state(name) for name in names}))

    async def watch(self, call: Call) -> None:
        """The state now and at each change; ends when the server stops, which would else wait for it."""
        request = parsed(_CHECK, await call.read() or b"")
        result = None
        while True:
            last = self._gate.draining  # read before the state is sent: the server may begin to stop meanwhile
            state = self._state(request.service)
            if state != result:
                await call.write(serialised(state))
                result = state
            if last:
                return
            await asyncio.sleep(_WATCH_INTERVAL)

    def _state(self, service: str) -> Any:
        if not self._knows(service):
            return _STATE(status=_STATE.SERVICE_UNKNOWN)
        good = self._gate.ready if service in self._known else self._gate.service.checks[service]
        return _STATE(status=_STATE.SERVING if good and not self._gate.stopping else _STATE.NOT_SERVING)

    def _knows(self, service: str) -> bool:
        return service in self._known or service in self._gate.service.checks


class Reflection:
    """`grpc.reflection`, v1 and v1alpha, which have the same messages, over the pool that holds ours."""

    def methods(self) -> dict[str, Method]:
        """By full method name."""
        method = Method(self.answers, streams=True)
        return {f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo": method for version in _VERSIONS}

    async def answers(self, call: Call) -> None:
        """An answer to each question."""
        while (data := await call.read()) is not None:
            question = parsed(_QUESTION, data)
            answer = _ANSWER(valid_host=question.host, original_request=question)
            try:
                _answer(question, answer)
            except KeyError:
                _refuse(answer, Code.NOT_FOUND, f"not known here: {str(question).strip()}")
            await call.write(serialised(answer))


def parsed(kind: Any, data: bytes) -> Any:
    """The message; INVALID_ARGUMENT for bytes that are not one."""
    try:
        return kind.FromString(data)
    except Exception as error:  # DecodeError has no common public class over protobuf versions
        raise Aborted(Code.INVALID_ARGUMENT, f"not a {kind.DESCRIPTOR.full_name}: {error}") from error


def serialised(message: Any) -> bytes:
    """The message as bytes."""
    data: bytes = message.SerializeToString()
    return data


def _answer(question: Any, answer: Any) -> None:
    """Write the answer; raises `KeyError` for what the pool lacks."""
    match question.WhichOneof("message_request"):
        case "file_by_filename":
            _write_files(pb.POOL.FindFileByName(question.file_by_filename), answer)
        case "file_containing_symbol":
            _write_files(pb.POOL.FindFileContainingSymbol(question.file_containing_symbol), answer)
        case "file_containing_extension":
            asked = question.file_containing_extension
            extended = pb.POOL.FindMessageTypeByName(asked.containing_type)
            extension: Any = pb.POOL.FindExtensionByNumber(extended, asked.extension_number)
            _write_files(extension.file, answer)
        case "all_extension_numbers_of_type":
            extended = pb.POOL.FindMessageTypeByName(question.all_extension_numbers_of_type)
            result = answer.all_extension_numbers_response
            result.base_type_name = extended.full_name
            result.extension_number.extend(sorted(found.number for found in pb.POOL.FindAllExtensions(extended)))
        case "list_services":
            for name in sorted((*JINA_SERVICES, _REFLECTION)):
                answer.list_services_response.service.add(name=name)
        case _:
            _refuse(answer, Code.INVALID_ARGUMENT, "a question of no kind that is known here")


def _refuse(answer: Any, code: Code, text: str) -> None:
    answer.error_response.error_code = int(code)
    answer.error_response.error_message = text


def _write_files(file: Any, answer: Any) -> None:
    """The file with all that it imports, each once."""
    files = {file.name: file}
    waiting = [file]
    while waiting:
        for imported in waiting.pop().dependencies:
            if imported.name not in files:
                files[imported.name] = imported
                waiting.append(imported)
    answer.file_descriptor_response.file_descriptor_proto.extend(found.serialized_pb for found in files.values())
