"""Agents talk by TLS, and show each other certificates."""

import contextlib
import json
import socket
import ssl
import sys
import time

import pytest

from jina import Client, Document
from jina.replication.admin import Credentials, Peer, agent_status
from tests.certificates import Authority, certificate
from tests.cli.running import call
from tests.stateful.by_hand import FRESH, HOSTS, LONG, add, replicas
from tests.stateful.conftest import PATIENCE, group
from tests.stateful.users import Ledger

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]


def answer_to(address, context=None):
    """What an agent says to who has no certificate; b"" where it hangs up."""
    host, _, port = address.rpartition(":")
    sock = socket.create_connection((host, int(port)), timeout=PATIENCE)
    with contextlib.closing(context.wrap_socket(sock) if context else sock) as sock:
        try:
            sock.sendall(b"P" + bytes(16))
            return sock.recv(1)
        except (ssl.SSLError, ConnectionError):
            return b""


def test_replicas_of_one_certificate_trust_each_other_and_nobody_else(tmp_path, monkeypatch):
    made = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", made.authority)
    monkeypatch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
    with group(Ledger, tmp_path, **made.options) as running:
        running.add("one")
        leader = running.leader()
        context = ssl.create_default_context(cafile=made.authority)
        context.check_hostname = False
        for agent in running.agents:
            assert answer_to(agent.plan.peers[agent.plan.replica]) == b""
            assert answer_to(agent.plan.peers[agent.plan.replica], context) == b""
        address, name = running.agents[0].plan.peers[0], running.deployment.name
        status = agent_status(Peer(address, name, credentials=Credentials(made.file, made.key)))
        assert status["replica"] == 0
        assert "error" in agent_status(Peer(address, name))
        own = ["--ssl-certfile", made.file, "--ssl-keyfile", made.key]
        done = call("raft", "status", name, "--peer", address, *own)
        assert done.returncode == 0, done.stderr
        assert "Leader" in done.stdout
        running.kill_agent(leader)
        running.add("two")
        assert json.loads(running.post("/list", Document(), **FRESH)[0].text)["lines"] == ["one", "two"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have only one address of their own")
def test_replicas_with_certificates_of_their_own(tmp_path):
    authority, other = (Authority(tmp_path / name) for name in ("ours", "others") if not (tmp_path / name).mkdir())

    def shown(replica, by=authority):
        made = by.issue(HOSTS[replica], name=str(replica))
        files = {"--ssl-certfile": made.file, "--ssl-keyfile": made.key, "--ssl-ca-certs": authority.file}
        return [word for pair in files.items() for word in pair]

    with replicas(tmp_path) as three:
        three.start(0, *shown(0))
        three.start(1, *shown(1))
        three.start(2, *shown(2, other))
        deadline = time.monotonic() + LONG
        while "TLS with" not in three.services[0].output + three.services[1].output:
            assert time.monotonic() < deadline, [one.output for one in three.services.values()]
            time.sleep(0.02)
        assert not [one.output for one in three.services.values() if "is ready" in one.output]
        three.kill(2)
        three.start(2, *shown(2))
        three.await_ready(0, 1, 2)
        alice = authority.issue("alice", name="alice")
        shows = {"ssl_ca_certs": authority.file, **alice.options}
        for host in HOSTS:
            with Client(host=f"grpcs://{host}:{three.port}", **shows) as client:
                add(client, host)
        shows_own = Credentials(alice.file, alice.key, authority.file)
        assert "error" in agent_status(Peer(three.peers[0], "executor", credentials=shows_own))  # she is no replica
        one = authority.issue(HOSTS[1], name="operator")
        status = agent_status(
            Peer(three.peers[0], "executor", credentials=Credentials(one.file, one.key, authority.file))
        )
        assert status["replica"] == 0
        for replica in range(3):  # those that run read them again
            shown(replica)
        three.kill(0)
        three.start(0, *shown(0))
        three.await_ready(0)
        with Client(host=f"grpcs://{HOSTS[0]}:{three.port}", **shows) as client:
            assert json.loads(client.post("/list", Document(), **FRESH)[0].text)["lines"] == list(HOSTS)
