"""The command lines in the Kubernetes files that Jina 3.34 writes, with addresses of this machine.

`COMMANDS` is what Jina 3.34 writes for the Flow in `EXPORT`, which `test_jina_3_writes_them` runs; `@name` stands for a
port, and `@name.ns` for the address of a service of the cluster.
"""

import re
import subprocess
from contextlib import ExitStack

import pytest
import yaml
from docarray import BaseDoc, DocList

from jina import Client
from jina.supervisor.ports import PortReservations
from tests.cli.running import serving
from tests.interop.programs import PYTHONS

COMMANDS = {
    "a-0": """executor --name a-0 --k8s-namespace ns --shards 2 --replicas 2 --uses config.yml --host 0.0.0.0
        --timeout-ready 100000 --port @a-0 --monitoring --port-monitoring @m0 --uses-metas {"name":"n"}
        --uses-with {"mark":"a"} --native""",
    "a-1": """executor --name a-1 --k8s-namespace ns --shards 2 --replicas 2 --uses config.yml --host 0.0.0.0
        --timeout-ready 100000 --shard-id 1 --port @a-1 --monitoring --port-monitoring @m1 --uses-metas {"name":"n"}
        --uses-with {"mark":"a"} --native""",
    "uses-before": """executor --name a/uses-before --k8s-namespace ns --shards 2 --uses config.yml --host 0.0.0.0
        --timeout-ready 100000 --port @before --monitoring --port-monitoring @m2 --uses-metas {} --native""",
    "a-head": """executor --name a/head --k8s-namespace ns --polling {"/index":"ALL"} --shards 2 --host 0.0.0.0
        --runtime-cls HeadRuntime --timeout-ready 100000 --pod-role HEAD --port @head --monitoring
        --port-monitoring @m3 --uses-before-address 127.0.0.1:@before
        --connection-list {"0":"127.0.0.1:@a-0","1":"127.0.0.1:@a-1"} --uses-metas {} --native""",
    "b": """executor --name b --k8s-namespace ns --replicas 2 --uses config.yml --host 0.0.0.0 --port @b --monitoring
        --port-monitoring @m4 --uses-metas {} --native""",
    "gateway": """gateway --k8s-namespace ns --expose-endpoints {} --uses CompositeGateway
        --graph-description {"a":["b"],"start-gateway":["a"],"b":["end-gateway"]}
        --graph-conditions {"b":{"mark":{"$ne":"no"}}}
        --deployments-addresses {"a":["grpc://127.0.0.1:@head"],"b":["grpc://127.0.0.1:@b"]}
        --deployments-metadata {"b":{"token":"x"}} --port @grpc @http --protocol GRPC HTTP --monitoring
        --port-monitoring @m5""",
}

EXPORT = """
import os
os.environ.update(JINA_HIDE_SURVEY="1", JINA_OPTOUT_TELEMETRY="1", JINA_GATEWAY_IMAGE="image")
from jina import Flow
flow = Flow(port=[8080, 8081], protocol=["grpc", "http"], monitoring=True)
flow = flow.add(
    uses="docker://a", name="a", shards=2, replicas=2, polling={"/index": "ALL"}, uses_before="docker://before",
    uses_with={"mark": "a"}, uses_metas={"name": "n"}, timeout_ready=100000,
)
flow = flow.add(
    uses="docker://b", name="b", replicas=2, when={"mark": {"$ne": "no"}}, grpc_metadata={"token": "x"}
)
flow.to_kubernetes_yaml("out", k8s_namespace="ns")
"""

STEP = """
from docarray import BaseDoc, DocList
from jina import Executor, requests

class Item(BaseDoc):
    text: str = ""
    mark: str = ""

class Step(Executor):
    def __init__(self, mark="-", **kwargs):
        super().__init__(**kwargs)
        self.mark = mark

    @requests(on=["/", "/index"])
    def step(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        args = self.runtime_args
        for doc in docs:
            doc.text += f"{self.mark} {args.name} {args.shard_id}/{args.shards} x{args.replicas}; "
        return docs
"""


class Item(BaseDoc):
    text: str = ""
    mark: str = ""


@pytest.fixture
def package(tmp_path):
    (tmp_path / "step.py").write_text(STEP)
    (tmp_path / "config.yml").write_text("jtype: Step\npy_modules: [step.py]\n")
    return tmp_path


def local(command, ports, given):
    """The words of the command, with a free port for each name."""

    def port(found):
        name = found.group(1)
        if name not in given:
            given[name] = ports.port()
        return str(given[name])

    return re.sub(r"@([\w-]+)", port, command).split()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_they_start_and_answer(package):
    ports, given = PortReservations(), {}
    lines = {name: local(command, ports, given) for name, command in COMMANDS.items()}
    ports.close()
    with ExitStack() as stack:
        for name, words in lines.items():
            service = stack.enter_context(serving(*words, cwd=package))
            assert service.address("grpc"), name
        for protocol in ("grpc", "http"):
            with Client(host=f"{protocol}://127.0.0.1:{given[protocol]}") as client:
                [one] = client.post("/", Item(mark="yes"), return_type=DocList[Item])
                assert one.text.startswith("- a-uses-before/rep-0 0/2 x1; a n/shard-")
                assert one.text.endswith("/2 x2; - b/rep-0 0/1 x2; ")
                [kept] = client.post("/", Item(mark="no"), return_type=DocList[Item])
                assert "b/rep-0" not in kept.text  # the condition
        with Client(host=f"grpc://127.0.0.1:{given['head']}") as client:
            seen = {client.post("/", Item(), return_type=DocList[Item])[0].text.split("; ")[1] for _ in range(8)}
            assert seen == {"a n/shard-0/rep-0 0/2 x2", "a n/shard-1/rep-0 1/2 x2"}


@pytest.mark.interop
def test_jina_3_writes_them(tmp_path):
    subprocess.run([PYTHONS["theirs"], "-c", EXPORT], cwd=tmp_path, check=True, timeout=120, capture_output=True)
    written = {}
    for path in (tmp_path / "out").rglob("*.yml"):
        for found in yaml.safe_load_all(path.read_text()):
            if found["kind"] in {"Deployment", "StatefulSet"}:
                for container in found["spec"]["template"]["spec"]["containers"]:
                    name = container["name"]
                    written[path.stem if name == "executor" else name] = container["args"]
    assert written.keys() == COMMANDS.keys()
    for name, words in written.items():
        ours = COMMANDS[name].split()
        assert [word for word in words if word.startswith("--")] == [word for word in ours if word.startswith("--")]


def test_what_they_ask_for_is_refused_elsewhere(package):
    """The place of one process is for one process: a whole Deployment starts all of them."""
    from jina import Deployment
    from jina.errors import NotSupportedError

    for options in ({"shard_id": 1}, {"pod_role": "HEAD"}, {"connection_list": {"0": "127.0.0.1:1"}}):
        with pytest.raises(NotSupportedError, match=next(iter(options))):
            Deployment(uses=str(package / "config.yml"), **options)
    assert Deployment(uses=str(package / "config.yml"), k8s_namespace="ns", native=True)
