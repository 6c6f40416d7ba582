"""The command lines of exported files, started on this machine with its addresses in place of those of the cluster."""

from __future__ import annotations

import re
import secrets
import subprocess
from contextlib import ExitStack
from importlib.util import find_spec

import pytest
import yaml
from docarray import BaseDoc, DocList
from tests.cli.running import JINA, serving
from tests.interop.programs import PYTHONS
from tests.stateful.conftest import PATIENCE

from jina import Client, Flow
from jina.export.kubernetes import files_of_flow
from jina.orchestration.configuration import images
from jina.supervisor.ports import PortReservations

STEP = """
import os
from docarray import BaseDoc, DocList
from jina import Executor, requests

class Item(BaseDoc):
    text: str = ""
    mark: str = ""

class Step(Executor):
    def __init__(self, mark="-", **kwargs):
        super().__init__(**kwargs)
        self.mark = mark
        open(os.path.join(self.workspace, "kept"), "w").close()

    @requests(on=["/", "/index"])
    def step(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        for doc in docs:
            doc.text += f"{self.runtime_args.name}={self.mark};"
        return docs
"""
LEDGER = """
from docarray import BaseDoc, DocList
from jina import Executor, requests, write

class Item(BaseDoc):
    text: str = ""
    mark: str = ""

class Ledger(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lines = []

    @write
    @requests(on="/add")
    def add(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        self.lines += docs.text
        return docs

    @requests(on="/list")
    def list(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        return DocList[Item]([Item(text=" ".join(self.lines))])
"""


class Item(BaseDoc):
    text: str = ""
    mark: str = ""


class Cluster:
    """The pods of exported files, each container a process; replicas of a Deployment are one, those of a set all."""

    def __init__(self, texts, folder):
        self.folder = folder
        self.ports = PortReservations()
        self.given = {}
        self.pods, self.variables = [], {}
        for text in texts:
            for one in yaml.safe_load_all(text):
                if one["kind"] == "ConfigMap":
                    self.variables[one["metadata"]["name"]] = one["data"]
                if one["kind"] in {"Deployment", "StatefulSet"}:
                    count = one["spec"]["replicas"] if one["kind"] == "StatefulSet" else 1
                    self.pods += [(one, number) for number in range(count)]

    def port(self, pod, number):
        """The port of this machine for one of a pod."""
        key = pod, int(number)
        if key not in self.given:
            self.given[key] = self.ports.port()
        return self.given[key]

    def commands(self):
        """Name and words of each container."""
        for one, number in self.pods:
            name = one["metadata"]["name"]
            pod = f"{name}-{number}" if one["kind"] == "StatefulSet" else name
            for container in one["spec"]["template"]["spec"]["containers"]:
                listed = self.variables[container["envFrom"][0]["configMapRef"]["name"]].get("RAFT_PEERS", "")
                words = [self._here(word.replace("$(RAFT_PEERS)", listed), pod, number) for word in container["args"]]
                yield f"{pod} {container['name']}", self._ports(words, pod)

    def probes(self):
        """The commands by which kubelets ask whether containers live, and have started."""
        for one, _ in self.pods:
            name = one["metadata"]["name"]

            def here(found, name=name):
                return f":{self.port(name, found[1])}"

            for container in one["spec"]["template"]["spec"]["containers"]:
                for probe in ("startupProbe", "livenessProbe"):
                    yield [re.sub(r":(\d{4})\b", here, word) for word in container[probe]["exec"]["command"]]

    def _ports(self, words, pod):
        """Those that the process listens on."""
        listening, found = False, []
        for word in words:
            listening = word in {"--port", "--port-monitoring"} or (listening and not word.startswith("--"))
            found.append(str(self.port(pod, word)) if listening and word.isdigit() else word)
        return found

    def _here(self, word, pod, number):
        word = word.replace("$(REPLICA_ID)", str(number)).replace("0.0.0.0", "127.0.0.1")
        # A member of a group by its own name, the Service of a group by its first member.
        word = re.sub(r"([\w-]+)\.[\w-]+-peers:(\d+)", self._address, word)
        word = re.sub(r"([\w-]+)\.ns\.svc:(\d+)", self._address, word)
        word = re.sub(r"(127\.0\.0\.1):(807[89])", lambda found: f"127.0.0.1:{self.port(pod, found[2])}", word)
        if word.startswith("/workspace"):
            place = self.folder / "work" / pod
            place.mkdir(parents=True, exist_ok=True)
            return str(place)
        return word.replace("/etc/jina/raft/key", str(self.folder / "key"))

    def _address(self, found):
        name = found[1]
        sets = {one["metadata"]["name"] for one, _ in self.pods if one["kind"] == "StatefulSet"}
        return f"127.0.0.1:{self.port(f'{name}-0' if name in sets else name, found[2])}"

    def start(self, stack):
        """Start all; returns when each says that it serves."""
        commands = list(self.commands())
        self.ports.close()
        services = [(name, stack.enter_context(serving(*words, cwd=self.folder))) for name, words in commands]
        for name, service in services:
            assert service.address("grpc"), name


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_flow_answers_through_its_gateway(tmp_path):
    """A chain with a branch, a join, shards with a head and what is around them, conditions, HTTP beside gRPC."""
    (tmp_path / "step.py").write_text(STEP)
    (tmp_path / "config.yml").write_text("jtype: Step\npy_modules: [step.py]\n")
    flow = Flow(protocol=["grpc", "http"]).add(name="First", uses="docker://x", replicas=2, uses_with={"mark": "ü $"})
    flow = flow.add(name="shelf", uses="docker://x", shards=2, uses_before="docker://x", polling="ANY", needs="First")
    flow = flow.add(name="side", uses="docker://x", needs="First", when={"mark": {"$eq": "yes"}})
    flow = flow.needs(["shelf", "side"], name="join").add(name="last", uses="docker://x").add(name="plain")
    cluster = Cluster(files_of_flow(flow.spec, images(), "ns").values(), tmp_path)
    with ExitStack() as stack:
        cluster.start(stack)
        for protocol, port in (("grpc", 8080), ("http", 8081)):
            with Client(host=f"{protocol}://127.0.0.1:{cluster.port('gateway', port)}") as client:
                [one] = client.post("/index", Item(mark="yes"), return_type=DocList[Item])
                assert one.text.startswith("First/rep-0=ü $;shelf-uses-before/rep-0=-;shelf/")
                assert one.text.endswith("last/rep-0=-;")
    assert (tmp_path / "work" / "first").is_dir()


EXPORT = """
import os
os.environ.update(JINA_HIDE_SURVEY="1", JINA_OPTOUT_TELEMETRY="1", JINA_GATEWAY_IMAGE="image")
from jina import Flow
flow = Flow(name="shop", port=[8080, 8081], protocol=["grpc", "http"]).add(
    name="shelf", uses="docker://a", shards=2, replicas=2, uses_before="docker://b", uses_after="docker://c",
    polling={"/index": "ANY", "*": "ALL"}, uses_with={"mark": "shelf"}, timeout_ready=60000,
)
flow = flow.add(name="side", uses="docker://b", replicas=2, needs="gateway", when={"mark": {"$eq": "yes"}},
                grpc_metadata={"k": "v"})
flow = flow.add(name="last", uses="docker://b", needs=["shelf", "side"], monitoring=True, env={"A": "1"})
flow.to_kubernetes_yaml("out", k8s_namespace="ns")
"""


@pytest.mark.interop
@pytest.mark.timeout(300)
def test_files_that_jina_3_wrote_start_ours(tmp_path):
    """A Flow exported by Jina 3.34: gateway, head, shards, what is around them; and its probes, which are commands."""
    (tmp_path / "step.py").write_text(STEP)
    (tmp_path / "config.yml").write_text("jtype: Step\npy_modules: [step.py]\n")
    command = [PYTHONS["theirs"], "-c", EXPORT]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120, capture_output=True)
    texts = [path.read_text() for path in sorted((tmp_path / "out").rglob("*.yml"))]
    assert len(texts) == 6
    cluster = Cluster(texts, tmp_path)
    with ExitStack() as stack:
        cluster.start(stack)
        for protocol, port in (("grpc", 8080), ("http", 8081)):
            with Client(host=f"{protocol}://127.0.0.1:{cluster.port('gateway', port)}") as client:
                [one] = client.post("/index", Item(mark="yes"), return_type=DocList[Item])
                assert one.text.startswith("shelf-uses-before/rep-0=-;shelf-")
                assert one.text.endswith("last/rep-0=-;")
        probes = list(cluster.probes())
        assert len(probes) == 2 * 8
        for words in probes:
            if "{port_uses}" in words[-1]:
                continue  # the name of a variable in place of a port: Jina 3 cannot ping it either
            done = subprocess.run([JINA, *words[1:]], capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, (words, done.stderr)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(find_spec("jina_raft") is None, reason="the consensus agent is not built: make agent")
def test_a_group_takes_writes_through_its_gateway(tmp_path):
    (tmp_path / "ledger.py").write_text(LEDGER)
    (tmp_path / "config.yml").write_text("jtype: Ledger\npy_modules: [ledger.py]\n")
    (tmp_path / "key").write_text(secrets.token_hex(32))
    flow = Flow().add(
        name="kv",
        uses="docker://x",
        stateful=True,
        replicas=3,
        consistency="linearizable",
        timeout_ready=1000 * PATIENCE,
    )
    cluster = Cluster(files_of_flow(flow.spec, images(), "ns").values(), tmp_path)
    with ExitStack() as stack:
        cluster.start(stack)
        with Client(host=f"grpc://127.0.0.1:{cluster.port('gateway', 8080)}") as client:
            client.post("/add", DocList[Item]([Item(text="one"), Item(text="two")]), return_type=DocList[Item])
            [found] = client.post("/list", Item(), return_type=DocList[Item])
            assert found.text == "one two"
        for number in range(3):
            with Client(host=f"grpc://127.0.0.1:{cluster.port(f'kv-{number}', 8080)}") as client:
                [found] = client.post("/list", Item(), return_type=DocList[Item])
                assert found.text == "one two", number
