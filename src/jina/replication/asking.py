"""Questions to an agent by whoever operates it: one question a connection, blocking."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from jina.errors import InternalError, JinaError, RuntimeFailToStart, Unavailable, UsageError
from jina.replication import frames, papers
from jina.replication.frames import Frame
from jina.replication.papers import Papers

_LONG = 70.0
"""Seconds that a group may take for a change, such as to bring a new member up to date."""


_NONCE = 32
_WITH_KEY = 0x20
"""In the first byte: a proof follows."""
_LONGEST_SOCKET = 100
"""Bytes of a path that fit into the address of a socket on every system."""
_AGENT = "see that the replica runs (`jina status` on its machine); what the agent logs says more"
_ADDRESS = "give the address at which the other agents reach it, as in `raft_peers`"
_KEY = "give the name and the key file of its group (`raft_key_file`, or --key-file)"


class Peer(NamedTuple):
    """An agent by the address at which other agents reach it; it answers those who have the key of its group."""

    address: str
    group: str
    generation: str = ""
    papers: Papers | None = None
    key: str = ""


Place = str | Peer
"""Where an agent is asked: the path of its socket, or as a peer."""


def ask(place: Place, kind: int, body: bytes = b"", seconds: float = 30.0) -> bytes:
    """The answer of the agent at `place`; raises `Unavailable` where it gives none.

    What it refuses, however often it is asked, is a `UsageError`.
    """
    try:
        frame = _answer(place, kind, body, seconds)
    except OSError as error:
        raise Unavailable(f"the consensus agent does not answer: {error}", help=_AGENT) from None
    except InternalError as error:
        raise Unavailable(f"it is no consensus agent: {error.message}", help=_ADDRESS) from None
    if frame is None:
        keyless = isinstance(place, Peer) and not place.key and place.papers is None
        more = ": does it ask for the key of its group (--key-file)?" if keyless else ""
        raise Unavailable(f"the consensus agent went away before it answered{more}", help=_AGENT)
    if frame.kind != frames.ERROR:
        return bytes(frame.body)
    fault = msgspec.json.decode(frame.body)
    kind_of_error = UsageError if fault["code"] == "refused" else Unavailable
    raise kind_of_error(str(fault["text"]))


def _answer(place: Place, kind: int, body: bytes, seconds: float) -> Frame | None:
    reader, deadline = frames.Reader(), time.monotonic() + seconds
    # An agent that refuses closes; what it has not read of the question makes that a reset.
    with _connected(place, kind, seconds) as sock, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        sock.sendall(frames.head(kind, 1, len(body)) + body)
        while data := sock.recv(1 << 16):
            for frame in reader.feed(data):
                return frame
            sock.settimeout(max(0.01, deadline - time.monotonic()))
    return None


def status(place: Place, seconds: float = 5.0) -> dict[str, Any]:
    """What an agent tells of its replica and its group; `{"error": ...}` where it does not answer."""
    try:
        told: dict[str, Any] = msgspec.json.decode(ask(place, frames.STATUS, seconds=seconds))
        return told
    except JinaError as error:
        return {"error": error.message}


def administer(place: Place, do: str, **options: Any) -> bytes:
    """Have an agent `snapshot` its replica, or its group `transfer` the leadership, `add` or `remove` a member."""
    return ask(place, frames.ADMIN, msgspec.json.encode({"do": do, **options}), seconds=_LONG)


def _connected(place: Place, kind: int, seconds: float) -> socket.socket:
    if isinstance(place, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(seconds)
            with socket_path(place) as path:
                sock.connect(path)
        except OSError:
            sock.close()
            raise
        return sock
    host, _, port = place.address.rpartition(":")
    sock = socket.create_connection((host.strip("[]"), int(port)), timeout=min(seconds, 5.0))
    if place.papers is not None:
        sock = papers.safe(sock, host.strip("[]"), place.papers)
    sock.settimeout(seconds)
    hello = _greeting(place, kind)
    if not place.key:
        sock.sendall(hello)
        return sock
    try:
        _introduce(sock, hello, place.key.encode())
    except BaseException:
        sock.close()
        raise
    return sock


def _introduce(sock: socket.socket, hello: bytes, key: bytes) -> None:
    """Prove to an agent that we have the key of its group, and have it do the same: see `consensus/auth.go`."""
    mine = os.urandom(_NONCE)
    hello = bytes((hello[0] | _WITH_KEY,)) + hello[1:]
    sock.sendall(hello + mine + b"\0")  # no replica, so without an id
    theirs = _read(sock, _NONCE)
    name = _read(sock, _read(sock, 1)[0])

    def proof(side: bytes) -> bytes:
        parts = (b"jina-raft 1 " + side, hello, mine, b"", theirs, name)
        said = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
        return hmac.digest(key, said, "sha256")

    if not hmac.compare_digest(_read(sock, hashlib.sha256().digest_size), proof(b"called")):
        raise Unavailable("whoever answers does not have the key of the group", help=_KEY)
    sock.sendall(proof(b"caller"))


def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise Unavailable("it does not answer whoever has this name and this key of a group", help=_KEY)
        data += more
    return data


@contextlib.contextmanager
def socket_path(path: str) -> Iterator[str]:
    """A name of `path` by which a socket can be made or reached there however long `path` is; it holds in the context.

    Raises `OSError` where the folder does not exist.
    """
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        yield path
        return
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(path)}"
    finally:
        os.close(folder)


def _greeting(peer: Peer, kind: int) -> bytes:
    """What a connection begins with, see `consensus/mux.go`: strangers may ask for the status alone."""
    text = peer.group
    if kind != frames.STATUS and peer.generation:
        text += f"\0{peer.generation}"
    return (b"S" if kind == frames.STATUS else b"P") + hashlib.sha256(text.encode()).digest()[:16]


def failure_of(place: str) -> tuple[str, str]:
    """Why an agent does not start, and what to do; empty where it has not told."""
    try:
        with open(f"{place}.failed", encoding="utf-8", errors="replace") as file:
            told, _, way_out = file.read().partition("\n")
    except OSError:
        return "", ""
    return told, way_out


def look_for_failure(place: str, name: str) -> None:
    """Raise where an agent has told why it does not start."""
    told, way_out = failure_of(place)
    if not told:
        return
    raise RuntimeFailToStart(f"the consensus agent of {name} does not start: {told}", help=way_out)
