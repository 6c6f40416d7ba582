"""`now` and `seed` as arguments of methods."""

import time

import pytest
from docarray import BaseDoc, DocList

from jina import Deployment, Executor, dynamic_batching, requests, write
from jina.errors import ExecutorDefinitionError


class ClockNote(BaseDoc):
    text: str = ""


class ClockReader(Executor):
    @write
    @requests(on="/both")
    def both(self, docs: DocList[ClockNote], now: float, *, seed: int, **kwargs) -> DocList[ClockNote]:
        return DocList[ClockNote]([ClockNote(text=f"{now} {seed}")])

    @requests(on="/own")
    def own(self, docs: DocList[ClockNote], seed=42, **kwargs) -> DocList[ClockNote]:
        return DocList[ClockNote]([ClockNote(text=f"{seed} {sorted(kwargs)}")])

    @dynamic_batching(preferred_batch_size=1)
    @requests(on="/batch")
    async def batch(self, docs: DocList[ClockNote], now, **kwargs) -> DocList[ClockNote]:
        return DocList[ClockNote]([ClockNote(text=str(now)) for _ in docs])


@pytest.fixture(scope="module")
def clock_client():
    with Deployment(uses=ClockReader).in_process() as client:
        yield client


def test_without_replicas_they_are_the_time_and_random(clock_client):
    before = time.time()
    text = [clock_client.post("/both", ClockNote(), return_type=DocList[ClockNote])[0].text.split() for _ in range(2)]
    assert all(before <= float(now) <= time.time() for now, _ in text)
    assert text[0][1] != text[1][1]
    assert (
        before <= float(clock_client.post("/batch", ClockNote(), return_type=DocList[ClockNote])[0].text) <= time.time()
    )


def test_a_method_that_gives_a_default_keeps_it(clock_client):
    text = clock_client.post("/own", ClockNote(), return_type=DocList[ClockNote])[0].text
    assert text.startswith("42 ")
    assert "now" not in text


def test_they_are_named_where_a_parameter_is_unknown():
    with pytest.raises(ExecutorDefinitionError, match=r"requests carry .*now, seed"):

        class ClockMisspelt(Executor):
            @requests
            def wrong(self, docs, moment_of_it, **kwargs):
                pass
