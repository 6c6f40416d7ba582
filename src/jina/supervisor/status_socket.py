"""Where `jina status` asks the services of this user on this machine: a socket without a file for each.

Names of abstract sockets (https://man7.org/linux/man-pages/man7/unix.7.html) vanish with their process. Linux only.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

_CREDENTIALS = struct.Struct("3i")
_PATIENCE = 8.0
"""Seconds that an answer may take."""
_numbers = itertools.count()


def open_status_socket() -> socket.socket | None:
    """A listening socket under a name by which this service is found; None where abstract sockets do not exist."""
    if sys.platform != "linux":
        return None
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(f"\0{_prefix()}{os.getpid()}/{next(_numbers)}")
        server.listen(8)
    except OSError:
        server.close()
        return None
    return server


def answer(connection: socket.socket, give: Callable[[], bytes]) -> None:
    """Send the answer to a client of this user or root."""
    with connection, contextlib.suppress(OSError):
        connection.settimeout(_PATIENCE)
        if _user(connection) in {os.getuid(), 0}:
            connection.sendall(give())


@contextmanager
def serve_status(give: Callable[[], bytes]) -> Generator[None]:
    """Serve the status of this process from a thread; `give` returns the answer."""
    server = open_status_socket()
    if server is None:
        yield
        return
    thread = threading.Thread(target=_accept_loop, args=(server, give), name="status", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(_PATIENCE)


def _accept_loop(server: socket.socket, give: Callable[[], bytes]) -> None:
    with contextlib.suppress(OSError):  # it was closed
        while True:
            answer(server.accept()[0], give)


def ask_all() -> Iterator[tuple[int, bytes | None]]:
    """The process of each service of this user, and what it answers; None where it does not in time.

    Any user can make sockets with such names: those of others are left alone, however many there are.
    """
    give_up = time.monotonic() + _PATIENCE
    for pid, name in _names():
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            # Not that long for each that does not accept: connecting to one that does takes no time.
            server.settimeout(max(0.0, give_up - time.monotonic()))
            server.connect(f"\0{name}")
            if _user(server) != os.getuid():
                continue
            server.settimeout(_PATIENCE)
            try:
                data = b"".join(iter(lambda: server.recv(1 << 16), b""))
            except TimeoutError:
                yield pid, None
                continue
            if data:
                yield pid, data


def _prefix() -> str:
    return f"jina/{os.getuid()}/"


def _names() -> list[tuple[int, str]]:
    form = re.compile(rf" @({re.escape(_prefix())}([0-9]+)/[0-9]+)$", re.ASCII)
    with contextlib.suppress(OSError), open("/proc/net/unix", errors="replace") as file:
        found = {match[1]: int(match[2]) for line in file if (match := form.search(line.rstrip("\n")))}
        return sorted((pid, name) for name, pid in found.items())
    return []


def _user(sock: socket.socket) -> int:
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(data)[1])
