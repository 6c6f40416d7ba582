"""Addresses of services: `host`, `host:port`, `scheme://host:port`."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from jina.errors import nearest

Protocol = Literal["grpc", "http", "websocket"]

SCHEMES: Final[dict[str, tuple[Protocol, bool]]] = {
    "grpc": ("grpc", False),
    "grpcs": ("grpc", True),
    "http": ("http", False),
    "https": ("http", True),
    "ws": ("websocket", False),
    "wss": ("websocket", True),
    "websocket": ("websocket", False),
}
"""Scheme of an address -> protocol and TLS."""

_ADDRESS: Final = re.compile(
    r"(?:(?P<scheme>[A-Za-z][\w+.-]*)://)?"
    r"(?:\[(?P<bracketed>[\w:.%]+)\]|(?P<name>[^\s:/?#@\[\]]+))"
    r"(?::(?P<port>\d+))?/?"
)
_LONGEST_NAME: Final = 200
"""Bytes; a component of a path can have 255, and endings are added."""
_BARE_IPV6: Final = re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*(%\w+)?")


class Address(NamedTuple):
    """An address taken apart; what it does not say is None."""

    scheme: str | None
    host: str
    port: int | None


class Target(NamedTuple):
    """Where a running service is."""

    protocol: Protocol
    host: str
    port: int
    tls: bool


def is_name(text: str) -> bool:
    """Whether a text can be the name of a service, and so one component of a path."""
    return (
        bool(text)
        and text == text.strip()
        and text.isprintable()
        and text not in {".", ".."}
        and not {"/", "\\"} & set(text)
        and len(text.encode(errors="replace")) <= _LONGEST_NAME
    )


def split_address(text: str) -> Address:
    """`text` taken apart; the host comes without brackets.

    Raises ValueError with the rule that it breaks.
    """
    if _BARE_IPV6.fullmatch(text):
        return Address(None, text, None)
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not host, host:port or scheme://host:port")
    scheme = match["scheme"].lower() if match["scheme"] else None
    if scheme is not None and scheme not in SCHEMES:
        near = nearest(scheme, SCHEMES)
        hint = f", did you mean '{near}'?" if near else ""
        raise ValueError(f"unknown scheme {scheme!r}, not one of {', '.join(SCHEMES)}{hint}")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"{port} is not a port (1 to 65535)")
    return Address(scheme, match["bracketed"] or match["name"], port)
