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
_ASKING = 0.3
"""Seconds in which a client says what it asks for."""
_LONGEST = 64 * 1024
_numbers = itertools.count()
Give = Callable[[bytes], bytes]
"""Answers a question; an empty one is for the status."""


def open_status_socket() -> socket.socket | None:
    """A listening socket under a name by which this service is found; None where abstract sockets do not exist."""
    if sys.platform != "linux":
        return None
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(f"\0{prefix()}{os.getpid()}/{next(_numbers)}")
        server.listen(8)
    except OSError:
        server.close()
        return None
    return server


def answer(connection: socket.socket, give: Give) -> None:
    """Send a client of this user or root what `give` returns for its question, which is empty for the status."""
    with connection, contextlib.suppress(OSError):
        if _user(connection) in {os.getuid(), 0}:
            question = _question(connection)
            connection.settimeout(_PATIENCE)
            connection.sendall(give(question))


def _question(connection: socket.socket) -> bytes:
    """The line that a client sends at once; a client that sends nothing, as those before, wants the status."""
    connection.settimeout(_ASKING)
    data = b""
    with contextlib.suppress(TimeoutError):
        while not data.endswith(b"\n") and len(data) < _LONGEST and (more := connection.recv(_LONGEST)):
            data += more
    return data.strip()


@contextmanager
def serve_status(give: Give) -> Generator[None]:
    """Serve the status of this process from a thread."""
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


def _accept_loop(server: socket.socket, give: Give) -> None:
    with contextlib.suppress(OSError):  # it was closed
        while True:
            answer(server.accept()[0], give)


def ask_all() -> Iterator[tuple[int, bytes | None]]:
    """The process of each service of this user, and what it answers; None where it does not in time.

    Any user can make sockets with such names: those of others are left alone, however many there are.
    """
    give_up = time.monotonic() + _PATIENCE
    for pid, name in names():
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            # Not that long for each that does not accept: connecting to one that does takes no time.
            server.settimeout(max(0.0, give_up - time.monotonic()))
            server.connect(f"\0{name}")
            if _user(server) != os.getuid():
                continue
            try:
                data = _asked(server, b"")
            except TimeoutError:
                yield pid, None
                continue
            if data:
                yield pid, data


def ask(pid: int, question: bytes) -> Iterator[tuple[str, bytes]]:
    """What each service of a process of this user answers to a question, by the name of its socket."""
    for _, name in names(pid):
        with contextlib.suppress(OSError):
            yield name, ask_one(name, question)


def ask_one(name: str, question: bytes) -> bytes:
    """The answer of the service whose socket has a name; raises `OSError` where there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.settimeout(_PATIENCE)
        server.connect(f"\0{name}")
        if _user(server) != os.getuid():
            raise ConnectionRefusedError(f"{name} belongs to another user")
        return _asked(server, question)


def _asked(server: socket.socket, question: bytes) -> bytes:
    server.settimeout(_PATIENCE)
    with contextlib.suppress(BrokenPipeError):
        server.sendall(question + b"\n")
    data = bytearray()
    # One of an earlier version closes without having read the question.
    with contextlib.suppress(ConnectionResetError):
        while chunk := server.recv(1 << 16):
            data += chunk
    return bytes(data)


def prefix() -> str:
    """What the names of the sockets of this user begin with."""
    return f"jina/{os.getuid()}/"


def names(pid: int | None = None) -> list[tuple[int, str]]:
    """The process and the name of each socket of this user, or of those of one process."""
    form = re.compile(rf" @({re.escape(prefix())}([0-9]+)/[0-9]+)$", re.ASCII)
    with contextlib.suppress(OSError), open("/proc/net/unix", errors="replace") as file:
        found = {match[1]: int(match[2]) for line in file if (match := form.search(line.rstrip("\n")))}
        return sorted((number, name) for name, number in found.items() if pid in {None, number})
    return []


def _user(sock: socket.socket) -> int:
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(data)[1])
