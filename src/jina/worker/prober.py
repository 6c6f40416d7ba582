"""A program of its own that answers probes for the worker that started it. Needs the standard library alone.

`prober.py LISTENING CONNECTED PARENT`: the descriptors of a listening socket and of a connected one, from which a byte
comes every moment (1 started, 2 ready, or both), and the id of the process that sends them. While the worker cannot
send, because C code holds its interpreter, what it said last counts for `LIMIT` seconds. Ends with the worker.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import time

LIMIT = 5.0
"""Seconds for which the last status byte of the worker counts."""
PATIENCE = 5.0
"""Seconds that a client may take for its request."""
_STARTED, _READY = 1, 2
_MOST_HEAD = 8192
_MOST_CLIENTS = 256


class Prober:
    """Answers one request on each connection."""

    def __init__(self, listening: socket.socket, worker: socket.socket) -> None:
        self._listening = listening
        self._worker = worker
        self._word, self._checks_at = 0, time.monotonic()
        self._clients: dict[int, tuple[socket.socket, bytes, float]] = {}
        self._poll = select.poll()
        for sock in (listening, worker):
            sock.settimeout(0)
            self._poll.register(sock, select.POLLIN)

    def serve(self, parent: int) -> None:
        """Until the worker is gone."""
        while os.getppid() == parent:
            for number, _ in self._poll.poll(500):
                if number == self._worker.fileno():
                    if not self._read_checks():
                        return
                elif number == self._listening.fileno():
                    self._accept()
                elif number in self._clients:
                    self._read(number)
            now = time.monotonic()
            for number in [number for number, (_, _, until) in self._clients.items() if until <= now]:
                self._drop(number)

    def _read_checks(self) -> bool:
        try:
            words = self._worker.recv(4096)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if words:
            self._word, self._checks_at = words[-1], time.monotonic()
        return bool(words)

    def _accept(self) -> None:
        try:
            client, _ = self._listening.accept()
        except OSError:
            return  # it has left, or there are no descriptors
        if len(self._clients) >= _MOST_CLIENTS:
            client.close()
            return
        client.settimeout(0)
        self._clients[client.fileno()] = (client, b"", time.monotonic() + PATIENCE)
        self._poll.register(client, select.POLLIN)

    def _read(self, number: int) -> None:
        client, head, until = self._clients[number]
        try:
            data = client.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        head += data
        if b"\r\n\r\n" in head:
            with contextlib.suppress(OSError):  # it has left
                client.send(self.answer(head, time.monotonic()))
        if not data or b"\r\n\r\n" in head or len(head) > _MOST_HEAD:
            self._drop(number)
        else:
            self._clients[number] = (client, head, until)

    def _drop(self, number: int) -> None:
        client = self._clients.pop(number)[0]
        self._poll.unregister(client)
        client.close()

    def answer(self, head: bytes, now: float) -> bytes:
        """The answer to the head of a request."""
        method, _, rest = head.partition(b" ")
        path, _, query = rest.partition(b" ")[0].partition(b"?")
        checks = self._checks(path.rstrip(b"/"), now)
        if checks is None:
            return _response("404 Not Found", "there are /livez, /readyz and /startupz here\n")
        if method not in {b"GET", b"HEAD"}:
            return _response("405 Method Not Allowed", "")
        well = all(checks.values())
        lines = [f"[{'+' if good else '-'}]{name} {'ok' if good else 'failed'}" for name, good in checks.items()]
        name = path.strip(b"/").decode()
        lines.append(f"{name} check {'passed' if well else 'failed'}")
        text = "\n".join(lines) + "\n" if b"verbose" in query or not well else "ok"
        return _response("200 OK" if well else "503 Service Unavailable", text, head=method == b"HEAD")

    def _checks(self, path: bytes, now: float) -> dict[str, bool] | None:
        if path == b"/livez":
            return {"alive": True}
        started = bool(self._word & _STARTED)
        if path == b"/startupz":
            return {"started": started}
        if path == b"/readyz":
            fresh = now - self._checks_at <= LIMIT
            return {"started": started, "service": bool(self._word & _READY), "worker-answers": fresh}
        return None


def _response(status: str, text: str, *, head: bool = False) -> bytes:
    body = text.encode()
    kind = "Content-Type: text/plain; charset=utf-8\r\nConnection: close"
    return f"HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + (b"" if head else body)


def main() -> None:
    """See above."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are for the worker, whose end is ours
    listening, worker = (socket.socket(fileno=int(word)) for word in sys.argv[1:3])
    Prober(listening, worker).serve(int(sys.argv[3]))


if __name__ == "__main__":
    main()
