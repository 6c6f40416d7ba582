"""A cluster for all tests here, and a namespace for each."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster, Lacking, running

NODES = 3


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes; skips where the machine lacks what they take, and says what that is."""
    try:
        with running(NODES) as made:
            yield made
    except Lacking as error:
        pytest.skip(str(error))


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, which is gone afterwards with all that is in it."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:40].strip("-")
    cluster.kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        cluster.forget(name)
