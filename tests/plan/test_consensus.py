"""Who is in which group of agents, at which address."""

import argparse
import json

import pytest

from jina.config import DeploymentSpec, load_spec, parse
from jina.config.command_line import add_options, from_namespace
from jina.errors import ConfigError
from jina.plan.consensus import even_groups
from jina.plan.deployment import plan_deployment
from jina.plan.plans import ExecutorPlan, process_from_json, to_json
from tests.plan.flows import CountingPorts

EXECUTOR = ExecutorPlan(module="shop", qualname="Shop")
PEERS = ["far:1", "near:2", "[fe80::1]:3"]


def groups(**options):
    """What is planned for each worker: group, replica, peers, where it listens, folder."""
    spec = options.pop("spec", None) or parse(DeploymentSpec, {"stateful": True, "workspace": "/ws", **options})
    around = {f"{spec.name}/uses_after": EXECUTOR}
    plan = plan_deployment(spec, EXECUTOR, CountingPorts(50000), around)
    assert [process_from_json(to_json(worker)) for worker in plan.workers] == plan.workers
    return [(worker.name, worker.consensus) for worker in plan.workers]


def shown(consensus):
    return consensus.group, consensus.replica, consensus.peers, consensus.directory


def test_a_log_needs_a_place():
    spec = parse(DeploymentSpec, {"stateful": True, "name": "d"})
    with pytest.raises(ConfigError, match="d is stateful, but has no workspace"):
        plan_deployment(spec, EXECUTOR, CountingPorts(50000), {})


@pytest.mark.parametrize(
    ("replicas", "lines"),
    [
        (1, []),
        (2, ["d has 2 replicas, of which none can be lost, no more than of 1"]),
        (3, []),
        (4, ["d has 4 replicas, of which 1 can be lost, no more than of 3"]),
    ],
)
def test_an_even_number_is_told(replicas, lines):
    spec = parse(DeploymentSpec, {"stateful": True, "workspace": "/ws", "replicas": replicas, "name": "d"})
    assert list(even_groups(plan_deployment(spec, EXECUTOR, CountingPorts(50000)).workers)) == lines


def test_one_group():
    found = groups(replicas=2, host="::", name="d")
    peers = ["[::1]:50000", "[::1]:50001"]
    assert [(name, *shown(one)) for name, one in found] == [
        ("d/rep-0", "d", 0, peers, "/ws/raft/d/rep-0"),
        ("d/rep-1", "d", 1, peers, "/ws/raft/d/rep-1"),
    ]
    assert [(one.share_port, one.alone, one.nonce) for _, one in found] == [(True, False, "")] * 2


SHARDED = {"shards": 2, "replicas": 2, "host": "127.0.0.1", "name": "d", "uses_after": "After"}
YAML = """
jtype: Deployment
with: {stateful: true, workspace: /ws, shards: 2, replicas: 2, host: 127.0.0.1, name: d, uses_after: After,
       peer_ports: {0: [1, 2], 1: [3, 4]}}
"""
COMMAND = [
    "--stateful", "--workspace", "/ws", "--shards", "2", "--replicas", "2", "--host", "127.0.0.1", "--name", "d",
    "--uses-after", "After", "--peer-ports", json.dumps({"0": [1, 2], "1": [3, 4]}),
]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {**SHARDED, "peer_ports": {"0": [1, 2], "1": [3, 4]}},
        {"spec": load_spec(DeploymentSpec, YAML)},
        {"spec": COMMAND},
    ],
    ids=["python", "yaml", "command line"],
)
def test_each_shard_is_a_group_and_what_is_around_them_is_in_none(options):
    if options.get("spec") is COMMAND:
        parser = argparse.ArgumentParser(allow_abbrev=False)
        add_options(parser, DeploymentSpec)
        options = {"spec": from_namespace(DeploymentSpec, parser.parse_args(COMMAND))}
    *inside, (_, after) = groups(**options)
    assert [shown(one) for _, one in inside] == [
        (f"d/{shard}", replica, peers, f"/ws/raft/d/{shard}/rep-{replica}")
        for shard, peers in enumerate((["127.0.0.1:1", "127.0.0.1:2"], ["127.0.0.1:3", "127.0.0.1:4"]))
        for replica in range(2)
    ]
    assert [one.shard for _, one in inside] == [0, 0, 1, 1]
    assert not any(one.share_port for _, one in inside)
    assert after is None


KEY = {"raft_key_file": "group.key"}


def test_a_replica_that_is_started_by_itself(monkeypatch):
    monkeypatch.delenv("JINA_DEFAULT_HOST", raising=False)
    ((name, one),) = groups(**KEY, raft_peers=",".join(PEERS), replica_id=2, name="d")
    assert (name, *shown(one)) == ("d/rep-2", "d", 2, PEERS, "/ws/raft/d/rep-2")
    assert (one.listen, one.alone, one.share_port) == ("[fe80::1]:3", True, False)
    ((_, other),) = groups(
        raft_key_file="group.key", raft_peers=PEERS, replica_id=0, replicas=3, name="d", host="0.0.0.0"
    )
    assert (other.listen, other.nonce) == ("0.0.0.0:1", one.nonce)
    ((_, stranger),) = groups(**KEY, raft_peers=PEERS[:2], name="d")
    assert stranger.listen == "far:1"
    assert stranger.nonce != one.nonce
    monkeypatch.setenv("JINA_DEFAULT_HOST", "10.0.0.1")
    ((_, asked),) = groups(**KEY, raft_peers=PEERS, name="d")
    assert asked.listen == "10.0.0.1:1"
