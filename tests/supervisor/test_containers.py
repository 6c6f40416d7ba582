"""What is decided about containers before an engine is asked: plans, networks, lines."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import time

import pytest
from tests.acceptance.flow_asking import until
from tests.server.sample_service import SampleService

from jina import Deployment, Flow
from jina.errors import ConfigError, NotSupportedError
from jina.hub.engine import Engine, OwnContainer
from jina.observe.logs import lines_file
from jina.observe.metrics import Metrics
from jina.observe.observation import Observation
from jina.plan.plans import ContainerPlan, ListenerPlan, LogPlan, WorkerPlan
from jina.runtime.process import LoopThread
from jina.server.monitoring import monitoring_server
from jina.supervisor.container import Inside, Lines, Network

ENGINE = Engine("docker", "/usr/bin/docker", cache_mounts=False, environment={})


def container_of(worker: WorkerPlan) -> ContainerPlan:
    assert worker.executor.container is not None
    return worker.executor.container


def test_one_container_has_a_gateway_in_front():
    deployment = Deployment(uses="docker://upper:v1", protocol=["grpc", "http"])
    assert deployment.plan.gateway is not None
    assert [listener.protocol for listener in deployment.plan.listeners] == ["grpc", "http"]
    (worker,) = deployment.plan.workers
    assert (worker.listeners, container_of(worker).image, container_of(worker).auto_volume) == ([], "upper:v1", True)
    with pytest.raises(ConfigError, match="a container needs a gateway in front"):
        Deployment(uses="docker://x", include_gateway=False)


def test_what_the_executor_inside_is_given():
    flow = Flow().add(
        uses="docker://x",
        name="x",
        uses_with={"a": {"b": 1}},
        uses_metas={"name": "m"},
        replicas=2,
        shards=3,
        volumes=["/a:/b"],
        docker_kwargs={"user": 5},
        entrypoint="python3 -m 'a b'",
    )
    flow.build()
    workers = flow.plan.deployments[0].workers
    assert len(workers) == 6
    found = container_of(workers[0])
    assert found.options == {"uses_with": {"a": {"b": 1}}, "uses_metas": {"name": "m"}, "replicas": 2, "shards": 3}
    assert (found.volumes, found.auto_volume, found.flags) == (["/a:/b:rw"], False, ["--user=5"])
    assert found.entrypoint == ["python3", "-m", "a b"]
    with pytest.raises(ConfigError, match="must be JSON"):
        Deployment(uses="docker://x", uses_with={"a": object()})
    with pytest.raises(ConfigError, match="docker_kwargs: tty is not available"):
        Deployment(uses="docker://x", docker_kwargs={"tty": True})


def test_executors_around_shards_may_be_images():
    deployment = Deployment(uses="docker://x", shards=2, uses_after="docker://y", volumes=["/a:/b"])
    images = [(container_of(worker).image, container_of(worker).volumes) for worker in deployment.plan.workers]
    assert images == [("x", ["/a:/b:rw"]), ("x", ["/a:/b:rw"]), ("y", ["/a:/b:rw"])]


@pytest.mark.parametrize(
    ("total", "gpus", "given"),
    [
        ("", None, ["", ""]),
        ("", "all", ["all", "all"]),
        ("", 2, ["2", "2"]),
        ("", [0, 1], ["device=0", "device=1"]),
        ("4", 2, ["device=0,1", "device=2,3"]),
        ("4", [0, 3], ["device=0", "device=3"]),
        ("4", 0, ["", ""]),
    ],
)
def test_gpus_of_containers(total, gpus, given, monkeypatch):
    monkeypatch.setenv("CUDA_TOTAL_DEVICES", total)
    monkeypatch.setenv("PATH", "")  # no nvidia-smi
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    deployment = Deployment(uses="docker://x", replicas=2, gpus=gpus)
    assert [container_of(worker).gpus for worker in deployment.plan.workers] == given
    assert [worker.env for worker in deployment.plan.workers] == [{}, {}]


def test_secrets_are_files_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("JINA_SECRETS", str(tmp_path))
    deployment = Deployment(uses="docker://x", env_from_secret={"A": {"name": "vault", "key": "token"}})
    assert container_of(deployment.plan.workers[0]).secrets == {"A": f"{tmp_path}/vault/token"}
    for wrong in ({"name": "vault"}, {"name": "..", "key": "a"}, {"name": "a/b", "key": "c"}, "vault"):
        with pytest.raises(ConfigError, match="env_from_secret: A: write"):
            Deployment(uses="docker://x", env_from_secret={"A": wrong})


def test_an_image_has_no_place_in_this_process():
    deployment = Deployment(uses="docker://x")
    with pytest.raises(NotSupportedError, match="has no container"):
        deployment.in_process()
    with pytest.raises(NotSupportedError, match="has no container"):
        deployment.asgi()


@pytest.mark.parametrize(
    ("address", "plan", "expected"),
    [
        ("unix:///x.sock", {"network": "HOST"}, (("--network=host",), "127.0.0.1", "127.0.0.1", False)),
        ("unix:///x.sock", {"network": "BRIDGE"}, (("--network=bridge",), "127.0.0.1", "0.0.0.0", True)),
        ("unix:///x.sock", {"network": "NONE"}, ((), "127.0.0.1", "0.0.0.0", True)),
        ("unix:///x.sock", {"flags": ["--network=own"]}, ((), "127.0.0.1", "0.0.0.0", True)),
        ("tcp://far:2375", {}, (("--network=bridge",), "far", "0.0.0.0", True)),
        ("ssh://me@far", {}, (("--network=bridge",), "far", "0.0.0.0", True)),
        ("ssh://me@far", {"network": "HOST"}, (("--network=host",), "far", "0.0.0.0", False)),
    ],
)
def test_networks(address, plan, expected, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", address)
    found = Network.of(ContainerPlan(image="x", **plan), ENGINE, ENGINE.host)
    assert (found.words, found.host, found.listens, found.published) == expected


def test_ports_are_published_on_this_machine_alone(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///x.sock")
    bridge = ContainerPlan(image="x", network="BRIDGE")
    assert Network.of(bridge, ENGINE, "").port_words(8080) == ["--publish=127.0.0.1::8080"]
    assert Network.of(bridge, ENGINE, "far").port_words(8080) == ["--publish=8080"]
    assert Network.of(ContainerPlan(image="x", network="HOST"), ENGINE, "").port_words(8080) == []


MOUNTS = [("/data", "/srv/data"), ("/data/in/side", "/var/x"), ("/", "/all")]
BRIDGED = OwnContainer("0123456789abcdef", "bridge", MOUNTS)


@pytest.mark.parametrize(
    ("plan", "network", "words"),
    [
        ({}, "bridge", ("--network=container:0123456789abcdef",)),
        ({}, "some-network", ("--network=container:0123456789abcdef",)),
        ({}, "container:other", ("--network=container:other",)),
        ({"flags": ["--network=container:other"]}, "bridge", ()),
        ({}, "host", ("--network=host",)),
        ({"network": "HOST"}, "host", ("--network=host",)),
        ({"network": "HOST"}, "bridge", None),
        ({"network": "BRIDGE"}, "bridge", None),
        ({"flags": ["--network=some-network"]}, "some-network", None),
    ],
)
def test_networks_in_a_container(plan, network, words):
    own = dataclasses.replace(BRIDGED, network=network)
    if words is None:
        with pytest.raises(ConfigError, match="is not reached from here"):
            Network.of(ContainerPlan(image="x", **plan), ENGINE, "", own)
        return
    found = Network.of(ContainerPlan(image="x", **plan), ENGINE, "", own)
    assert (found.words, found.host, found.published) == (words, "127.0.0.1", False)


def test_paths_of_a_container_are_those_of_its_mounts():
    assert BRIDGED.outside("/data/x") == "/srv/data/x"
    assert BRIDGED.outside("/data") == "/srv/data"
    assert BRIDGED.outside("/data/in/side/y") == "/var/x/y"
    assert BRIDGED.outside("/database") == "/all/database"
    assert dataclasses.replace(BRIDGED, mounts=MOUNTS[:2]).outside("/database") == ""


def test_a_container_is_asked_without_waiting_for_it():
    """The answer to a question is the last that came; log records are passed on once, and none is lost."""
    counts = Metrics("probe/rep-0", "Probe")
    counts.endpoint("/upper").ended(0.01)
    observation, before = Observation(counts), logging.getLogRecordFactory()
    loop = LoopThread("monitoring")
    plan = ListenerPlan(protocol="http", host="127.0.0.1", port=0)
    server = monitoring_server(plan, SampleService(), observation.answer, "secret")
    asyncio.run_coroutine_threadsafe(server.start(), loop.loop).result(20)
    try:
        address = server.addresses[0].partition("//")[2]
        inside = Inside(address, "secret")
        assert inside.observe({"logs": 0}) == {}

        def told(wanted):
            """The records of some questions, until one of them is wanted."""
            found = []
            deadline = time.monotonic() + 20
            while wanted not in found and time.monotonic() < deadline:
                found += [line["message"] for line in inside.observe({"logs": 0}).get("logs", ())]
            return found

        until(lambda: inside.observe({"logs": 0}))
        assert inside.observe({})["executor"] == "Probe"
        assert inside.observe({})["endpoints"]["/upper"]["succeeded"] == 1
        logging.getLogger("probe").warning("first")
        assert told("first") == ["first"]
        logging.getLogger("probe").warning("second")
        logging.getLogger("probe").warning("third")
        assert told("third") == ["second", "third"]
        assert Inside(address, "wrong").observe({}) == {}
        stranger = Inside(address, "wrong")
        for _ in range(3):
            assert stranger.observe({}) == {}
    finally:
        logging.setLogRecordFactory(before)
        asyncio.run_coroutine_threadsafe(server.stop(0), loop.loop).result(20)
        loop.stop()


@pytest.mark.parametrize("as_json", [False, True])
def test_lines_are_passed_on(as_json, tmp_path):
    source, target = os.pipe(), os.pipe()
    messages: list[str] = []

    class Log:
        def info(self, _: str, text: str) -> None:
            messages.append(text)

    os.write(source[1], b"{\"a\": 1}\nplain \xff\n\nRun 'docker run --help' for more information\n")
    os.close(source[1])
    file = lines_file(LogPlan(folder=str(tmp_path / "logs")), "a/rep-0")
    lines = Lines(source[0], target[1], Log(), file, as_json=as_json)
    lines.run()
    assert file is not None
    file.close()
    os.close(target[1])
    with os.fdopen(target[0], "rb") as reader:
        told = reader.read()
    assert list(lines.last) == ['{"a": 1}', "plain \ufffd"]
    assert told.startswith(b'{"a": 1}\n')
    assert (b"plain" in told) is not as_json
    assert ("plain \ufffd" in messages) is as_json
    # Messages of the log go to the file as those of any process.
    kept = (tmp_path / "logs/a-rep-0.log").read_text().splitlines()
    assert kept == ['{"a": 1}', *([] if as_json else ["plain \ufffd", "Run 'docker run --help' for more information"])]
