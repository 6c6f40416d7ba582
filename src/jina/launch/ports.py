"""Ports that jina chooses, held from the choice to the release.

A chosen port is held by a socket that is bound with SO_REUSEPORT but never listens: no other user's process
and no other allocator gets it, and the worker, which binds with SO_REUSEPORT too, receives every connection.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterable

from jina.errors import ConfigError, PortAlreadyUsed

_TRIES = 200


class KeptPorts:
    """Gives ports that are in use already, in their order: for a plan that changes a running service."""

    def __init__(self, ports: Iterable[int]) -> None:
        self._ports = iter(ports)

    def port(self) -> int:
        """The next one; see `jina.plan.allocate.PortAllocator`."""
        return next(self._ports)


class PortReservations:
    """Chooses free ports and holds them until `close`; implements `jina.plan.allocate.PortAllocator`.

    The range comes from JINA_RANDOM_PORT_MIN and JINA_RANDOM_PORT_MAX; without them the kernel chooses.
    """

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def port(self) -> int:
        """A TCP port that is free on all interfaces."""
        limits = _range_of_environment()
        sock = _bind_any() if limits is None else _bind_within(*limits)
        port: int = sock.getsockname()[1]
        self._held[port] = sock
        return port

    def hold(self, port: int) -> None:
        """Take a port again that `close` released; raises PortAlreadyUsed when another process has it now."""
        if port in self._held:
            return
        sock = _bind("", port, after_use=True)
        if sock is None:
            raise PortAlreadyUsed(f"port {port}, chosen earlier for this deployment, is now used by another process")
        self._held[port] = sock

    def hold_given(self, host: str, port: int) -> bool:
        """Hold a port that the user gave; says whether that was possible. The server tells why it was not."""
        if port not in self._held and (sock := _bind(host, port, after_use=True)) is not None:
            self._held[port] = sock
        return port in self._held

    def take_over(self, other: PortReservations) -> None:
        """Hold what another one holds, in its place."""
        while other._held:
            port, sock = other._held.popitem()
            self._held[port] = sock

    def lend(self, port: int) -> None:
        """Let any server of this user that binds with SO_REUSEADDR, as servers do, open a port that is held here."""
        self._held[port].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def close(self) -> None:
        """Release all ports."""
        while self._held:
            self._held.popitem()[1].close()


def _range_of_environment() -> tuple[int, int] | None:
    low, high = os.environ.get("JINA_RANDOM_PORT_MIN"), os.environ.get("JINA_RANDOM_PORT_MAX")
    if low is None and high is None:
        return None
    try:
        limits = int(low or 49153), int(high or 65535)
    except ValueError:
        raise ConfigError(
            f"JINA_RANDOM_PORT_MIN={low!r} and JINA_RANDOM_PORT_MAX={high!r} must be port numbers"
        ) from None
    if not 0 < limits[0] <= limits[1] <= 65535:
        raise ConfigError(f"JINA_RANDOM_PORT_MIN={limits[0]} to JINA_RANDOM_PORT_MAX={limits[1]} is no range of ports")
    return limits


def _bind_any() -> socket.socket:
    sock = _bind("", 0)
    if sock is None:
        raise PortAlreadyUsed("the system has no free port left")
    return sock


def _bind_within(low: int, high: int) -> socket.socket:
    for _ in range(_TRIES):
        if sock := _bind("", random.randint(low, high)):  # noqa: S311 - spreads ports, guards nothing
            return sock
    raise PortAlreadyUsed(f"found no free port from {low} to {high} (JINA_RANDOM_PORT_MIN and _MAX) in {_TRIES} tries")


def _bind(host: str, port: int, *, after_use: bool = False) -> socket.socket | None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if after_use:  # closed connections linger on the port for a minute (TIME_WAIT)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        return None
    # Only now: bound with these options, the kernel would let others have the port too.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return sock
