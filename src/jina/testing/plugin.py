"""Fixtures that pytest has wherever jina is installed.

def test_search(jina_in_process):
    flow = jina_in_process(Flow().add(uses=Encoder).add(uses=Index))
    assert flow.post("/search", docs)[0].matches
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from jina.orchestration import Deployment, Flow

    Service = Deployment | Flow


@pytest.fixture
def jina_in_process() -> Generator[Callable[[Service], Any]]:
    """Runs a Deployment or Flow in the process of the test, without sockets, until the test ends.

    Call it with the service; it gives what has `post` and its kin. Executors are closed after the test.
    """
    with ExitStack() as stack:
        yield lambda service: stack.enter_context(service.in_process())


@pytest.fixture
def jina_served() -> Generator[Callable[[Service], Service]]:
    """Starts a Deployment or Flow as it runs for users, and ends it with the test, which fails when it leaves anything.

    Call it with the service; it gives the service, ready.
    """
    from jina.testing.leaks import no_leaks

    with no_leaks(), ExitStack() as stack:

        def serve(service: Service) -> Service:
            stack.enter_context(service)
            return service

        yield serve
