"""The agent takes into the log what a worker can read, and nothing else: the two sides are compared, bit by bit."""

import random
import socket
import subprocess
from contextlib import contextmanager

import msgspec
import pytest

from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload, JsonPayload
from jina.codec.session_headers import SessionRef
from jina.errors import InternalError
from jina.replication.admin import agent_path, socket_path
from jina.replication.agent_client import OK, PROPOSE, Reader, frame_head
from jina.replication.log_entries import entry_of, join_operations, read_entries, write_entry

pytestmark = pytest.mark.timeout(120)
PARAMETERS = [
    {}, {"a": 1, "b": [None, True, 1.5, "x" * 300]}, {"big": 10**40, "odd": "\ud800", "nan": float("nan")},
    {"deep": {"a": {"b": [{"c": []}]}}}, {"least": -(2**63), "most": 2**64 - 1, "text": "äöü" * 20_000},
]  # fmt: skip


def operations():
    """What workers write, of every form."""
    documents = [BytesPayload(b"documents"), JsonPayload(b'[{"text": "x"}]'), JsonPayload(b"{}", location=("a", 1))]
    for at, parameters in enumerate(PARAMETERS):
        for payload in documents:
            request = Request("/add", payload, parameters, "id", "exec.*", {"jina-x": "y"}, None, at % 2 == 0)
            session = SessionRef("client", 3, 2**40, 1) if at % 2 else SessionRef("", 0, 0, 0)
            yield b"".join(write_entry(entry_of("key", b"d" * 16, 7, session), request, 1 << 30))
    branches = [("a", documents[0]), ("b", documents[1]), ("c", documents[2])]
    request = Request("/", documents[0], {}, "", branches=branches)
    yield b"".join(write_entry(entry_of("", b"", 0, SessionRef("", 0, 0, 0)), request, 1 << 30))


def is_readable(data):
    try:
        return bool(read_entries(data))
    except InternalError:
        return False


@contextmanager
def lone_agent(folder):
    """The frames that the agent of a group of one replica is sent, and what it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    place = str(folder / "agent")
    text = {"group": "g", "peers": [address], "dir": str(folder / "rep-0"), "socket": place, "nonce": "n"}
    text |= {"election_timeout": 20, "heartbeat_timeout": 20, "leader_lease_timeout": 10, "key": "k" * 64}
    process = subprocess.Popen([agent_path()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        process.stdin.write(msgspec.json.encode(text) + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        with socket.socket(socket.AF_UNIX) as sock, socket_path(place) as short:
            sock.settimeout(60)
            sock.connect(short)
            yield Asker(sock)
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


class Asker:
    def __init__(self, sock):
        self.sock, self.reader, self.waiting = sock, Reader(), []

    def propose(self, data):
        """Whether an operation is taken into the log."""
        while True:
            self.sock.sendall(frame_head(PROPOSE, 1, len(data)) + data)
            while not self.waiting:
                self.waiting += self.reader.feed(self.sock.recv(1 << 16))
            frame = self.waiting.pop(0)
            if frame.kind == OK:
                return True
            if (fault := msgspec.json.decode(frame.body))["code"] == "refused":
                assert "no worker could read" in fault["text"]
                return False


def changed(chosen, data):
    """The operation with a few bytes that are others, fewer or more; mostly of its head."""
    data = bytearray(data)
    for _ in range(chosen.choice((1, 1, 2, 4))):
        at = chosen.randrange(min(len(data), chosen.choice((12, 60, 200, 10**6)))) if data else 0
        how = chosen.randrange(4)
        if how == 0:
            del data[at:]
        elif how == 1:
            data[at : at + 1] = bytes((chosen.randrange(256), chosen.randrange(256)))
        elif data:
            data[at] = chosen.randrange(256) if how == 2 else data[at] ^ (1 << chosen.randrange(8))
    return bytes(data)


def test_what_workers_write_is_taken(tmp_path):
    every = list(operations())
    with lone_agent(tmp_path) as agent:
        for data in [*every, join_operations([[one] for one in every]), join_operations([[every[0]]])]:
            assert is_readable(data)
            assert agent.propose(data)


def test_what_is_taken_can_be_read(tmp_path):
    chosen = random.Random(20260801)
    every = [one for one in operations() if len(one) < 10_000]
    every += [join_operations([[one] for one in every[:3]])]
    taken = refused = 0
    with lone_agent(tmp_path) as agent:
        for data in [b"", b"\x01", b"\x02", b"\x03", *(changed(chosen, chosen.choice(every)) for _ in range(4000))]:
            if agent.propose(data):
                taken += 1
                assert is_readable(data), data
            else:
                refused += 1
    assert taken > 500
    assert refused > 500
