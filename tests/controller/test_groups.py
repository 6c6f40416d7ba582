"""`jina kubernetes` against a real API server with the real controllers of Kubernetes; pods are processes."""

from __future__ import annotations

import json
import secrets
import threading
from base64 import b64encode
from itertools import pairwise
from pathlib import Path

import pytest
from tests.cli.running import serving
from tests.controller.pods import BINARIES, LACKING, Kubelet, control_plane, free_port, until
from tests.nemesis.checks import check_list
from tests.nemesis.clients import Clients
from tests.nemesis.history import History

from jina import Flow
from jina.cli.main import main
from jina.controller.decision import Done
from jina.replication.admin import Peer, agent_status

ROOT = Path(__file__).parents[2]
NAME = "kv"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(LACKING), reason=f"{', '.join(LACKING)} not in {BINARIES}"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control plane")) as made:
        yield made


class World:
    """An exported Flow with a group of three, its pods, and a gateway in front of all that may come."""

    def __init__(self, server, folder, capsys):
        self.server, self.folder, self.capsys = server, folder, capsys
        self.files = folder / "an exported folder"

    def export(self, **options):
        given = {"name": NAME, "uses": "docker://x:1", "stateful": True, "replicas": 3, **options}
        Flow(name="shop").add(**given).to_kubernetes_yaml(self.files, k8s_namespace="shop", include_gateway=False)

    def jina(self, *words, code=0):
        """What a command printed."""
        found = main(["kubernetes", *words, "--kubeconfig", self.server.kubeconfig])
        said = self.capsys.readouterr()
        assert found == code, said
        return said

    def status(self):
        main(["kubernetes", "status", NAME, "--json", "--kubeconfig", self.server.kubeconfig])
        return json.loads(self.capsys.readouterr().out)[0]

    def pods(self):
        found = self.server.ask("GET", "/api/v1/namespaces/shop/pods")["items"]
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}


@pytest.fixture
def world(server, tmp_path, capsys):
    made = World(server, tmp_path, capsys)
    key = secrets.token_hex(32)
    (tmp_path / "key").write_text(key)
    config = f"jtype: NemesisState\npy_modules: [{json.dumps(str(ROOT / 'tests/nemesis/state.py'))}]\n"
    (tmp_path / "config.yml").write_text(config)
    made.key = key
    secret = {"metadata": {"name": f"{NAME}-raft"}, "data": {"key": b64encode(key.encode()).decode()}}
    server.ask("POST", "/api/v1/namespaces/shop/secrets", secret)
    made.export()
    with Kubelet(server, tmp_path) as kubelet:
        made.kubelet = kubelet
        yield made
        core = [f"api/v1/namespaces/shop/{kind}" for kind in ("persistentvolumeclaims", "secrets", "pods")]
        for path in ("apis/apps/v1/namespaces/shop/statefulsets", *core):
            server.ask("DELETE", f"/{path}")
        until(lambda: not made.pods() and not kubelet.claims(), "the pods are gone")


@pytest.fixture
def load(world):
    """Writers and readers through a gateway, and the check of what they saw."""
    port = free_port()
    graph = json.dumps({"start-gateway": [NAME], NAME: ["end-gateway"]})
    addresses = json.dumps({NAME: [f"grpc://{world.kubelet.address(number)}:8080" for number in range(3)]})
    options = [
        *("--protocol", "http", "--port", str(port), "--timeout-send", "3s"),
        *("--graph-description", graph, "--deployments-addresses", addresses),
    ]
    history = History()

    def agents():
        return [
            Peer(f"{world.kubelet.address(number)}:8090", NAME, key=world.key)
            for number in range(5)
        ]  # fmt: skip

    class Load:
        def __enter__(self):
            self.gateway = serving("gateway", *options, cwd=world.folder)
            self.service = self.gateway.__enter__()
            self.service.address("http")
            self.clients = Clients(port, agents, history, 1, writers=2, sessions=0, readers=2, large=0.0)
            self.clients.__enter__()
            until(lambda: self.clients.written > 20, "writes are acknowledged")
            return self

        def __exit__(self, *error):
            self.clients.__exit__(*error)
            if error[0] is None:
                self.check()
            self.gateway.__exit__(*error)

        def check(self):
            from tests.nemesis.connection import Connection

            lines = Connection(port).ask("/all", "", "the-end", "linearizable")["lines"]
            assert check_list(history.ops, lines) == []
            assert self.clients.wrong == []
            assert self.clients.written > 100

    return Load()


class Leaders:
    """Who led in which term, as the agents tell it all the time."""

    def __init__(self, world):
        self.found, self._over = {}, threading.Event()
        self._peers = [Peer(f"{world.kubelet.address(number)}:8090", NAME, key=world.key) for number in range(5)]
        self._threads = [threading.Thread(target=self._look, args=(peer,)) for peer in self._peers]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _look(self, peer):
        while not self._over.wait(0.1):
            status = agent_status(peer, 2.0)
            if status.get("role") == "Leader":
                self.found.setdefault(status["term"], set()).add(status["id"])

    def changes(self):
        """How often another one led than before."""
        led = []
        for term in sorted(self.found):
            # An agent that loses the leadership may tell it with the term of its successor.
            (leader,) = self.found[term] if len(self.found[term]) == 1 else self.found[term] - {led[-1]}
            led.append(leader)
        return sum(one != other for one, other in pairwise(led))


def test_a_group_is_applied_rolled_scaled_and_healed_under_a_writer(world, load):
    said = world.jina("apply", str(world.files))
    assert "kv: all members are up to date" in said.err
    assert world.status()["next"] == str(Done())
    with load:
        uids = world.pods()
        world.export(env={"COLOUR": "blue"})
        load.clients.longest_gap = 0.0
        with Leaders(world) as leaders:
            said = world.jina("apply", str(world.files))
        assert said.err.count("replace the pod of replica") == 3
        assert said.err.count("hand the leadership") == 1
        assert leaders.changes() == 1, leaders.found
        assert not set(uids.values()) & set(world.pods().values())
        rolled = load.clients.longest_gap
        said = world.jina("scale", NAME, "--replicas", "5")
        assert set(world.pods()) == {f"kv-{number}" for number in range(5)}
        assert [one["votes"] for one in world.status()["members"]] == [True] * 5
        said = world.jina("scale", NAME, "--replicas", "3")
        assert set(world.pods()) == {f"kv-{number}" for number in range(3)}
        assert len(world.kubelet.claims()) == 3, "volumes of pods that were taken away are deleted"
        report = world.status()
        assert (report["next"], len(report["members"])) == (str(Done()), 3)

        ids = {one["replica"]: one["id"] for one in report["members"]}
        claim = next(name for name in world.kubelet.claims() if name.endswith("-1"))
        world.kubelet.lose(claim)
        world.kubelet.kill("kv-1")
        world.jina("recover", "1", NAME, "--yes")
        healed = {one["replica"]: one["id"] for one in world.status()["members"]}
        assert healed[1] != ids[1]
        assert (healed[0], healed[2]) == (ids[0], ids[2])
    assert rolled < 2.0, f"{rolled:.2f} s without a write while rolling"
