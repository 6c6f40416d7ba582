"""`now` and `seed` as arguments of methods."""

import time

import pytest
from docarray import BaseDoc, DocList

from jina import Deployment, Executor, dynamic_batching, requests, write
from jina.errors import ExecutorDefinitionError


class MomentNote(BaseDoc):
    text: str = ""


class MomentTeller(Executor):
    @write
    @requests(on="/both")
    def both(self, docs: DocList[MomentNote], now: float, *, seed: int, **kwargs) -> DocList[MomentNote]:
        return DocList[MomentNote]([MomentNote(text=f"{now} {seed}")])

    @requests(on="/own")
    def own(self, docs: DocList[MomentNote], seed=42, **kwargs) -> DocList[MomentNote]:
        return DocList[MomentNote]([MomentNote(text=f"{seed} {sorted(kwargs)}")])

    @dynamic_batching(preferred_batch_size=1)
    @requests(on="/batch")
    async def batch(self, docs: DocList[MomentNote], now, **kwargs) -> DocList[MomentNote]:
        return DocList[MomentNote]([MomentNote(text=str(now)) for _ in docs])


@pytest.fixture(scope="module")
def teller():
    with Deployment(uses=MomentTeller).in_process() as client:
        yield client


def test_without_replicas_they_are_the_time_and_random(teller):
    before = time.time()
    told = [teller.post("/both", MomentNote(), return_type=DocList[MomentNote])[0].text.split() for _ in range(2)]
    assert all(before <= float(now) <= time.time() for now, _ in told)
    assert told[0][1] != told[1][1]
    assert before <= float(teller.post("/batch", MomentNote(), return_type=DocList[MomentNote])[0].text) <= time.time()


def test_a_method_that_gives_a_default_keeps_it(teller):
    text = teller.post("/own", MomentNote(), return_type=DocList[MomentNote])[0].text
    assert text.startswith("42 ")
    assert "now" not in text


def test_they_are_named_where_a_parameter_is_unknown():
    with pytest.raises(ExecutorDefinitionError, match=r"requests carry .*now, seed"):

        class MomentMisspelt(Executor):
            @requests
            def wrong(self, docs, moment_of_it, **kwargs):
                pass
