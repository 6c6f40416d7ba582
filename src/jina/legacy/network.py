"""Helpers of `jina.helper` about ports and addresses. None of them calls out."""

from __future__ import annotations

import ipaddress
import os
import random
import socket
from urllib.parse import urlsplit

from jina.errors import ConfigError, NotSupportedError

_TLS = {"grpcs", "https", "wss"}


def random_ports(n_ports: int) -> list[int]:
    """Distinct free ports, from `JINA_RANDOM_PORT_MIN` to `JINA_RANDOM_PORT_MAX` (49153 to 65535).

    Nothing keeps them free: leave `port` unset where a Deployment is to choose. Raises `ConfigError` when there
    are not so many.
    """
    low = int(os.environ.get("JINA_RANDOM_PORT_MIN", "49153"))
    high = int(os.environ.get("JINA_RANDOM_PORT_MAX", "65535"))
    found: list[int] = []
    candidates = range(low, high + 1)
    for port in random.sample(candidates, len(candidates)):
        if len(found) == n_ports:
            break
        if is_port_free("127.0.0.1", port):
            found.append(port)
    if len(found) < n_ports:
        raise ConfigError(f"there are no {n_ports} free ports between {low} and {high}")
    return found


def random_port() -> int:
    """One free port; see `random_ports`."""
    return random_ports(1)[0]


def is_port_free(host: str, port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def parse_host_scheme(host: str) -> tuple[str, int | None, str | None, bool]:
    """Host name, port, scheme and whether it means TLS, of `scheme://host:port` or less."""
    scheme = host.partition("://")[0] if "://" in host else None
    parts = urlsplit(host if scheme else f"//{host}")
    tls = scheme in _TLS
    return parts.hostname or "", parts.port or (443 if tls else None), scheme, tls


def get_internal_ip() -> str:
    """The address of this machine in its own network; 127.0.0.1 where there is none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket only looks up the route; the address is one of RFC 5737's for texts.
            probe.connect(("192.0.2.1", 9))
            return str(ipaddress.ip_address(probe.getsockname()[0]))
        except OSError:
            return "127.0.0.1"


def get_public_ip(timeout: float = 0.3) -> str:
    """Not available: it would ask a server on the internet."""
    del timeout
    raise NotSupportedError(
        "get_public_ip is not available: jina asks no server on the internet",
        help="use get_internal_ip, or the address that you gave the machine",
    )
