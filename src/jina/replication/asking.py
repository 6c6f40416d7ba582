"""Questions to an agent by whoever started it: one question a connection, blocking."""

from __future__ import annotations

import socket
import time
from typing import Any

import msgspec

from jina.errors import JinaError, Unavailable, UsageError
from jina.replication import frames


_LONG = 70.0
"""Seconds that a group may take for a change, such as to bring a new member up to date."""


def ask(place: str, kind: int, body: bytes = b"", seconds: float = 30.0) -> bytes:
    """The answer of the agent whose socket is at `place`; raises `Unavailable` where it gives none.

    What it refuses, however often it is asked, is a `UsageError`.
    """
    reader, deadline = frames.Reader(), time.monotonic() + seconds
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(seconds)
            sock.connect(place)
            sock.sendall(frames.head(kind, 1, len(body)) + body)
            while data := sock.recv(1 << 16):
                for frame in reader.feed(data):
                    if frame.kind == frames.ERROR:
                        fault = msgspec.json.decode(frame.body)
                        kind_of_error = UsageError if fault["code"] == "refused" else Unavailable
                        raise kind_of_error(str(fault["text"]))
                    return frame.body
                sock.settimeout(max(0.01, deadline - time.monotonic()))
    except OSError as error:
        raise Unavailable(f"the consensus agent does not answer: {error}") from None
    raise Unavailable("the consensus agent went away before it answered")


def status(place: str) -> dict[str, Any]:
    """What an agent tells of its replica and its group; `{"error": ...}` where it does not answer."""
    try:
        told: dict[str, Any] = msgspec.json.decode(ask(place, frames.STATUS, seconds=5.0))
        return told
    except JinaError as error:
        return {"error": error.message}


def administer(place: str, do: str, **options: Any) -> bytes:
    """Have an agent `snapshot` its replica, or its group `transfer` the leadership, `add` or `remove` a member."""
    return ask(place, frames.ADMIN, msgspec.json.encode({"do": do, **options}), seconds=_LONG)
