"""`jina kubernetes` against a real API server with the real controllers of Kubernetes; pods are processes.

One group is applied. Each test finds it with three replicas that are well, has writers and linearizable readers of its
own, and ends with a look at what these saw.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import secrets
import threading
import time
from base64 import b64encode
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from jina import Flow
from jina.cli.main import command_parser
from jina.controller.decision import Done
from jina.errors import UsageError
from jina.export.controller_file import controller_file
from jina.replication.admin import Peer, agent_status
from tests.cli.running import serving
from tests.cluster.api_server import BINARIES, free_port, until
from tests.cluster.pods import LACKING, Kubelet, control_plane
from tests.nemesis.checks import check_list
from tests.nemesis.clients import Clients
from tests.nemesis.connection import Connection
from tests.nemesis.history import History

ROOT = Path(__file__).parents[2]
NAME = "kv"
SET = f"/apis/apps/v1/namespaces/shop/statefulsets/{NAME}"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
PATIENT = {"heartbeat_timeout": 4000, "election_timeout": 4000, "leader_lease_timeout": 3000}
"""So that on a busy machine nothing but a hand-over changes the leader."""
SEEDS = int(os.environ.get("JINA_CLUSTER_SEEDS", "50"))
LONGEST_GAP = 4.0
"""Seconds without a write: less than an election takes here."""
STANDS_STILL = 120.0
"""Seconds in which something changes, as long as there is something to do: a pod or a controller starts."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.timeout(500),
    pytest.mark.skipif(bool(LACKING), reason=f"{', '.join(LACKING)} not in {BINARIES}"),
]


def jina(*words):
    """Exit code and what a command printed."""
    parser, run = command_parser(f"kubernetes {words[0]}")
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = run(parser.parse_all(words[1:]))
    return code, out.getvalue(), err.getvalue()


def fails(*words):
    """The one line that a command ends with."""
    with pytest.raises(UsageError) as caught:
        jina(*words)
    return str(caught.value)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with control_plane(tmp_path_factory.mktemp("control plane")) as made:
        yield made


class World:
    """An exported Flow with a group of three, its pods, and a gateway in front of its first three replicas."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.files = folder / "an exported folder"
        self.key = secrets.token_hex(32)
        self.history = History()
        self.clients, self._looks = None, 0

    def prepare(self):
        (self.folder / "key").write_text(self.key)
        config = f"jtype: LongState\npy_modules: [{json.dumps(str(ROOT / 'tests/cluster/state.py'))}]\n"
        (self.folder / "config.yml").write_text(config)
        secret = {"metadata": {"name": f"{NAME}-raft"}, "data": {"key": b64encode(self.key.encode()).decode()}}
        self.server.ask("POST", "/api/v1/namespaces/shop/secrets", secret)
        self.export()

    def export(self, **options):
        flow = Flow(name="shop").add(
            name=NAME, uses="docker://x:1", stateful=True, replicas=3, raft_configuration=PATIENT, **options
        )
        flow.to_kubernetes_yaml(self.files, k8s_namespace="shop", include_gateway=False)

    def jina(self, *words, code=0):
        """What a command said."""
        found, out, err = jina(*words, "--kubeconfig", self.server.kubeconfig)
        assert found == code, (out, err)
        return err

    def status(self):
        return json.loads(jina("status", NAME, "--json", "--kubeconfig", self.server.kubeconfig)[1])[0]

    def comes_to(self, condition, check):
        """Wait until all is as wanted; fails where nothing changes any more. On a busy machine each step takes long."""
        seen, end = None, 0.0
        while True:
            check()
            report = self.status()
            if report["next"] == str(Done()) and condition():
                return
            names = ("pod", "ready", "current", "role", "votes", "id")
            now = [report["replicas"], *([one[name] for name in names] for one in report["members"])]
            if now != seen:
                seen, end = now, time.monotonic() + STANDS_STILL
            assert time.monotonic() < end, f"nothing has changed for {STANDS_STILL:g} s: {report}"

    def pods(self):
        found = self.server.ask("GET", "/api/v1/namespaces/shop/pods")["items"]
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}

    def agents(self):
        return [Peer(f"{self.kubelet.address(number)}:8090", NAME, key=self.key) for number in range(5)]

    @contextlib.contextmanager
    def serving(self):
        """A gateway in front of the first three replicas."""
        self.port = free_port()
        graph = json.dumps({"start-gateway": [NAME], NAME: ["end-gateway"]})
        addresses = json.dumps({NAME: [f"grpc://{self.kubelet.address(number)}:8080" for number in range(3)]})
        options = [
            *("--protocol", "http", "--port", str(self.port), "--timeout-send", "3s"),
            *("--graph-description", graph, "--deployments-addresses", addresses),
        ]
        with serving("gateway", *options, cwd=self.folder) as service:
            service.address("http")
            yield

    @contextlib.contextmanager
    def writing(self):
        """Writers and readers, all of whose answers are looked at in the end."""
        self._looks += 1
        some = {"writers": 2, "sessions": 0, "readers": 2, "large": 0.0, "prefix": f"{self._looks}-"}
        with Clients(self.port, self.agents, self.history, self._looks, **some) as self.clients:
            until(lambda: self.clients.written > 20, "writes are acknowledged")
            yield
            until(lambda: self.clients.written > 50, "writes are acknowledged")
        with contextlib.closing(Connection(self.port)) as connection:
            lines = connection.ask("/all", "", f"look-{self._looks}", "linearizable")["lines"]
        assert check_list(self.history.ops, lines) == [], "nothing acknowledged is lost, no read was stale"
        assert self.clients.wrong == []

    def lose_volume(self, number):
        claim = next(name for name in self.kubelet.claims() if name.endswith(f"-{number}"))
        self.kubelet.lose(claim)
        self.kubelet.kill(f"{NAME}-{number}")


@pytest.fixture(scope="module")
def group(server, tmp_path_factory):
    made = World(server, tmp_path_factory.mktemp("pods"))
    made.prepare()
    with Kubelet(server, made.folder) as kubelet:
        made.kubelet = kubelet
        try:
            made.first = made.jina("apply", str(made.files))
            with made.serving():
                yield made
        finally:
            core = [f"api/v1/namespaces/shop/{kind}" for kind in ("persistentvolumeclaims", "secrets", "pods")]
            for path in ("apis/apps/v1/namespaces/shop/statefulsets", *core):
                server.ask("DELETE", f"/{path}")
            until(lambda: not made.pods(), "the pods are gone")


@pytest.fixture
def world(group):
    """The group as it is first, whatever a test before did to it."""
    group.jina("scale", NAME, "--replicas", "3")
    with group.writing():
        yield group


class Leaders:
    """Who led in which term, as the agents tell it all the time."""

    def __init__(self, world):
        self.found, self._over = {}, threading.Event()
        self._threads = [threading.Thread(target=self._look, args=(peer,)) for peer in world.agents()]

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


def test_a_group_is_applied(world):
    assert "kv: all members are up to date" in world.first
    assert world.jina("apply", str(world.files)).endswith("kv: all members are up to date\n")
    report = world.status()
    assert [one["votes"] for one in report["members"]] == [True] * 3
    code, out, _ = jina("status", "--kubeconfig", world.server.kubeconfig)
    assert (code, out.count("current")) == (0, 3)


def test_another_template_is_rolled_with_one_change_of_the_leader(world):
    uids = world.pods()
    world.export(env={"COLOUR": "blue"})
    world.clients.longest_gap = 0.0
    with Leaders(world) as leaders:
        said = world.jina("apply", str(world.files))
    assert said.count("replace the pod of replica") == 3
    assert said.count("hand the leadership") == 1
    assert leaders.changes() == 1, leaders.found
    assert not set(uids.values()) & set(world.pods().values())
    assert world.clients.longest_gap < LONGEST_GAP


def test_a_group_grows_and_shrinks(world):
    before = world.pods()
    world.jina("scale", NAME, "--replicas", "5")
    assert set(world.pods()) == {f"kv-{number}" for number in range(5)}
    assert [one["votes"] for one in world.status()["members"]] == [True] * 5
    world.jina("scale", NAME, "--replicas", "3")
    assert world.pods() == before, "those that stay are not touched"
    assert len(world.kubelet.claims()) == 3, "volumes of pods that were taken away are deleted"
    assert [one["votes"] for one in world.status()["members"]] == [True] * 3


def test_a_volume_that_is_gone_is_replaced_and_its_member_removed(world):
    ids = {one["replica"]: one["id"] for one in world.status()["members"]}
    world.lose_volume(1)
    until(lambda: not world.status()["members"][1]["ready"], world.status)
    assert jina("recover", "1", NAME, "--kubeconfig", world.server.kubeconfig)[0] == 1, "it only tells"
    world.jina("recover", "1", NAME, "--yes")
    healed = {one["replica"]: one["id"] for one in world.status()["members"]}
    assert healed[1] != ids[1]
    assert (healed[0], healed[2]) == (ids[0], ids[2])
    assert "kv-1 is well" in jina("recover", "1", NAME, "--yes", "--kubeconfig", world.server.kubeconfig)[1]


class Killed:
    """The controller as a process that dies: after a step, or at any moment, and is started again."""

    def __init__(self, world, seed, kubeconfig):
        self.rng, self.deaths, self._folder = random.Random(seed), 0, world.folder
        self._words = ("kubernetes", "controller", "-n", "shop", "--interval", "0.2s", "--kubeconfig", kubeconfig)
        self._over, self.failure = threading.Event(), ""
        self._thread = threading.Thread(target=self._live_and_die)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _live_and_die(self):
        while not self._over.is_set():
            with serving(*self._words, cwd=self._folder) as service:
                self._let_live(service, self.rng.choice([3600.0, self.rng.uniform(2.0, 8.0)]))
                if service.process.poll() is not None:
                    self.failure = service.output
                    return
                service.process.kill()
                self.deaths += 1

    def _let_live(self, service, seconds):
        """Until it has done a step, or for so long from when it has begun to look: starting, it does nothing."""
        self._wait(service, 120, lambda: service.lines)
        self._wait(service, seconds, lambda: seconds > 10 and any(map(is_step, service.lines)))

    def _wait(self, service, seconds, condition):
        end = time.monotonic() + seconds
        with service.changed:
            while not condition() and not self._over.is_set() and service.process.poll() is None:
                if time.monotonic() >= end:
                    return
                service.changed.wait(0.1)


def is_step(line):
    """Whether a controller says that it has done something."""
    return line.removeprefix("kv: ").startswith(("replace", "hand", "set replicas", "remove", "list", "give"))


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, SEEDS + 1))])
def test_a_controller_that_is_killed_ends_what_was_begun(world, seed):
    """With the account that `jina export controller` writes, and no more rights than that."""
    server = world.server
    for one in yaml.safe_load_all(controller_file("shop", "image", [f"{NAME}-raft"])):
        if one["kind"] in {"Role", "RoleBinding"}:
            subjects = [{"kind": "User", "name": "ada", "apiGroup": "rbac.authorization.k8s.io"}]
            found = {**one, "subjects": subjects} if one["kind"] == "RoleBinding" else one
            path = f"/apis/{one['apiVersion']}/namespaces/shop/{one['kind'].lower()}s"
            server.ask("PATCH", f"{path}/{one['metadata']['name']}?fieldManager=test&force=true", found, APPLY)
    uids, before = set(world.pods().values()), world.status()["members"][2]["id"]
    with Killed(world, seed, server.user("ada", "ada")) as controller:

        def check():
            assert not controller.failure

        with Leaders(world) as leaders:
            template = {"metadata": {"annotations": {"changed": str(seed)}}}
            server.ask("PATCH", SET, {"spec": {"template": template}}, MERGE)
            world.comes_to(lambda: not uids & set(world.pods().values()), check)
        for count in (5, 3):
            server.ask("PATCH", SET, {"metadata": {"annotations": {"jina/replicas": str(count)}}}, MERGE)
            world.comes_to(lambda count=count: len(world.pods()) == count, check)
        world.lose_volume(2)
        world.comes_to(lambda: world.status()["members"][2]["id"] not in {before, None}, check)
    assert leaders.changes() <= 1, leaders.found
    assert controller.deaths > 2


def test_what_is_wrong_is_said_in_one_line(server, tmp_path):
    """No such namespace, step, right, file; a step that has no state; what is no number."""
    at = ("--kubeconfig", server.kubeconfig)
    assert fails("scale", "x", "--replicas", "3", "-n", "nowhere", *at).startswith("there is no namespace 'nowhere'")
    template = {"metadata": {"labels": {"app": "plain"}}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    spec = {"replicas": 0, "serviceName": "plain", "selector": {"matchLabels": {"app": "plain"}}, "template": template}
    path = "/apis/apps/v1/namespaces/shop/statefulsets"
    server.ask("POST", path, {"metadata": {"name": "plain"}, "spec": spec})
    try:
        assert "plain is not a stateful step" in fails("roll", "plain", *at)
        assert "there is no stateful step 'other' in the namespace 'shop'" in fails("roll", "other", *at)
    finally:
        server.ask("DELETE", f"{path}/plain")
    said = fails("status", "--kubeconfig", server.user("bob", "bob"))
    assert "{apiGroups: ['apps'], resources: ['statefulsets'], verbs: ['list']}" in said
    assert "there is no" in fails("apply", str(tmp_path / "none"), *at)
    file = tmp_path / "x.yml"
    for text, wrong in (("a: 1\n", "is not an object of Kubernetes"), ("a: [\n", "is not readable YAML")):
        file.write_text(text)
        assert wrong in fails("apply", str(file), *at)
    assert "it is not known where the Kubernetes API is" in fails("status", "--kubeconfig", str(tmp_path / "no file"))
    for words, wrong in (
        (("scale", "kv", "--replicas", "0"), "is not a number of replicas"),
        (("roll", "kv", "--timeout", "soon"), "is not a span of time"),
    ):
        assert wrong in fails(*words)
