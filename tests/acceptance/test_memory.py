"""A long stream of documents costs no memory, here or in the server."""

import gc
import itertools
from pathlib import Path

import pytest
from docarray import DocList

from jina import Client, Deployment
from tests.acceptance.conftest import PROTOCOLS
from tests.acceptance.services import Slow, Token

ALLOWED = 50_000
"""kB more than after the first requests."""
SIZE = 1000
EVERY = 20
"""Requests between two looks at the memory."""


@pytest.mark.slow
@pytest.mark.timeout(170)
@pytest.mark.parametrize(
    ("protocol", "count"),
    [
        pytest.param("grpc", 1_000_000, marks=pytest.mark.long),
        ("http", 200_000),
        pytest.param("websocket", 200_000, marks=pytest.mark.long),
    ],
    ids=PROTOCOLS,
)
def test_documents_that_pass_are_not_kept(protocol, count):
    with Deployment(uses=Slow, protocol=protocol, host="127.0.0.1", quiet=True) as served:
        pids = {"client": "self", "server": served._processes[0].workers[0].pid}
        with Client(host="127.0.0.1", port=served.port, protocol=protocol, prefetch=8) as client:
            answered, samples = itertools.count(1), []
            seen = 0

            def look(response):
                nonlocal seen
                seen += len(response.docs)
                if next(answered) % EVERY == 0:
                    samples.append({name: pss(pid) for name, pid in pids.items()})

            def post(documents):
                made = (Token(text=f"document {number}") for number in range(documents))
                client.post("/slow", made, on_done=look, request_size=SIZE, return_type=DocList[Token])

            post(EVERY * SIZE)
            gc.collect()
            start = samples.pop()
            post(count)
            assert seen == count + EVERY * SIZE
            assert len(samples) == count // SIZE // EVERY
    grown = {name: max(sample[name] for sample in samples) - start[name] for name in pids}
    assert max(grown.values()) < ALLOWED, grown


def pss(pid):
    """kB of a process, pages that it shares counted in part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError(f"no Pss of {pid}")
