"""A stateful group on the cluster, under writers and linearizable readers whose history is checked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.flows import Shop
from tests.cluster.histories import written

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(900)]
PODS = ("index-0", "index-1", "index-2")
QUORUM_WITHIN = 20.0
GAP_AT_MOST = 2.0


@pytest.fixture(scope="module")
def group(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A group of three behind two gateways."""
    cluster.kubectl("create", "namespace", "group")
    try:
        yield Shop(cluster, "group", tmp_path_factory.mktemp("group"), ("index",))
    finally:
        cluster.forget("group")


def leader(group: Shop) -> str:
    """The pod of the replica that leads, as the replicas say."""
    for pod in group.ready("index"):
        words = ["jina", "raft", "status", "index", "--peer", f"{pod}.index-peers.{group.namespace}.svc:8090", "--json"]
        told = group.kubectl("exec", pod, "--", *words, "--key-file", "/etc/jina/raft/key", check=False)
        for one in json.loads(told)[0]["replicas"] if told else ():
            if one.get("role") == "Leader":
                return f"index-{one['replica']}"
    return ""


def test_nothing_is_lost_when_the_leader_and_then_all_pods_are_deleted(group: Shop, tmp_path: Path) -> None:
    with written(group.cluster, group.hosts[1], tmp_path) as writing:
        first = group.wait(lambda: leader(group), "a leader", 60)
        replace(group, [first])
        gaps = [writing.goes_on(GAP_AT_MOST)]
        replace(group, PODS)
        gaps.append(writing.goes_on(QUORUM_WITHIN))
        # As if all of them had been killed: none of them finishes, or closes, anything.
        replace(group, PODS, "--force", "--grace-period=0")
        gaps.append(writing.goes_on(QUORUM_WITHIN))
    sys.stderr.write(f"longest pauses {gaps}: {writing.found}\n")
    assert writing.found["wrong"] == []
    assert writing.found["written"] > 50
    assert gaps[0] <= GAP_AT_MOST
    assert writing.found["longest_gap"] <= QUORUM_WITHIN
    assert group.closed() == set(PODS)


def replace(group: Shop, pods: Sequence[str], *words: str) -> None:
    """Delete pods, until others of the same names are ready."""
    before = {group.uid(pod) for pod in pods}
    group.kubectl("delete", "pod", *pods, *words)
    group.wait(lambda: not before & {group.uid(pod) for pod in pods}, f"the next {', '.join(pods)}")
    group.wait_until_ready()
