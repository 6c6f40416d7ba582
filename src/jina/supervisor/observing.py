"""What all processes of a service tell to those who look closely: the console, on whatever process it is served.

A question is a JSON object. With `logs`, the number of the last log record that is known, those after it are answered;
with `process`, an id, only a service that has this process answers. The answer has the `status` of the service, what
each process told under `observed`, and the log records with the number of the last.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from jina.errors import EndpointNotFound
from jina.supervisor import status_socket

MOST_LINES: Final = 2000
"""Log records of a service that are kept."""
MOST_AT_ONCE: Final = 500
FRESH: Final = 0.5
"""Seconds for which what the processes told answers further questions."""


class Process(Protocol):
    """What is read here of the status of a process."""

    @property
    def pid(self) -> int:
        """Its id."""
        ...


class Status(Protocol):
    """What is read here of the status of a service, such as `ServiceStatus`."""

    @property
    def processes(self) -> Sequence[Process]:
        """All of them."""
        ...


Look = Callable[[], tuple[Status, dict[str, dict[str, Any]], list[dict[str, Any]]]]
"""Gives the status, what each process tells by its name, and the log records that have come since the last call."""


class Question(msgspec.Struct):
    """See above."""

    logs: int | None = None
    process: int | None = None


class Observer:
    """Asks the processes of one service, as often as somebody asks for them; from any thread."""

    def __init__(self, look: Look, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: deque[dict[str, Any]] = deque(maxlen=MOST_LINES)
        self._last = 0
        self._seen: tuple[Status, dict[str, dict[str, Any]]] | None = None
        self._at = 0.0

    def answer(self, question: bytes) -> bytes:
        """The answer as JSON; `{}` where the question is not for this service, or none at all."""
        try:
            asked = msgspec.json.decode(question, type=Question)
        except msgspec.DecodeError:
            return b"{}"
        with self._lock:
            status, observed = self._looked()
            if asked.process is not None and all(one.pid != asked.process for one in status.processes):
                return b"{}"
            found: dict[str, Any] = {"status": status, "observed": observed, "last": self._last}
            if asked.logs is not None:
                found["logs"] = lines = [line for line in self._lines if line["seq"] > asked.logs][:MOST_AT_ONCE]
                first = lines[0]["seq"] if lines else self._last + 1
                found["lost"] = first - asked.logs - 1 if asked.logs else 0
                found["last"] = lines[-1]["seq"] if lines else self._last
            return msgspec.json.encode(found)

    def _looked(self) -> tuple[Status, dict[str, dict[str, Any]]]:
        now = self._clock()
        if self._seen is None or now - self._at >= FRESH:
            status, observed, lines = self._look()
            for line in sorted(lines, key=lambda line: float(line["time"])):
                self._last += 1
                self._lines.append({**line, "seq": self._last})
            self._seen, self._at = (status, observed), now
        return self._seen


_names: dict[int, str] = {}
"""By process of a supervisor: the socket of the service that this process belongs to."""


def ask_supervisor(question: bytes) -> bytes:
    """What the supervisor of this process, which is its parent, answers for its service; `{}` where it does not."""
    parent = os.getppid()
    asked = msgspec.json.decode(question, type=Question)
    asked.process = os.getpid()
    question = msgspec.json.encode(asked)
    if (name := _names.get(parent)) is not None:
        try:
            return status_socket.ask_one(name, question)
        except OSError:
            del _names[parent]
    for name, answer in status_socket.ask(parent, question):
        if answer not in {b"", b"{}"}:
            _names[parent] = name
            return answer
    return b"{}"


class ServicesHere:
    """The services of this user on this machine, by the number in the name of their sockets."""

    def listed(self) -> list[dict[str, Any]]:
        """`id`, `name` and `state` of each that answers; one that does not in time is `hung`."""
        found = []
        for pid, name in status_socket.names():
            try:
                named = msgspec.json.decode(status_socket.ask_one(name, b""), type=_Named)
            except TimeoutError:
                named = _Named(f"process {pid}", "hung")
            except (OSError, msgspec.DecodeError):
                continue
            found.append({"id": name.partition(status_socket.prefix())[2], "name": named.name, "state": named.state})
        return found

    def ask(self, ident: str) -> Callable[[bytes], bytes]:
        """What answers questions about a service; raises `EndpointNotFound` where there is none of this number."""
        name = status_socket.prefix() + ident
        if all(known != name for _, known in status_socket.names()):
            raise EndpointNotFound(f"no service {ident!r} runs here")
        return partial(status_socket.ask_one, name)


class _Named(msgspec.Struct):
    name: str
    state: str
