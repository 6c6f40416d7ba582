from google.protobuf import struct_pb2 as _struct_pb2
from jina.codec import jina_pb2 as _jina_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EnvelopeProto(_message.Message):
    __slots__ = ("header", "parameters", "routes", "data", "parameters_json")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_JSON_FIELD_NUMBER: _ClassVar[int]
    header: _jina_pb2.HeaderProto
    parameters: _struct_pb2.Struct
    routes: _containers.RepeatedCompositeFieldContainer[_jina_pb2.RouteProto]
    data: bytes
    parameters_json: bytes
    def __init__(self, header: _Optional[_Union[_jina_pb2.HeaderProto, _Mapping[str, object]]] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, object]]] = ..., routes: _Optional[_Iterable[_Union[_jina_pb2.RouteProto, _Mapping[str, object]]]] = ..., data: _Optional[bytes] = ..., parameters_json: _Optional[bytes] = ...) -> None: ...

class ContentEnvelopeProto(_message.Message):
    __slots__ = ("docs", "docs_bytes")
    DOCS_FIELD_NUMBER: _ClassVar[int]
    DOCS_BYTES_FIELD_NUMBER: _ClassVar[int]
    docs: bytes
    docs_bytes: bytes
    def __init__(self, docs: _Optional[bytes] = ..., docs_bytes: _Optional[bytes] = ...) -> None: ...

class SingleDocumentEnvelopeProto(_message.Message):
    __slots__ = ("header", "parameters", "routes", "document", "parameters_json")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_JSON_FIELD_NUMBER: _ClassVar[int]
    header: _jina_pb2.HeaderProto
    parameters: _struct_pb2.Struct
    routes: _containers.RepeatedCompositeFieldContainer[_jina_pb2.RouteProto]
    document: bytes
    parameters_json: bytes
    def __init__(self, header: _Optional[_Union[_jina_pb2.HeaderProto, _Mapping[str, object]]] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping[str, object]]] = ..., routes: _Optional[_Iterable[_Union[_jina_pb2.RouteProto, _Mapping[str, object]]]] = ..., document: _Optional[bytes] = ..., parameters_json: _Optional[bytes] = ...) -> None: ...

class DocListEnvelopeProto(_message.Message):
    __slots__ = ("docs",)
    DOCS_FIELD_NUMBER: _ClassVar[int]
    docs: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, docs: _Optional[_Iterable[bytes]] = ...) -> None: ...
