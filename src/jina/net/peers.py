"""Connections whose other end is gone without a word: a machine that lost its power, a cable that was pulled."""

from __future__ import annotations

import contextlib
import socket
from typing import Final

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
