"""`Response`: one answer as callbacks and `return_responses=True` give it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jina.wire.codec import codec_for

if TYPE_CHECKING:
    from docarray import BaseDoc

    from jina.errors import JinaError
    from jina.transport.base_channel import Answer


class Response:
    """The answer to one request; documents and parameters are decoded when they are first read.

    `header` is a `jina.HeaderProto` (`request_id`, `exec_endpoint`, `target_executor`, `status`), `routes` the
    Executors visited as `jina.RouteProto`s (over HTTP those of a failed request alone).
    """

    def __init__(self, answer: Answer, doc_type: type[BaseDoc]) -> None:
        self._answer = answer
        self._doc_type = doc_type
        self._docs: Any = None

    @property
    def docs(self) -> Any:
        """The documents, a `DocList` of the call's `return_type`; decoded once."""
        if self._docs is None:
            self._docs = self._answer.payload.decode(codec_for(self._doc_type))
        return self._docs

    @property
    def data(self) -> Response:
        """This response: `response.data.docs` is `response.docs`."""
        return self

    @property
    def error(self) -> JinaError | None:
        """What failed, or None."""
        return self._answer.error

    @property
    def header(self) -> Any:
        """The header."""
        return self._answer.message.header

    @property
    def status(self) -> Any:
        """Success, or code, description and exception of the failure."""
        return self.header.status

    @property
    def request_id(self) -> str:
        """Id of the request that this answers."""
        return self._answer.request_id

    @property
    def exec_endpoint(self) -> str:
        """The endpoint that was called."""
        return str(self.header.exec_endpoint)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters, with `__results__` where handlers returned dicts."""
        return self._answer.parameters

    @property
    def routes(self) -> Any:
        """The Executors visited, with start and end times."""
        return self._answer.message.routes

    @property
    def proto(self) -> Any:
        """The answer as a `jina.DataRequestProto`; from HTTP/JSON without its documents."""
        return self._answer.message

    _pb_body = proto  # the name that callbacks of programs for Jina 3 read

    @property
    def response(self) -> Response:
        """This response; a name of Jina 3."""
        return self

    @property
    def document_array_cls(self) -> Any:
        """The class of `docs`; assign `DocList[T]` to decode as another one."""
        return type(self.docs)

    @document_array_cls.setter
    def document_array_cls(self, value: Any) -> None:
        from jina.client.types import doc_type_of

        self._doc_type = doc_type_of(value)
        self._docs = None

    def to_dict(self) -> dict[str, Any]:
        """Header, parameters, routes and documents (under `data`) as plain values."""
        from google.protobuf.json_format import MessageToDict

        def plain(message: Any) -> Any:
            return MessageToDict(message, preserving_proto_field_name=True, use_integers_for_enums=True)

        return {
            "header": plain(self.header),
            "parameters": self.parameters,
            "routes": [plain(route) for route in self.routes],
            "data": json.loads(codec_for(self._doc_type).encode_json(self.docs)),
        }

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), default=str)

    def json(self) -> str:
        """`to_json` under its other name of Jina 3."""
        return self.to_json()

    def __repr__(self) -> str:
        state = "ok" if self.error is None else f"failed: {self.error.message}"
        return f"<Response {self.request_id} {self.exec_endpoint} {state}>"
