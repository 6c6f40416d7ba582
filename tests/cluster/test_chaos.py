"""The same at length: at least 20,000 requests while everything changes, and nodes that lose their power."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.flows import Shop
from tests.cluster.images import archive, name_of, tagged
from tests.cluster.load import HTTP_CONNECTIONS, under_load

AT_LENGTH = bool(os.environ.get("JINA_CHAOS"))
RATE = float(os.environ.get("JINA_CLUSTER_RATE", "200" if AT_LENGTH else "40"))
REQUESTS = int(os.environ.get("JINA_CLUSTER_REQUESTS", "20000" if AT_LENGTH else "4000"))
REPLACED_WITHIN = 30.0
NOTICED_WITHIN = 2.0
"""Seconds after which our client begins no call any more on a connection to a machine that is gone."""
pytestmark = [
    pytest.mark.slow, pytest.mark.cluster, pytest.mark.chaos, pytest.mark.timeout(600 + 2 * REQUESTS / RATE)
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Gateway x 2, encoder x 2."""
    cluster.kubectl("create", "namespace", "chaos")
    folder = tmp_path_factory.mktemp("chaos")
    cluster.load(tagged(archive("encoder"), "encoder", "2", folder))
    try:
        yield Shop(cluster, "chaos", folder / "files", ("encoder",))
    finally:
        cluster.forget("chaos")


def test_no_request_of_many_fails_while_everything_changes(shop: Shop) -> None:
    began = time.monotonic()
    changes: list[Callable[[], Any]] = [
        lambda: roll(shop, "2"),
        lambda: (shop.scale("encoder", 1), shop.scale("encoder", 5), shop.scale("encoder", 2)),
        lambda: delete(shop, "encoder"),
        lambda: shop.drain(shop.node_of(shop.ready("encoder")[0])),
        lambda: delete(shop, "gateway"),
        lambda: roll(shop, "1"),
    ]
    seen = set(shop.ready("encoder"))
    with under_load(shop.cluster, shop.hosts, RATE, REQUESTS) as load:
        for change in changes:
            change()
            seen |= set(shop.ready("encoder"))
        report = load.finish(REQUESTS / RATE * 2 + 120)
    sys.stderr.write(f"{RATE:g} a second, changes for {time.monotonic() - began:.0f} s: {report}\n")
    assert report["failed"] == []
    assert report["answered"] >= REQUESTS
    ended = seen - set(shop.ready("encoder"))
    assert len(ended) >= 6
    shop.wait(lambda: shop.closed() >= ended, f"close() in {sorted(ended)}", 60)


def test_a_power_cut_fails_only_what_was_in_flight_there(shop: Shop) -> None:
    """Another client of HTTP loses one request more for each connection to the gateway there: it has one at a time."""
    # The first node is the way into the cluster: its end would be that of the client's network.
    node = next(node for node in map(shop.node_of, shop.ready("encoder")) if node != "node1")
    number = int(node.removeprefix("node"))
    with under_load(shop.cluster, shop.hosts, RATE, int(4 * RATE)) as load:
        time.sleep(2)
        cut = time.time()
        shop.cluster.cut_power(number)
        try:
            shop.wait(lambda: away_from(shop, node), f"two of each beside {node}", REPLACED_WITHIN)
            replaced = time.time() - cut
            report = load.finish(120)
        finally:
            shop.cluster.boot(number)
    sys.stderr.write("\n".join([f"replaced after {replaced:.1f} s: {report}", *shop.starts(), ""]))
    late = [one for one in report["failed"] if one["at"] > cut + NOTICED_WITHIN]
    assert [one for one in late if one["protocol"] == "grpc"] == [], "these were begun when the node was gone"
    assert len(late) <= HTTP_CONNECTIONS
    assert len(report["failed"]) <= RATE * NOTICED_WITHIN + HTTP_CONNECTIONS


def roll(shop: Shop, tag: str) -> None:
    """Another version of the image."""
    shop.kubectl("set", "image", "deployment/encoder", f"executor={name_of('encoder', tag)}")
    shop.wait_until_ready()


def delete(shop: Shop, app: str) -> None:
    """Delete one pod, until there is another one in its place."""
    shop.kubectl("delete", "pod", shop.ready(app)[0])
    shop.wait_until_ready()


def away_from(shop: Shop, node: str) -> bool:
    """Whether there are two ready pods of each workload on other nodes."""
    return all(sum(shop.node_of(pod) != node for pod in shop.ready(app)) >= 2 for app in ("encoder", "gateway"))
