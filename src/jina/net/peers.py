"""Connections whose other end is gone without a word: a machine that lost its power, a cable that was pulled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Final

SILENT_FOR: Final = 10
"""Seconds of silence after which the system of the other end is asked whether it knows the connection still."""
ASKED_EVERY: Final = 5
ASKED: Final = 3
"""How often, before the connection is lost: an answer comes from the system, however busy the programs there are."""
UNTAKEN_FOR: Final = 30
"""Seconds for which nothing of what was sent is taken.

Not fewer: the other end may be well and merely not read, as a server does that is full.
"""


def notice_loss(
    sock: socket.socket, idle: int = SILENT_FOR, interval: int = ASKED_EVERY, probes: int = ASKED, untaken: int = 0
) -> None:
    """Lose a connection when its other end is gone; those that a listening socket accepts inherit it.

    `untaken` is for what was sent and is not acknowledged; 0 leaves that to the system's own limit, which is many
    minutes. Does what this system has.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    named = {"TCP_KEEPIDLE": idle, "TCP_KEEPINTVL": interval, "TCP_KEEPCNT": probes}
    if untaken:
        named["TCP_USER_TIMEOUT"] = 1000 * untaken
    for name, value in named.items():
        with contextlib.suppress(AttributeError):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def ask_often(sock: socket.socket) -> None:
    """Ask the system of the other end every second from now on whether it knows the connection: see `unanswered`."""
    notice_loss(sock, idle=1, interval=1)


_SENT_AGAIN: Final = 2
"""How often the system sent something again that was not acknowledged: for about 0.7 s on a fast network."""
_TCP_INFO_BYTES: Final = 8
_RETRANSMITS, _PROBES = 2, 3
"""The positions in `struct tcp_info` of what counts them; an acknowledgement sets both to 0."""


def unacknowledged(sock: socket.socket) -> bool:
    """Whether the system of the other end is silent: it has not acknowledged what was sent to it repeatedly.

    That is long before the connection is lost. A program there that is merely busy is no reason. False on systems that
    do not tell.
    """
    return _counts(sock)[0] >= _SENT_AGAIN


def unanswered(sock: socket.socket) -> bool:
    """Whether something was sent again, or asked, that the system of the other end has not answered yet."""
    return any(_counts(sock))


def _counts(sock: socket.socket) -> tuple[int, int]:
    """How often something was sent again, and how often the system was asked, since its last answer."""
    if not hasattr(socket, "TCP_INFO"):
        return 0, 0
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return 0, 0
    return (info[_RETRANSMITS], info[_PROBES]) if len(info) > _PROBES else (0, 0)


_NEXT_TRY: Final = 1.0
"""Seconds after which another connection is tried beside one that is not there yet."""


async def dial(host: str, port: int) -> socket.socket:
    """A socket that is connected, on the running loop; raises `OSError`. To be called within a time limit.

    Behind one address may be several machines (the Service of a cluster), of which one is gone and not known to be:
    where nothing answers, other connections are tried beside the first.
    """
    tries: set[asyncio.Task[socket.socket]] = set()
    connected: list[socket.socket] = []
    try:
        while True:
            tries.add(asyncio.ensure_future(_connected(host, port, connected)))
            done, _ = await asyncio.wait(tries, timeout=_NEXT_TRY, return_when=asyncio.FIRST_COMPLETED)
            if done:
                found = done.pop().result()
                connected.remove(found)
                return found
    finally:
        for task in tries:
            task.cancel()
        await asyncio.gather(*tries, return_exceptions=True)
        for sock in connected:
            sock.close()


async def _connected(host: str, port: int, connected: list[socket.socket]) -> socket.socket:
    """To the first of the host's addresses that can be reached."""
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, kind, number, _, address in await _addresses(host, port):
        sock = socket.socket(family, kind, number)
        try:
            sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            connected.append(sock)
            return sock
    raise failure or OSError(f"{host} has no address")


async def _addresses(host: str, port: int) -> list[Any]:
    """What the system knows of a host; an address is not asked for."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return [(family, socket.SOCK_STREAM, 0, "", (host, port))]
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
