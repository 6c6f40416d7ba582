"""Sockets that listen: bound to what a plan says, and who holds a port that is taken."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import socket
from collections.abc import Collection

from jina.errors import ConfigError, PortAlreadyUsed
from jina.net.peers import notice_loss
from jina.plan.plans import ListenerPlan

_KEEP_ALIVE = {"idle": 60, "interval": 15, "probes": 4}
"""Clients are asked after a minute of silence, and lost after a minute without an answer.

What was sent and is not acknowledged is left to the system's own limit: a shorter one would also end connections whose
client merely does not read for a while.
"""
_LISTENS = "0A"
"""The state in /proc/net/tcp (https://docs.kernel.org/networking/proc_net_tcp.html)."""
_LONGEST_COMMAND = 80


def bind(listener: ListenerPlan) -> socket.socket:
    """A bound TCP socket for the listener; `port` 0 lets the system choose.

    With `share_port` the socket has SO_REUSEPORT and binds beside others of the same user that have it; without
    it a taken port raises `PortAlreadyUsed`. A host that is not of this machine raises `ConfigError`.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.share_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        notice_loss(sock, **_KEEP_ALIVE)
        sock.bind((listener.host, listener.port))
    except OSError as error:
        sock.close()
        raise bind_error(listener, error) from error
    sock.settimeout(0)
    return sock


def bind_error(listener: ListenerPlan, error: OSError) -> ConfigError:
    """What the system's refusal means to the user."""
    where = f"{listener.host}:{listener.port} ({listener.protocol})"
    if error.errno == errno.EADDRINUSE:
        who = holder(listener.port)
        return PortAlreadyUsed(
            f"port: {listener.port} is taken: another process listens on {where}{who and f': {who}'}",
            help="give another port, or none to let jina choose a free one",
        )
    if error.errno == errno.EACCES:
        return ConfigError(
            f"port: {listener.port} may not be opened by this user ({where})", help="ports below 1024 need privileges"
        )
    return ConfigError(f"host: cannot listen on {where}: {error.strerror or error}")


def holder(port: int) -> str:
    """Which process has a port, as far as this user may know; empty where the system does not tell.

    That is elsewhere than on Linux, and for sockets that neither listen nor are connected.
    """
    listening, connected = _sockets_at(port)
    for sockets in (listening, connected):
        for pid in sorted(_processes_with(sockets)) if sockets else ():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().decode(errors="replace").replace("\0", " ").split()
                return f"process {pid} ({' '.join(command)[:_LONGEST_COMMAND]})"
        for uid in sockets.values():
            return f"a process of {_user_name(uid)}"
    return ""


def _sockets_at(port: int) -> tuple[dict[str, int], dict[str, int]]:
    """Those that listen and the others, with the user of each."""
    listening: dict[str, int] = {}
    connected: dict[str, int] = {}
    for kind in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/net/{kind}") as file:
            for line in file.readlines()[1:]:
                _, local, _, state, *_, uid, _, inode = line.split()[:10]
                if int(local.rpartition(":")[2], 16) == port and inode != "0":
                    (listening if state == _LISTENS else connected)[f"socket:[{inode}]"] = int(uid)
    return listening, connected


def _processes_with(sockets: Collection[str]) -> set[int]:
    found = set()
    for path in glob.iglob("/proc/[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(path) in sockets:
                found.add(int(path.split("/")[2]))
    return found


def _user_name(uid: int) -> str:
    import pwd  # not where there are no such users

    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"
