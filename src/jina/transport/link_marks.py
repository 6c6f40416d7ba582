"""Which requests a worker has begun, where a gateway can read it after the worker's death.

A page of memory that both map (memfd, Linux): the worker sets a byte when the work on a request begins, which costs
no message and outlives a `kill -9`. The gateway makes the page and hands its descriptor over with the first byte on
the socket. Elsewhere there is no page, and what was sent counts as begun.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

SLOTS: Final = 64 * 1024
"""Requests in flight that can be told apart."""
GREETING: Final = b"j"


class Marks:
    """One byte for each request in flight, by its number."""

    __slots__ = ("_page",)

    def __init__(self, page: mmap.mmap) -> None:
        self._page = page

    def forget(self, number: int) -> None:
        """A new request, not begun."""
        self._page[number % SLOTS] = 0

    def setter(self, number: int) -> Callable[[], object]:
        """What the worker calls when the work begins; on any thread."""
        return partial(self._page.__setitem__, number % SLOTS, 1)

    def begun(self, number: int, last: int) -> bool:
        """Whether the request may have been begun; `last` is the newest number, which may have its slot."""
        return number <= last - SLOTS or self._page[number % SLOTS] != 0


def greet(sock: socket.socket) -> Marks | None:
    """Send the first byte, with the page; raises OSError when the peer is gone."""
    if not hasattr(os, "memfd_create"):
        sock.send(GREETING)
        return None
    fd = os.memfd_create("jina-link")
    try:
        os.ftruncate(fd, SLOTS)
        marks = Marks(mmap.mmap(fd, SLOTS))
        socket.send_fds(sock, [GREETING], [fd])
    finally:
        os.close(fd)
    return marks


def greeted(sock: socket.socket) -> Marks | None:
    """Read the first byte, which is there; raises OSError when the peer is gone or is no gateway."""
    data, fds, _, _ = socket.recv_fds(sock, len(GREETING), 1)
    try:
        if not data:
            raise ConnectionResetError("the gateway left before it said anything")
        if data != GREETING:
            raise ConnectionAbortedError(f"the first byte is {data!r}")
        return Marks(mmap.mmap(fds[0], SLOTS)) if fds else None
    finally:
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)
