"""What the sync and the async client share: where to, which channel, what a call means."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from jina.client.sessions import SessionState
from jina.errors import BadClientInput
from jina.net.channel import Target

if TYPE_CHECKING:
    from jina.codec.messages import Request
    from jina.config import ClientSpec
    from jina.net.channel import CallOptions, ChannelSettings

_SCHEMES = {
    ("grpc", False): "grpc",
    ("grpc", True): "grpcs",
    ("http", False): "http",
    ("http", True): "https",
    ("websocket", False): "ws",
    ("websocket", True): "wss",
}
_PROTOCOLS = {scheme: protocol for (protocol, _), scheme in _SCHEMES.items()}
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - servers listen there, callers cannot call it


def target_of(spec: ClientSpec) -> Target:
    """The address of the spec; one that only servers can use becomes this machine's."""
    protocol, host, port, tls = spec.target
    return Target(_SCHEMES[protocol, tls], _EVERYWHERE.get(host, host), port, tls)


def protocol_of(target: Target) -> str:
    """The protocol of an address: grpc, http or websocket."""
    return _PROTOCOLS[target.scheme]


class BaseClient:
    """A client of one address; connections are opened by the first call and shared from then on."""

    is_async: bool

    def __init__(self, target: Target, settings: ChannelSettings, prefetch: int) -> None:
        self.target = target
        self._settings = settings
        self._prefetch = prefetch
        self._lock = threading.Lock()
        self._session_state = SessionState()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.target}>"

    @property
    def protocol(self) -> str:
        """`grpc`, `http` or `websocket`."""
        return protocol_of(self.target)

    @property
    def host(self) -> str:
        """Host name or address that the client connects to."""
        return self.target.host

    @property
    def port(self) -> int:
        """Port that the client connects to."""
        return self.target.port

    @property
    def tls(self) -> bool:
        """True when connections are encrypted."""
        return self.target.tls

    @staticmethod
    def check_input(inputs: Any = None, **_: Any) -> None:
        """Raise `BadClientInput` unless the first of the inputs makes a document; reads one element."""
        from jina.client.post import Inputs

        if inputs is None:
            return
        source = Inputs(inputs, request_size=1)
        if source.is_async:
            raise BadClientInput("check_input cannot read an async generator")
        for _payload in islice(source.payloads(), 1):
            return
        raise BadClientInput("inputs: it is empty")

    def _options(self, transport: Mapping[str, Any], timeout: float | None = None) -> CallOptions:
        from jina.client.post import call_options

        keyed = self._keyed(transport)
        return call_options(keyed if timeout is None else {**keyed, "timeout": timeout})

    def _keyed(self, transport: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of a call with the client's key, unless the call has one of its own."""
        key = self._settings.api_key
        return {"api_key": key, **transport} if key else transport

    def _stream_request(
        self, on: str, inputs: Any, parameters: Any, target_executor: str | None, options: CallOptions
    ) -> Request:
        from jina.client.post import as_document, payload_of, plain_parameters, trace_of
        from jina.codec.messages import Request

        if isinstance(inputs, list | tuple) and len(inputs) == 1:
            inputs = inputs[0]
        return Request(
            endpoint=on,
            payload=payload_of([as_document(inputs, 0)]),
            parameters=plain_parameters(parameters),
            request_id=os.urandom(16).hex(),
            target_executor=target_executor or "",
            headers={**trace_of(options), **self._session_state.headers()},
        )
