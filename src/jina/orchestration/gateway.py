"""`Gateway` and its kin, the bases of gateway classes, as users import them."""

from __future__ import annotations

from jina.gateway.custom import (
    BaseGateway,
    CompositeGateway,
    FastAPIBaseGateway,
    Gateway,
    GRPCGateway,
    HTTPGateway,
    WebSocketGateway,
)

__all__ = [
    "BaseGateway", "CompositeGateway", "FastAPIBaseGateway", "GRPCGateway", "Gateway", "HTTPGateway",
    "WebSocketGateway",
]  # fmt: skip
