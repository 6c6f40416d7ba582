"""gRPC services of Jina 3's protobuf as `jina.proto.jina_pb2_grpc` has them: stubs, servicers, and how to add these.

They are made of the descriptors. Requests are `DataRequest` and `SingleDocumentRequest` objects, lists of them for a
`DataRequestListProto`; other messages are those of `jina.proto.jina_pb2`, which are taken in their place too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from jina.codec import pb
from jina.errors import missing_extra
from jina.legacy.requests import DataRequest, SingleDocumentRequest

if missing := missing_extra("grpc", "grpcio", "jina.proto.jina_pb2_grpc"):
    raise missing
import grpc

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

_FILE = "jina.proto"


def _kind(method: MethodDescriptor) -> str:
    """The name of grpc for it, such as `unary_stream`."""
    return f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"


def _path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def _serialised(value: Any) -> bytes:
    """The bytes of a message, of what holds one in `proto`, or of a list of these."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, list | tuple):
        messages: list[Any] = [getattr(one, "proto", one) for one in value]
        value = pb.DataRequestListProto(requests=messages)
    message = getattr(value, "proto", value)
    serialised: bytes = message.SerializeToString()
    return serialised


def _reader(full_name: str) -> Callable[[bytes], Any]:
    """What reads a message: requests become the objects that Jina 3's code expects."""
    read: Callable[[bytes], Any] = pb.message_class(full_name).FromString
    match full_name:
        case "jina.DataRequestProto":
            return lambda data: DataRequest(read(data))
        case "jina.SingleDocumentRequestProto":
            return lambda data: SingleDocumentRequest(read(data))
        case "jina.DataRequestListProto":
            return lambda data: [DataRequest(one) for one in read(data).requests]
    return read


def _stub(service: ServiceDescriptor) -> type:
    """The class whose instances call the service over a channel, blocking or of `grpc.aio`."""

    def __init__(self: Any, channel: Any) -> None:  # noqa: N807 - the constructor of the class made here
        for method in service.methods:
            call = getattr(channel, _kind(method))(
                _path(method),
                request_serializer=_serialised,
                response_deserializer=_reader(method.output_type.full_name),
            )
            setattr(self, method.name, call)

    return type(f"{service.name}Stub", (), {"__doc__": f"Calls `{service.full_name}`.", "__init__": __init__})


def _servicer(service: ServiceDescriptor) -> type:
    """The class whose subclasses answer: a method that is not overridden is UNIMPLEMENTED."""

    def unimplemented(name: str) -> Callable[..., Any]:
        def method(self: Any, request: Any, context: Any) -> Any:
            del self, request
            context.set_code(grpc.StatusCode.UNIMPLEMENTED)
            context.set_details("Method not implemented!")
            raise NotImplementedError("Method not implemented!")

        method.__name__ = name
        return method

    members = {method.name: unimplemented(method.name) for method in service.methods}
    return type(f"{service.name}Servicer", (), {"__doc__": f"Answers `{service.full_name}`.", **members})


def _adder(service: ServiceDescriptor) -> Callable[[Any, Any], None]:
    """The function that has a server, blocking or of `grpc.aio`, answer the service by a servicer."""

    def add(servicer: Any, server: Any) -> None:
        handlers = {
            method.name: getattr(grpc, f"{_kind(method)}_rpc_method_handler")(
                getattr(servicer, method.name),
                request_deserializer=_reader(method.input_type.full_name),
                response_serializer=_serialised,
            )
            for method in service.methods
        }
        make: Any = grpc.method_handlers_generic_handler
        server.add_generic_rpc_handlers((make(service.full_name, handlers),))

    add.__name__ = f"add_{service.name}Servicer_to_server"
    return add


def _names() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for name, service in pb.POOL.FindFileByName(_FILE).services_by_name.items():
        names[f"{name}Stub"] = _stub(service)
        names[f"{name}Servicer"] = _servicer(service)
        names[f"add_{name}Servicer_to_server"] = _adder(service)
    for made in names.values():
        made.__module__ = "jina.proto.jina_pb2_grpc"
    return names


globals().update(_names())


def request_generator(
    exec_endpoint: str,
    data: Any = None,
    request_size: int = 0,
    data_type: Any = None,
    target_executor: str | None = None,
    parameters: Any = None,
    **kwargs: Any,
) -> Iterator[Any]:
    """The requests that `post` would send, for the stubs; one with all documents where `request_size` is 0."""
    del data_type, kwargs
    from jina.client.post import PostCall
    from jina.net.channel import request_message

    call = PostCall(
        on=exec_endpoint,
        inputs=data,
        request_size=request_size,
        target_executor=target_executor,
        parameters=parameters,
    )
    for payload in call.source.payloads():
        yield DataRequest(request_message(call.request(payload)))


def get_default_grpc_options() -> list[tuple[str, Any]]:
    """Options for channels and servers of `grpc`: messages of any size, and a ping each 10 seconds, as in Jina 3."""
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.keepalive_time_ms", 9999),
        ("grpc.keepalive_timeout_ms", 4999),
        ("grpc.keepalive_permit_without_calls", True),
        ("grpc.http1.max_pings_without_data", 0),
        ("grpc.http1.min_time_between_pings_ms", 10000),
        ("grpc.http1.min_ping_interval_without_data_ms", 5000),
    ]


def get_server_side_grpc_options(additional_options: Any = None) -> list[tuple[str, Any]]:
    """The default options with further ones, a dictionary or a list of pairs, which win."""
    return list({**dict(get_default_grpc_options()), **dict(additional_options or {})}.items())
