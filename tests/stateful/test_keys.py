"""Agents of a group know each other by a key, which is in each member's folder; without it nothing can be proposed."""

import contextlib
import hashlib
import os
import socket
import stat

import pytest

from jina import Document
from jina.codec.messages import Request
from jina.codec.payloads import BytesPayload
from jina.codec.session_headers import SessionRef
from jina.errors import ConfigError, RuntimeFailToStart, Unavailable
from jina.replication.admin import Peer, agent_status, ask, read_key
from jina.replication.agent_client import PROPOSE, STATUS, frame_head
from jina.replication.log_entries import entry_of, write_entry
from tests.stateful.conftest import group
from tests.stateful.users import FolderLedger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
NAME = "keyed"
FRESH = {"headers": {"jina-consistency": "linearizable"}}


def keys(workspace, replicas=3):
    return [workspace / "raft" / NAME / f"rep-{replica}" / "key" for replica in range(replicas)]


def an_operation():
    request = Request("/add", BytesPayload(b""), {}, "stranger")
    return b"".join(write_entry(entry_of("x", b"d" * 16, 0, SessionRef("", 0, 0, 0)), request, 1 << 20))


def said_by_a_stranger(address, purpose, generation, *more):
    """What an agent answers to who knows all but the key: the name of the group, and how agents talked before."""
    mark = hashlib.sha256("\0".join([NAME, *([generation] if generation else [])]).encode()).digest()[:16]
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(purpose + mark + b"".join(more))
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))
    return b""


def lines(running):
    return [one["lines"] for one in running.everywhere("/list", **FRESH)]


def test_a_stranger_can_propose_nothing_and_the_group_goes_on(tmp_path):
    with group(FolderLedger, tmp_path, name=NAME) as running:
        running.add("before")
        statuses = running.status()
        for one in statuses:
            address = one["peers"][str(one["replica"])]
            for operation in (b"", an_operation()):
                frame = frame_head(PROPOSE, 1, len(operation)) + operation
                assert said_by_a_stranger(address, b"P", one["generation"], frame) == b""
                for key in ("", "w" * 64):
                    with pytest.raises(Unavailable):
                        ask(Peer(address, NAME, one["generation"], key=key), PROPOSE, operation)
            assert said_by_a_stranger(address, b"S", "", frame_head(STATUS, 1, 0)) == b""
            assert said_by_a_stranger(address, b"R", one["generation"], bytes(100)) == b""
        last = [one["last"] for one in running.status()]
        assert last == [one["last"] for one in statuses]
        running.add("after")
        assert lines(running) == [["before", "after"]] * 3
        key = read_key(str(keys(tmp_path)[0]))
        assert agent_status(Peer(address, NAME, key=key))["group"] == NAME


def test_the_key_is_made_once_for_this_user_alone_and_stays(tmp_path):
    with group(FolderLedger, tmp_path, name=NAME) as running:
        running.add("one")
        result = {path.read_text() for path in keys(tmp_path)}
        assert len(result) == 1
        assert len(result.copy().pop().strip()) == 64
        assert {stat.S_IMODE(os.stat(path).st_mode) for path in keys(tmp_path)} == {0o600}
        running.deployment.add_replica()
        assert keys(tmp_path, 4)[3].read_text() in result
    keys(tmp_path)[1].unlink()
    with group(FolderLedger, tmp_path, name=NAME, replicas=4) as running:
        assert {path.read_text() for path in keys(tmp_path, 4)} == result
        assert running.everywhere("/list", 4, **FRESH)[0]["lines"] == ["one"]


def test_a_group_of_before_gets_one_at_its_next_start(tmp_path):
    """As it was left by a version without keys."""
    with group(FolderLedger, tmp_path, name=NAME) as running:
        running.add("one")
    before = {path.read_text() for path in keys(tmp_path)}
    for path in keys(tmp_path):
        path.unlink()
    with group(FolderLedger, tmp_path, name=NAME) as running:
        running.add("two")
        assert lines(running) == [["one", "two"]] * 3
    after = {path.read_text() for path in keys(tmp_path)}
    assert len(after) == 1
    assert after != before


def test_keys_of_different_groups_are_named(tmp_path):
    with group(FolderLedger, tmp_path, name=NAME):
        pass
    keys(tmp_path)[2].write_text("another key, of 32 characters or more\n")
    with (
        pytest.raises(
            (ConfigError, RuntimeFailToStart), match=r"rep-0/key and .*rep-2/key are keys of different groups"
        ),
        group(FolderLedger, tmp_path, name=NAME),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, "cannot be read"), (b"short", "the key of a group must be one line"), (b"\xff" * 64, "cannot be")],
)
def test_a_file_that_holds_no_key_is_named(tmp_path, content, text):
    path = tmp_path / "group.key"
    if content is not None:
        path.write_bytes(content)
    with (
        pytest.raises((ConfigError, RuntimeFailToStart), match=f"{text}.*"),
        group(FolderLedger, tmp_path, name=NAME, raft_key_file=str(path)),
    ):
        pass


def test_a_key_that_is_given_counts(tmp_path):
    path = tmp_path / "group.key"
    path.write_text("g" * 40)
    with group(FolderLedger, tmp_path, name=NAME, raft_key_file=str(path)) as running:
        assert running.post("/add", Document(text="x"))
        address = running.status()[0]["peers"]["0"]
        assert agent_status(Peer(address, NAME, key="g" * 40))["group"] == NAME
