"""Exported Compose files on a real engine: they start, answer, and go on answering while containers are killed."""

from __future__ import annotations

import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from scripts.base_image import VERSION

from jina import Deployment, Flow
from tests import wheels
from tests.containers.engine import Engine, engine
from tests.containers.packages import JINA, WAIT, build, until

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / ".cache/env-export/bin/docker-compose"
IMAGE = "docker://shop:ours"
USER = 10001
RATE = 50

pytestmark = [
    pytest.mark.slow,
    pytest.mark.containers,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("containers"),
]

SHOP = """
from jina import Document, DocumentArray, Executor, requests, write


class Shop(Executor):
    def __init__(self, suffix='', **kwargs):
        super().__init__(**kwargs)
        self.suffix = suffix
        self.total = 0

    @requests(on='/upper', safe=True)
    def upper(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.text = doc.text.upper() + self.suffix

    @write
    @requests(on='/add')
    def add(self, docs: DocumentArray, **kwargs):
        self.total += len(docs)

    @requests(on='/total')
    def sum(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.text = str(self.total)

    def snapshot(self, folder):
        with open(folder + '/total', 'w') as file:
            file.write(str(self.total))

    def restore(self, folder):
        with open(folder + '/total') as file:
            self.total = int(file.read())
"""
LOAD = """
import asyncio, json, sys, time
from jina import Client, Document

address, endpoint, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])


async def main():
    client, failed, latencies, tasks = Client(host=address, asyncio=True), [], [], set()
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    async def one():
        began = time.perf_counter()
        try:
            async for _ in client.post(endpoint, Document(text="a")):
                pass
            latencies.append(time.perf_counter() - began)
        except Exception as error:
            failed.append(f"{type(error).__name__}: {error}")

    await one()
    print("begun", flush=True)
    next_at = time.perf_counter()
    while not over.done():
        tasks.add(task := asyncio.create_task(one()))
        task.add_done_callback(tasks.discard)
        next_at += 1 / rate
        await asyncio.wait([over], timeout=max(next_at - time.perf_counter(), 0))
    await asyncio.gather(*tasks)
    print(json.dumps({"answered": len(latencies), "failed": failed, "slowest": max(latencies, default=0)}))


asyncio.run(main())
"""
ASK = """
import sys
from jina import Client, Document
print(*Client(host=sys.argv[1]).post(sys.argv[2], Document(text="a")).texts)
"""


@pytest.fixture(scope="module")
def archive(base, tmp_path_factory) -> Path:
    """The image of the Executor as `jina hub build` makes it."""
    package = tmp_path_factory.mktemp("compose") / "shop"
    subprocess.run([JINA, "hub", "new", "--name", "Shop", "--path", package], check=True, timeout=50)
    (package / "executor.py").write_text(SHOP)
    (package / "requirements.txt").write_text("rejina[stateful]\n")
    wheels.ours(package / "wheels")
    for file in wheels.dependencies(VERSION).iterdir():
        shutil.copy(file, package / "wheels")
    archive = package.with_name("image.tar")
    build(package, base, f"docker-archive:{archive}:{IMAGE.removeprefix('docker://')}")
    return archive


@pytest.fixture(scope="module")
def bridged(archive) -> Iterator[Engine]:
    """An engine with networks of containers, whose names its DNS knows."""
    subprocess.run([ROOT / "scripts" / "env.sh", "export"], check=True, timeout=500)
    with engine(elsewhere=True) as made:
        made.docker("load", "-i", archive)
        yield made
        assert not made.docker("ps", "--all", "--quiet")


@contextmanager
def up(made: Engine, folder: Path, service: Flow | Deployment) -> Iterator[dict]:
    """Export it, `docker compose up --wait`, and take it down; gives the services of the file."""
    service.to_docker_compose_yaml(folder / "docker-compose.yml")
    written = yaml.safe_load((folder / "docker-compose.yml").read_text())
    for secret in written.get("secrets", {}).values():
        path = folder / secret["file"]
        path.write_text(secrets.token_hex(32))
        path.chmod(0o400)
        os.chown(path, USER, USER)
    try:
        compose(made, folder, "up", "--detach", "--wait", "--wait-timeout", "180")
        yield written["services"]
    finally:
        compose(made, folder, "down", "--volumes", "--timeout", "20")


def compose(made: Engine, folder: Path, *words: str) -> None:
    done = subprocess.run(
        [COMPOSE, "--project-name", "shop", *words],
        cwd=folder, env=made.environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode and words[0] == "up":
        names = made.docker("ps", "--all", "--format", "{{.Names}} {{.Status}}").splitlines()
        logs = {name: made.said(name.split()[0])[-1000:] for name in names}
        raise AssertionError(f"{done.stderr[-3000:]}\n" + "\n".join(f"{name}: {log}" for name, log in logs.items()))
    assert done.returncode == 0, done.stderr[-3000:]


def ask(made: Engine, address: str, endpoint: str) -> str:
    """The text of the answer of a client in the network of the engine."""
    done = subprocess.run(
        [*made.inside, sys.executable, "-c", ASK, address, endpoint],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@contextmanager
def load(made: Engine, address: str, endpoint: str) -> Iterator[dict]:
    """Requests at a steady rate for as long as the block runs; afterwards what became of them."""
    command = [*made.inside, sys.executable, "-c", LOAD, address, endpoint, str(RATE)]
    result: dict = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        begun = select.select([process.stdout], [], [], WAIT)[0]
        began = time.monotonic()
        try:
            assert begun, f"no first answer within {WAIT:g} s"
            assert process.stdout.readline() == "begun\n"
            yield result
        finally:
            written, _ = process.communicate(timeout=120)
        result |= {**json.loads(written), "seconds": time.monotonic() - began}


def state(made: Engine, service: str) -> dict:
    return json.loads(made.docker("inspect", "--format", "{{json .}}", f"shop-{service}-1"))


def crash(made: Engine, service: str) -> None:
    """Kill the first process of a container, as the kernel does without memory; returns when it is healthy again."""
    before = state(made, service)
    os.kill(before["State"]["Pid"], signal.SIGKILL)

    def again() -> bool:
        found = state(made, service)
        return found["RestartCount"] > before["RestartCount"] and found["State"]["Health"]["Status"] == "healthy"

    until(again, f"the restart of {service}")


def restart(made: Engine, service: str) -> None:
    """As a person or an update does it."""
    made.docker("restart", "--time", "30", f"shop-{service}-1")
    until(lambda: state(made, service)["State"]["Health"]["Status"] == "healthy", f"{service} to be healthy")


def test_replicas_are_killed_under_load_and_no_request_fails(bridged, tmp_path):
    flow = Flow(protocol=["grpc", "http"], port=[12345, 12346])
    flow = flow.add(name="upper", uses=IMAGE, replicas=3, uses_with={"suffix": "!"}, timeout_ready="2min")
    flow = flow.add(name="last", uses=IMAGE, replicas=2, uses_with={"suffix": "$?"})
    with up(bridged, tmp_path, flow) as services:
        assert {"upper-rep-0", "upper-rep-2", "last-rep-1", "gateway"} < services.keys()
        assert ask(bridged, "http://127.0.0.1:12346", "/upper") == "A!$?"
        with load(bridged, "grpc://127.0.0.1:12345", "/upper") as result:
            crash(bridged, "upper-rep-0")
            crash(bridged, "last-rep-1")
            restart(bridged, "upper-rep-1")
            restart(bridged, "last-rep-0")
        assert result["failed"] == []
        assert result["answered"] > 0.8 * RATE * result["seconds"]
    assert bridged.docker("volume", "ls", "--quiet") == ""


@pytest.mark.long
def test_a_group_loses_members_under_load_and_no_write(bridged, tmp_path):
    flow = Flow(port=12345).add(
        name="kv", uses=IMAGE, stateful=True, replicas=3, consistency="linearizable", timeout_ready="2min"
    )
    with up(bridged, tmp_path, flow) as services:
        assert {f"kv-rep-{number}" for number in range(3)} < services.keys()
        with load(bridged, "grpc://127.0.0.1:12345", "/add") as result:
            for number in range(3):  # the leader is among them
                crash(bridged, f"kv-rep-{number}")
            restart(bridged, "kv-rep-0")
        assert result["failed"] == []
        assert ask(bridged, "grpc://127.0.0.1:12345", "/total") == str(result["answered"])
        # A backup from inside, as the how-to for clusters makes one.
        group = ["kv", "--peer", "kv-rep-0:8090", "--key-file", "/run/secrets/kv-raft"]
        bridged.docker("exec", "shop-kv-rep-0-1", "jina", "raft", "backup", "/tmp/kv.backup", *group)
        read = "import tarfile; print(tarfile.open('/tmp/kv.backup').extractfile('manifest.json').read().decode())"
        saved = bridged.docker("exec", "shop-kv-rep-0-1", "python3", "-c", read)
        assert json.loads(saved)["group"] == "kv"
        # Its volumes outlive the containers.
        compose(bridged, tmp_path, "down", "--timeout", "20")
        compose(bridged, tmp_path, "up", "--detach", "--wait", "--wait-timeout", "180")
        assert ask(bridged, "grpc://127.0.0.1:12345", "/total") == str(result["answered"])


@pytest.mark.long
def test_shards_of_a_deployment_answer_behind_a_gateway(bridged, tmp_path):
    deployment = Deployment(
        name="shelf", uses=IMAGE, protocol="http", port=12345, shards=2, replicas=2, polling="ANY", uses_after=IMAGE,
        uses_with={"suffix": "#"},
    )  # fmt: skip
    with up(bridged, tmp_path, deployment):
        assert ask(bridged, "http://127.0.0.1:12345", "/upper") == "A#"
        with load(bridged, "http://127.0.0.1:12345", "/upper") as result:
            crash(bridged, "shelf-0-rep-1")
            restart(bridged, "shelf-1-rep-0")
        assert result["failed"] == []
