"""A Flow that our export writes, on a real cluster: answers, status, load while it changes, and its end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.flows import JINA, Shop
from tests.cluster.images import archive, name_of, tagged
from tests.cluster.load import under_load

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(900)]
RATE = float(os.environ.get("JINA_CLUSTER_RATE", "40"))


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Gateway x 2, encoder x 2, index x 3."""
    cluster.kubectl("create", "namespace", "shop")
    folder = tmp_path_factory.mktemp("shop")
    cluster.load(tagged(archive("encoder"), "encoder", "2", folder))
    try:
        yield Shop(cluster, "shop", folder / "files", ("encoder", "index"))
    finally:
        cluster.forget("shop")


def test_it_answers_through_the_service_over_both_protocols(shop: Shop) -> None:
    for address in shop.addresses:
        found = shop.post(address, "/encode", "hello")
        assert found[0]["tags"]["pod"] in shop.ready("encoder"), address
    places = [json.loads(shop.post(address, "/append", "line")[0]["text"]) for address in shop.addresses]
    assert places == [0, 1]


def test_jina_ping_and_jina_status_tell_of_it(shop: Shop) -> None:
    for address in shop.addresses:
        shop.cluster.run(JINA, "ping", "gateway", address)
        (found,) = json.loads(shop.cluster.run(JINA, "status", address, "--json"))
        assert found["state"] == "ready"
        steps = [name.partition("/")[0] for name in found["checks"] if "/" in name]
        assert sorted(steps) == ["encoder"] * 2 + ["index"] * 3
        assert all(found["checks"].values())


def test_no_request_fails_while_the_flow_changes(shop: Shop) -> None:
    first = set(shop.ready("encoder"))
    with under_load(shop.cluster, shop.hosts, RATE) as load:
        shop.kubectl("set", "image", "deployment/encoder", f"executor={name_of('encoder', '2')}")
        shop.wait_until_ready()
        shop.scale("encoder", 1)
        shop.scale("encoder", 3)
        deleted = [shop.ready("encoder")[0], shop.ready("gateway")[0]]
        shop.kubectl("delete", "pod", *deleted)
        shop.wait_until_ready()
        shop.drain(shop.node_of(shop.ready("encoder")[0]))
        report = load.finish(120)
    assert report["failed"] == []
    assert report["tags"].keys() >= {"2"}
    ended = set(report["pods"]) - set(shop.ready("encoder"))
    assert ended >= first
    shop.wait(lambda: shop.closed() >= ended, f"close() in {sorted(ended)}", 60)


def test_streams_that_are_open_when_their_pods_are_replaced_end_well(shop: Shop) -> None:
    with shop.streams(shop.addresses[0], 4, count=24, seconds=0.5) as ends:
        shop.kubectl("rollout", "restart", "deployment/encoder", "deployment/gateway")
        shop.wait_until_ready()
        assert ends() == [[f"{stream} {number}" for number in range(24)] for stream in range(4)]
