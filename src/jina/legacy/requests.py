"""`Request`, `DataRequest`, `SingleDocumentRequest` and `StatusMessage` of Jina 3: protobuf messages as objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from jina.legacy.excepts import BadRequestType

if TYPE_CHECKING:
    from google.protobuf.message import Message


class ProtoMessage:
    """A protobuf message with its fields as attributes.

    Made from nothing, from a message, from its bytes, from JSON or from a mapping; anything else is a `BadRequestType`.
    """

    message_name = ""

    def __init__(self, source: Any = None) -> None:
        self._proto: Any = self._read(source)

    @classmethod
    def _read(cls, source: Any) -> Message:
        from google.protobuf import json_format
        from google.protobuf.message import DecodeError

        from jina.codec import pb

        wanted = getattr(pb, cls.message_name)
        if isinstance(source, wanted):
            found: Message = source
            return found
        message: Message = wanted()
        try:
            if isinstance(source, bytes):
                message.ParseFromString(source)
            elif isinstance(source, str):
                json_format.Parse(source, message)
            elif isinstance(source, dict):
                json_format.ParseDict(source, message)
            elif source is not None:
                raise BadRequestType(f"{cls.__name__} is made from bytes, JSON or a mapping, not from {source!r}")
        except (json_format.ParseError, DecodeError) as error:
            raise BadRequestType(f"{cls.__name__} cannot be made from {source!r}: {error}") from error
        return message

    @classmethod
    def from_proto(cls, request: Any) -> Self:
        """The object around a message; nothing is copied."""
        return cls(request)

    @property
    def proto(self) -> Any:
        """The message."""
        return self._proto

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """The message as plain values."""
        from google.protobuf.json_format import MessageToDict

        return MessageToDict(self.proto, **{"preserving_proto_field_name": True, **kwargs})

    def to_json(self) -> str:
        """The message as JSON."""
        from google.protobuf.json_format import MessageToJson

        return MessageToJson(self.proto, preserving_proto_field_name=True, sort_keys=True)

    def to_bytes(self) -> bytes:
        """The message as bytes."""
        return bytes(self.proto.SerializeToString())

    @property
    def nbytes(self) -> int:
        """How many bytes the message takes."""
        return int(self.proto.ByteSize())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.proto, name)

    def __getstate__(self) -> bytes:
        return self.to_bytes()

    def __setstate__(self, state: bytes) -> None:
        self.__init__(state)  # type: ignore[misc]

    def __copy__(self) -> Self:
        return type(self)(self.to_bytes())

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        del memo
        return type(self)(self.to_bytes())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.to_json()}>"


class StatusMessage(ProtoMessage):
    """The status of an answer, or of a whole Flow."""

    message_name = "StatusProto"

    def set_exception(self, ex: BaseException) -> None:
        """Say that this failed."""
        from jina.codec.status import write_error

        write_error(ex, self.proto)

    def set_code(self, code: int) -> None:
        """Set the code: `StatusProto.SUCCESS` or `ERROR`."""
        self.proto.code = code


class Request(ProtoMessage):
    """What requests with documents and with one document have."""

    message_name = "DataRequestProto"

    @property
    def request_id(self) -> str:
        """The request's id."""
        return str(self.proto.header.request_id)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters; assign a dictionary to change them."""
        from jina.codec import parameters

        return parameters.read(self.proto)

    @parameters.setter
    def parameters(self, value: Any) -> None:
        from jina.codec import parameters

        self.proto.ClearField("parameters")
        parameters.write(dict(value or {}), self.proto)

    @property
    def status(self) -> Any:
        """The status in the header."""
        return self.proto.header.status

    @property
    def routes(self) -> Any:
        """The Executors visited."""
        return self.proto.routes

    @property
    def response(self) -> Self:
        """This object."""
        return self

    @property
    def last_executor(self) -> str | None:
        """The Executor visited last."""
        return str(self.routes[-1].executor) if self.routes else None

    def add_executor(self, executor_name: str) -> None:
        """Note that an Executor was visited."""
        self.routes.add(executor=executor_name)

    def add_exception(self, ex: BaseException, executor: Any = None) -> None:
        """Say in the header that this failed."""
        from jina.codec.status import write_error

        write_error(ex, self.status)
        if executor is not None:
            self.status.exception.executor = type(executor).__name__


class DataRequest(Request):
    """A request, or an answer, with documents. `document_array_cls` is the class that they are read as."""

    message_name = "DataRequestProto"

    class Documents:
        """The documents of a request: `request.data.docs`."""

        def __init__(self, request: DataRequest) -> None:
            self._request = request

        @property
        def docs(self) -> Any:
            """The documents, read once; assign others to replace them."""
            return self._request.docs

        @docs.setter
        def docs(self, docs: Any) -> None:
            self._request.set_docs(docs)

        @property
        def docs_bytes(self) -> bytes:
            """The documents as bytes of a `DocListProto`."""
            return bytes(self._request.proto.data.docs.SerializeToString())

        @docs_bytes.setter
        def docs_bytes(self, data: bytes) -> None:
            self._request.set_docs(None, data)

    def __init__(self, request: Any = None) -> None:
        super().__init__(request)
        self._docs: Any = None
        self._list_class: Any = None

    @property
    def proto(self) -> Any:
        """The message, with what was done to the documents that were read."""
        if self._docs is not None:
            message = self._proto
            message.data.docs.Clear()
            self._codec().encode(self._docs, message.data.docs)
        return self._proto

    proto_with_data = proto

    @property
    def proto_wo_data(self) -> Any:
        """The message without its documents."""
        from jina.codec import pb

        return pb.DataRequestProtoWoData(
            header=self._proto.header, parameters=self._proto.parameters, routes=self.routes
        )

    @property
    def header(self) -> Any:
        """The header."""
        return self._proto.header

    @property
    def routes(self) -> Any:
        """The Executors visited."""
        return self._proto.routes

    @property
    def data(self) -> DataRequest.Documents:
        """The documents as `data.docs` and `data.docs_bytes`."""
        return DataRequest.Documents(self)

    @property
    def docs(self) -> Any:
        """The documents, read once."""
        if self._docs is None:
            content = self._proto.data
            if content.WhichOneof("documents") == "docs_bytes":
                content.docs.ParseFromString(content.docs_bytes)
            self._docs = self._codec().decode(content.docs)
        return self._docs

    def set_docs(self, docs: Any, data: bytes = b"") -> None:
        """Replace the documents by others, or by the bytes of a `DocListProto`."""
        self._docs = None
        self._proto.data.docs.Clear()
        if docs is None:
            self._proto.data.docs.ParseFromString(data)
            return
        if hasattr(docs, "doc_type"):
            self._list_class = type(docs)
        self._docs = docs

    @property
    def document_array_cls(self) -> Any:
        """`DocList[T]` that the documents are read as; DocumentArray unless assigned."""
        from jina.documents import DocumentArray

        return self._list_class or DocumentArray

    @document_array_cls.setter
    def document_array_cls(self, value: Any) -> None:
        if self._docs is not None:
            self._proto = self.proto
            self._docs = None
        self._list_class = value

    def _codec(self) -> Any:
        from jina.client.post import doc_type_of
        from jina.codec.codec import codec_for

        return codec_for(doc_type_of(self._list_class))


class SingleDocumentRequest(Request):
    """A request, or an answer, with one document. `document_cls` is the class that it is read as."""

    message_name = "SingleDocumentRequestProto"

    def __init__(self, request: Any = None) -> None:
        super().__init__(request)
        self._doc_class: Any = None

    @property
    def data(self) -> SingleDocumentRequest:
        """This object: `request.data.doc` is `request.doc`."""
        return self

    @property
    def doc(self) -> Any:
        """The document; assign another one to replace it."""
        return self._codec().decode_doc(self._proto.document)

    @doc.setter
    def doc(self, doc: Any) -> None:
        self._doc_class = type(doc)
        self._proto.document.Clear()
        self._codec().encode_doc(doc, self._proto.document)

    @property
    def document_cls(self) -> Any:
        """The class that the document is read as; Document unless assigned."""
        from jina.documents import Document

        return self._doc_class or Document

    @document_cls.setter
    def document_cls(self, value: Any) -> None:
        self._doc_class = value

    def _codec(self) -> Any:
        from jina.codec.codec import codec_for

        return codec_for(self.document_cls)


CallbackFnType = Callable[..., None] | None
"""What `post` takes as `on_done`, `on_error` and `on_always`."""
InputType = Any
"""What `post` takes as `inputs`."""

__all__ = [
    "CallbackFnType", "DataRequest", "InputType", "ProtoMessage", "Request", "SingleDocumentRequest", "StatusMessage",
]  # fmt: skip
