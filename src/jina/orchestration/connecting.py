"""Clients of what orchestrations run, or of what runs elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a client connects, and how."""

    protocol: str
    host: str
    port: int
    tls: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    """Further options of `jina.Client`."""


def new_client(connection: Connection, **options: Any) -> Any:
    """A client; `options` are further ones of `jina.Client`."""
    from jina.client import Client

    options |= {"host": connection.host, "port": connection.port, "tls": connection.tls}
    return Client(protocol=connection.protocol, **connection.options, **options)
