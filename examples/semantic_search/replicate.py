"""The search index with three replicas that agree: nothing is lost and nothing is silent when the leader is killed.

Half of the definitions are indexed; then agent and worker of the leading replica are killed, while another thread goes
on searching and this one goes on indexing. At the end everything is stopped and started again on the same workspace,
and must answer as before, and as an index without replicas does.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402
from docarray import DocList  # noqa: E402
from encoder import Encoder  # noqa: E402
from replicated_index import ReplicatedIndex  # noqa: E402
from wordnet import corpus, questions  # noqa: E402

from documents import Answer, Passage  # noqa: E402
from jina import Deployment  # noqa: E402
from jina.errors import JinaError, NotSupportedError  # noqa: E402

WORKSPACE = HERE.parents[1] / ".cache" / "demo-replicated"
SEED = 2026
REQUEST = 32
FRESH = {"jina-consistency": "linearizable"}


def service() -> Deployment:
    """The index; not started yet."""
    return Deployment(name="index", uses=ReplicatedIndex, stateful=True, replicas=3, workspace=str(WORKSPACE))


def encoded(passages: DocList[Passage]) -> DocList[Passage]:
    """The same with embeddings, from the encoder as a service that is stopped again."""
    with Deployment(name="encoder", uses=Encoder) as encoder:
        return encoder.post(
            "/encode", passages, request_size=64, results_in_order=True, return_type=DocList[Passage]
        )  # fmt: skip


class Searcher(threading.Thread):
    """Asks one question after another until it is told to stop; notes when each was answered."""

    def __init__(self, index: Deployment, queries: DocList[Passage]) -> None:
        super().__init__()
        self.index, self.queries = index, queries
        self.over = threading.Event()
        self.answered = [time.perf_counter()]
        self.errors: list[JinaError] = []

    def run(self) -> None:
        """Go on, whatever happens to replicas."""
        while not self.over.is_set():
            for query in self.queries:
                try:
                    self.index.post("/search", query, return_type=DocList[Answer])
                    self.answered.append(time.perf_counter())
                except JinaError as error:
                    self.errors.append(error)
                if self.over.wait(0.005):
                    return


def longest(moments: list[float]) -> float:
    """The longest time between two moments."""
    return max(b - a for a, b in itertools.pairwise(moments))


def fill(index: Deployment, passages: DocList[Passage]) -> Iterator[int]:
    """Index, and yield after each request how many passages are acknowledged."""
    for start in range(0, len(passages), REQUEST):
        acknowledged = index.post("/index", passages[start : start + REQUEST], return_type=DocList[Passage])
        yield len(acknowledged)


def kill_leader(index: Deployment) -> str:
    """Kill agent and worker of the replica that leads, as a machine that breaks would; gives its name."""
    [leader] = [one for one in index.consensus_status() if one.get("role") == "Leader"]
    name = f"index/rep-{leader['replica']}"
    [worker] = [one for one in index.status().processes if one.name == name]
    for pid in (leader["pid"], worker.pid):
        os.kill(pid, signal.SIGKILL)
    return name


def whole(index: Deployment, seconds: float = 20.0) -> float:
    """Wait until all three replicas have everything; gives the seconds it took."""
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        told = index.consensus_status()
        if all(one.get("serving") for one in told) and len({one["applied"] for one in told}) == 1:
            return time.perf_counter() - began
        time.sleep(0.02)
    raise RuntimeError(f"the replicas are not whole again: {told}")


def asked(index: Deployment, queries: DocList[Passage]) -> list[list[str]]:
    """What each query finds, on a replica that has all that was acknowledged."""
    answers = index.post(
        "/search", queries, request_size=50, results_in_order=True, headers=FRESH, return_type=DocList[Answer]
    )
    return [[hit.text for hit in answer.hits] for answer in answers]


def exact(passages: DocList[Passage], queries: DocList[Passage]) -> list[list[str]]:
    """The same without any service."""
    vectors = np.stack([np.asarray(one.embedding, dtype=np.float32) for one in passages])
    ranked = [np.argsort(-(vectors @ np.asarray(q.embedding, dtype=np.float32)), kind="stable") for q in queries]
    return [[passages[int(i)].text for i in row[:10]] for row in ranked]


def first_life(passages: DocList[Passage], queries: DocList[Passage]) -> tuple[list[list[str]], bool]:
    """Index, kill the leader in the middle, go on; gives the answers at the end and whether all was well."""
    half = len(passages) // 2
    began = time.perf_counter()
    with service() as index:
        print(f"three replicas are ready after {time.perf_counter() - began:.1f} s")
        count = sum(fill(index, passages[:half]))
        index.snapshot()
        searcher = Searcher(index, queries)
        searcher.start()
        try:
            began = time.perf_counter()
            name = kill_leader(index)
            moments = [began]
            for acknowledged in fill(index, passages[half:]):
                count += acknowledged
                moments.append(time.perf_counter())
            back = whole(index)
        finally:
            searcher.over.set()
            searcher.join()
        print(f"killed agent and worker of {name}, which led, with {half} definitions indexed")
        print(f"  indexed the other {len(passages) - half}; longest wait for one request {longest(moments):.2f} s")
        print(
            f"  answered {len(searcher.answered) - 1} searches meanwhile, {len(searcher.errors)} failed; "
            f"longest wait {longest(searcher.answered):.2f} s"
        )
        print(f"  {name} was back, with everything, {back:.1f} s after the last request")
        [told] = [one for one in index.status().processes if one.name == name]
        return asked(index, queries), count == len(passages) and not searcher.errors and told.restarts == 1


def main() -> int:
    """Run the demonstration; 0 if nothing was lost and all answers are the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=800, help="definitions to index [default: 800]")
    parser.add_argument("--questions", type=int, default=60, help="questions to ask [default: 60]")
    options = parser.parse_args()
    started = time.perf_counter()
    shutil.rmtree(WORKSPACE, ignore_errors=True)
    synsets = corpus(options.size, SEED)
    texts = [*((s.definition, s.lemmas[0]) for s in synsets)]
    texts += [(q.text, "") for q in questions(synsets, options.questions, SEED)]
    everything = encoded(DocList[Passage](Passage(text=text, synset=synset) for text, synset in texts))
    passages, queries = everything[: len(synsets)], everything[len(synsets) :]
    print(f"encoded {len(everything)} texts in {time.perf_counter() - started:.1f} s")

    try:
        before, well = first_life(passages, queries)
    except NotSupportedError as error:
        print(f"the replicated index is left out: {error}")
        return 0
    began = time.perf_counter()
    with service() as index:
        ready = time.perf_counter() - began
        after = asked(index, queries)
    same = before == after == exact(passages, queries)
    print(f"everything started again, ready after {ready:.1f} s: {'same' if same else 'DIFFERENT'} answers")
    print(f"done in {time.perf_counter() - started:.1f} s")
    return 0 if well and same else 1


if __name__ == "__main__":
    raise SystemExit(main())
