"""Sockets of local links as they come from the launcher: at the start, and again when a worker was restarted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

Listener = Callable[[str, socket.socket | None], None]


class LinkSource:
    """Holds each socket until somebody listens. Every method may be called from any thread.

    A socket comes under the name of its worker (`executor/rep-0`), at both ends of the link. One that comes under a
    name that came before replaces the earlier one, whose other end is gone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.on_use: Callable[[str], None] = lambda _: None
        """Told by the listener when the link of a worker is used for requests."""
        self._waiting: list[tuple[str, socket.socket | None]] = []
        self._listener: Listener | None = None

    def add(self, name: str, sock: socket.socket | None) -> None:
        """Give a socket to the listener, or keep it until there is one."""
        with self._lock:
            listener = self._listener
            if listener is None:
                self._waiting.append((name, sock))
                return
        listener(name, sock)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(name, socket)` for what waits, here, and for each later one in the thread that adds it.

        The listener owns the socket and returns at once. Gives the function that ends it.
        """
        with self._lock:
            self._listener = listener
            waiting, self._waiting = self._waiting, []
        for name, sock in waiting:
            listener(name, sock)

        def forget() -> None:
            with self._lock:
                self._listener = None

        return forget

    def close(self) -> None:
        """Close the sockets that nobody took."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for _, sock in waiting:
            if sock is not None:
                sock.close()
