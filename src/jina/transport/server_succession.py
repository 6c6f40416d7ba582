"""Leaving a port to another process that listens there, too, without hanging up on anybody.

Where several sockets listen on a port (SO_REUSEPORT), Linux deals new connections out among them, and resets those that
one of them had not taken when it closes (https://docs.kernel.org/networking/ip-sysctl.html, `tcp_migrate_req`). When a
process is replaced, all its clients connect anew at that very moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
import sys
import time
from collections.abc import Collection, Iterable, Iterator

from jina.transport.unread import kept, sockets_of_process

_SO_ATTACH_REUSEPORT_CBPF = 51
_RETURN = 0x06
_SECOND = 1
"""Which listener gets what comes: they are counted in the order in which they began, a process before its successor."""
_WAITING = struct.Struct("@24xI")
"""Where `struct tcp_info` of a listener has the number of connections that nobody has taken (tcpi_unacked)."""
_PAUSE = 0.005
_PATIENCE = 0.25


async def leave(ports: Collection[int]) -> None:
    """Return when no connection waits to be taken by a listener of this process on one of the ports.

    New ones go to the process that began to listen there last. Does nothing but on Linux.
    """
    if sys.platform != "linux" or not ports:
        return
    listeners: list[socket.socket] = []
    try:
        with contextlib.suppress(OSError):  # no /proc, or no descriptor is left: the ports are closed all the same
            listeners.extend(_listeners(ports))
            turn_away(listeners)
            await taken(listeners)
    finally:
        for sock in listeners:
            sock.close()


def turn_away(listeners: Iterable[socket.socket]) -> None:
    """Have the system give new connections to whoever listens beside these; if nobody does, nothing changes."""
    program = ctypes.create_string_buffer(struct.pack("@HBBI", _RETURN, 0, 0, _SECOND))
    option = struct.pack("@HP", 1, ctypes.addressof(program))
    for sock in listeners:
        with contextlib.suppress(OSError):  # a system that forbids it deals them out as before
            sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, option)


async def taken(listeners: Iterable[socket.socket]) -> None:
    """Wait until nothing waits at any of them, for a quarter of a second at most."""
    until, empty = time.monotonic() + _PATIENCE, 0
    while empty < 2 and time.monotonic() < until:  # twice: a handshake may be on its way
        await asyncio.sleep(_PAUSE)
        empty = 0 if any(map(_waiting, listeners)) else empty + 1


def _waiting(sock: socket.socket) -> int:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.size)
    return int(_WAITING.unpack(info)[0])


def _listeners(ports: Collection[int]) -> Iterator[socket.socket]:
    """Duplicates of the sockets by which this process listens: those of gRPC are nowhere else to be had."""
    for sock in sockets_of_process():
        with contextlib.suppress(OSError):  # of a kind that has no such option
            if _listens(sock, ports):
                yield kept(sock)


def _listens(sock: socket.socket, ports: Collection[int]) -> bool:
    tcp = sock.family in {socket.AF_INET, socket.AF_INET6} and sock.type == socket.SOCK_STREAM
    return tcp and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) and sock.getsockname()[1] in ports
