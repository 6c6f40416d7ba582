"""Where a client connects, as the transport takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jina.transport.base_channel import Target

if TYPE_CHECKING:
    from jina.spec import ClientSpec

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
