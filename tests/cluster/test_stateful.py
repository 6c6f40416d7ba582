"""A stateful group on the cluster, under writers and linearizable readers whose history is checked.

Each test begins with a group of three that is well, whatever the one before did to it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.flows import JINA, Shop
from tests.cluster.histories import Writing, written
from tests.cluster.images import name_of

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(900)]
PODS = ("index-0", "index-1", "index-2")
QUORUM_WITHIN = 20.0
GAP_AT_MOST = 2.0
NAMESPACE = "group"


class Group:
    """A group of three behind two gateways, with the commands for it and writers."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop, self.cluster, self._folder = shop, shop.cluster, folder

    def jina(self, *words: object) -> str:
        """What a command of `jina kubernetes` printed, in the network of the pods."""
        return self.cluster.run(JINA, "kubernetes", *words, "-n", NAMESPACE, limit=400)

    @contextlib.contextmanager
    def written(self, name: str) -> Iterator[Writing]:
        """Writers and readers meanwhile, whose history has to be right."""
        folder = self._folder / name
        folder.mkdir()
        with written(self.cluster, self.shop.hosts[1], folder, NAMESPACE) as writing:
            yield writing
        sys.stderr.write(f"{name}: {writing.found}\n")
        assert writing.found["wrong"] == []
        assert writing.found["written"] > 50

    def leader(self) -> str:
        """The pod of the replica that leads, as the replicas say; empty without one."""
        members = self.status()["members"]
        return next((f"index-{one['replica']}" for one in members if one["role"] == "Leader"), "")

    def status(self) -> dict:
        """What `jina kubernetes status` tells."""
        words = [JINA, "kubernetes", "status", "index", "--json", "-n", NAMESPACE]
        (found,) = json.loads(self.cluster.run(*words, check=False))
        return found

    def replace(self, pods: Sequence[str], *words: str) -> None:
        """Delete pods, until others of the same names are ready."""
        before = {self.shop.uid(pod) for pod in pods}
        self.shop.kubectl("delete", "pod", *pods, *words)
        self.shop.wait(lambda: not before & {self.shop.uid(pod) for pod in pods}, f"the next {', '.join(pods)}")
        self.shop.wait_until_ready()

    def lose_volume(self, number: int) -> None:
        """The volume of a replica is gone, with all that was on it, and its pod with it."""
        get = lambda *words: self.cluster.get(*words, namespace=NAMESPACE)  # noqa: E731
        (volume,) = [one for one in get("pod", f"index-{number}")["spec"]["volumes"] if "persistentVolumeClaim" in one]
        claim = volume["persistentVolumeClaim"]["claimName"]
        bound = get("persistentvolumeclaim", claim)["spec"]["volumeName"]
        path = get("persistentvolume", bound)["spec"]["local"]["path"]
        self.cluster.kubectl("delete", "persistentvolume", bound, "--wait=false")
        self.cluster.kubectl("patch", "persistentvolume", bound, "-p", '{"metadata":{"finalizers":null}}')
        self.shop.wait(lambda: get("persistentvolumeclaim", claim)["status"]["phase"] == "Lost", "the claim is lost")
        self.shop.kubectl("delete", "pod", f"index-{number}", "--force", "--grace-period=0")
        for left in Path(path).iterdir():
            shutil.rmtree(left, ignore_errors=True)

    def pods(self) -> list[str]:
        """Those that are ready."""
        return self.shop.ready("index")


@pytest.fixture(scope="module")
def made(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    cluster.kubectl("create", "namespace", NAMESPACE)
    try:
        shop = Shop(cluster, NAMESPACE, tmp_path_factory.mktemp("files"), ("index",))
        yield Group(shop, tmp_path_factory.mktemp("histories"))
    finally:
        cluster.forget(NAMESPACE)


@pytest.fixture
def group(made: Group) -> Group:
    made.jina("scale", "index", "--replicas", "3")
    made.shop.wait_until_ready()
    return made


def test_nothing_is_lost_when_the_leader_and_then_all_pods_are_deleted(group: Group) -> None:
    with group.written("deleted") as writing:
        first = group.shop.wait(group.leader, "a leader", 60)
        group.replace([first])
        gaps = [writing.goes_on(GAP_AT_MOST)]
        group.replace(PODS)
        gaps.append(writing.goes_on(QUORUM_WITHIN))
        # As if all of them had been killed: none of them finishes, or closes, anything.
        group.replace(PODS, "--force", "--grace-period=0")
        gaps.append(writing.goes_on(QUORUM_WITHIN))
    sys.stderr.write(f"longest pauses {gaps}\n")
    assert gaps[0] <= GAP_AT_MOST
    assert writing.found["longest_gap"] <= QUORUM_WITHIN
    assert group.shop.closed() >= set(PODS)


def test_a_roll_changes_the_leader_once(group: Group) -> None:
    before = {group.shop.uid(pod) for pod in PODS}
    with group.written("rolled") as writing:
        group.jina("roll", "index")
    assert not before & {group.shop.uid(pod) for pod in PODS}
    assert writing.changes <= 1, writing.found["led"]
    assert writing.found["longest_gap"] <= GAP_AT_MOST


def test_a_group_grows_and_shrinks(group: Group) -> None:
    before = {group.shop.uid(pod) for pod in PODS}
    with group.written("scaled") as writing:
        group.jina("scale", "index", "--replicas", "5")
        assert group.pods() == [f"index-{number}" for number in range(5)]
        assert [one["votes"] for one in group.status()["members"]] == [True] * 5
        gap = writing.goes_on(GAP_AT_MOST)
        group.jina("scale", "index", "--replicas", "3")
        assert group.pods() == list(PODS)
    assert before == {group.shop.uid(pod) for pod in PODS}, "those that stay are not touched"
    assert writing.changes <= 1, writing.found["led"]
    assert writing.found["longest_gap"] <= GAP_AT_MOST, f"it was {gap} while it grew"
    claims = lambda: group.cluster.get("persistentvolumeclaims", namespace=NAMESPACE)["items"]  # noqa: E731
    group.shop.wait(lambda: len(claims()) == 3, "volumes of pods that were taken away are deleted", 60)


@pytest.mark.parametrize("of", ["a follower", "the leader"])
def test_a_volume_that_is_gone_is_replaced_and_its_member_removed(group: Group, of: str) -> None:
    leader = group.shop.wait(group.leader, "a leader", 60)
    number = next(number for number, pod in enumerate(PODS) if (pod == leader) == (of == "the leader"))
    ids = {one["replica"]: one["id"] for one in group.status()["members"]}
    with group.written(f"lost of {of}") as writing:
        group.lose_volume(number)
        group.jina("recover", number, "index", "--yes")
        group.shop.wait_until_ready()
    healed = {one["replica"]: one["id"] for one in group.status()["members"]}
    assert [one for one in ids if healed[one] != ids[one]] == [number]
    assert writing.found["longest_gap"] <= GAP_AT_MOST


def test_a_controller_in_a_pod_looks_after_it_and_ends_with_all_of_its_pods(group: Group, tmp_path: Path) -> None:
    """As the page about groups says: a Deployment of one replica, annotations, no kind of its own."""
    file = tmp_path / "controller.yml"
    words = ["--k8s-namespace", NAMESPACE, "--image", name_of("index"), "--secret", "index-raft"]
    group.cluster.run(JINA, "export", "controller", file, *words)
    group.cluster.apply(file)
    group.shop.kubectl("rollout", "status", "deployment/jina-controller", "--timeout=120s", limit=150)
    annotate = ["annotate", "--overwrite", "statefulset", "index"]
    is_done = lambda: group.status()["next"] == "all members are up to date"  # noqa: E731
    try:
        with group.written("controlled") as writing:
            group.shop.kubectl(*annotate, "jina/replicas=5")
            group.shop.wait(lambda: len(group.pods()) == 5 and is_done(), "five members")
            group.lose_volume(2)
            group.shop.kubectl(*annotate, "jina/replicas=3")
            group.shop.kubectl("delete", "pods", "-l", "app in (index, jina-controller)", "--force", "--grace-period=0")
            group.shop.wait(lambda: group.pods() == list(PODS) and is_done(), "three members that are well")
            writing.goes_on(QUORUM_WITHIN)
        inside = group.shop.kubectl("exec", "deploy/jina-controller", "--", "jina", "kubernetes", "status")
        assert "index: 3 of 3 replicas are well" in inside
    finally:
        group.shop.kubectl("delete", "-f", file, check=False)
