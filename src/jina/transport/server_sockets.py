"""Ports: bound alone or beside the parent's holder, with errors that name them."""

from __future__ import annotations

import errno
import socket

from jina.errors import ConfigError, PortAlreadyUsed
from jina.plan.plans import FacePlan

_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Asked after a minute of silence, given up after a minute without an answer. Not all systems have all of them.

What was sent and is not acknowledged is left to the system's own limit: a shorter one (TCP_USER_TIMEOUT) would also end
connections whose client merely does not read for a while.
"""


def bind(face: FacePlan) -> socket.socket:
    """A bound TCP socket for the face; `port` 0 lets the system choose.

    With `share_port` the socket has SO_REUSEPORT and binds beside others of the same user that have it; without
    it a taken port raises `PortAlreadyUsed`. A host that is not of this machine raises `ConfigError`.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if face.share_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _notice_dead_peers(sock)
        sock.bind((face.host, face.port))
    except OSError as error:
        sock.close()
        raise bind_error(face, error) from error
    sock.settimeout(0)
    return sock


def _notice_dead_peers(sock: socket.socket) -> None:
    """Let the system end connections whose other end is gone; those that are accepted inherit it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def bind_error(face: FacePlan, error: OSError) -> ConfigError:
    """What the system's refusal means to the user."""
    where = f"{face.host}:{face.port} ({face.protocol})"
    if error.errno == errno.EADDRINUSE:
        return PortAlreadyUsed(
            f"port: {face.port} is taken: another process listens on {where}",
            help="give another port, or none to let jina choose a free one",
        )
    if error.errno == errno.EACCES:
        return ConfigError(
            f"port: {face.port} may not be opened by this user ({where})", help="ports below 1024 need privileges"
        )
    return ConfigError(f"host: cannot listen on {where}: {error.strerror or error}")
