"""The gRPC calls of tools: health and reflection. Loaded when the first one asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from jina.codec import pb
from jina.net.limits import Gate

Context = grpc.aio.ServicerContext[Any, Any]
untyped: Any = grpc  # grpcio has annotations here and there only
Handlers = dict[str, grpc.RpcMethodHandler]
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

    def handlers(self) -> Handlers:
        """By full method name."""
        to_bytes = _STATE.SerializeToString
        return {
            "/grpc.health.v1.Health/Check": untyped.unary_unary_rpc_method_handler(
                self.check, response_serializer=to_bytes
            ),
            "/grpc.health.v1.Health/Watch": untyped.unary_stream_rpc_method_handler(
                self.watch, response_serializer=to_bytes
            ),
            "/grpc.health.v1.Health/List": untyped.unary_unary_rpc_method_handler(
                self.list, response_serializer=_STATES.SerializeToString
            ),
        }

    async def check(self, data: bytes, context: Context) -> Any:
        """The state of a service; NOT_FOUND for a name that is not served."""
        request = await parsed(_CHECK, data, context)
        if not self._knows(request.service):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return self._state(request.service)

    async def list(self, _request: Any, _context: Context) -> Any:
        """The states of all services and names."""
        names = (*self._known, *self._gate.service.checks)
        return _STATES(statuses={name: self._state(name) for name in names})

    async def watch(self, data: bytes, context: Context) -> AsyncIterator[Any]:
        """The state now and at each change; ends when the server stops, which would else wait for it."""
        request = await parsed(_CHECK, data, context)
        result = None
        while True:
            last = self._gate.draining  # read before the state is sent: the server may begin to stop meanwhile
            state = self._state(request.service)
            if state != result:
                yield state
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

    def handlers(self) -> Handlers:
        """By full method name."""
        handler = untyped.stream_stream_rpc_method_handler(self.answers, response_serializer=_ANSWER.SerializeToString)
        return {f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo": handler for version in _VERSIONS}

    async def answers(self, questions: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        """An answer to each question."""
        async for data in questions:
            question = await parsed(_QUESTION, data, context)
            answer = _ANSWER(valid_host=question.host, original_request=question)
            try:
                _answer(question, answer)
            except KeyError:
                _refuse(answer, grpc.StatusCode.NOT_FOUND, f"not known here: {str(question).strip()}")
            yield answer


async def parsed(kind: Any, data: bytes, context: Context) -> Any:
    """The message; INVALID_ARGUMENT for bytes that are not one. What gRPC parses itself fails with UNKNOWN."""
    try:
        return kind.FromString(data)
    except Exception as error:  # noqa: BLE001 - DecodeError has no common public class over protobuf versions
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not a {kind.DESCRIPTOR.full_name}: {error}")


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
            _refuse(answer, grpc.StatusCode.INVALID_ARGUMENT, "a question of no kind that is known here")


def _refuse(answer: Any, code: grpc.StatusCode, text: str) -> None:
    answer.error_response.error_code = code.value[0]
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
