"""Semantic search over WordNet's noun definitions, as two network services.

An encoder and an index run as processes of their own; this program is their client. It indexes definitions,
asks 500 questions whose answers are known, and compares recall@10 with BM25. Then it stops everything, starts
again on the same workspace, and asks once more without indexing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from bm25 import BM25  # noqa: E402
from docarray import DocList  # noqa: E402
from encoder import Encoder  # noqa: E402
from index import Index  # noqa: E402
from wordnet import Question, Synset, corpus, questions  # noqa: E402

from documents import Answer, Passage  # noqa: E402
from jina import Deployment  # noqa: E402

WORKSPACE = HERE.parents[1] / ".cache" / "demo"
SEED = 2026


def services(workspace: Path) -> tuple[Deployment, Deployment]:
    """The encoder and the index, the latter on gRPC and HTTP; not started yet."""
    encoder = Deployment(name="encoder", uses=Encoder)
    index = Deployment(
        name="index",
        uses=Index,
        uses_with={"encoder": f"grpc://127.0.0.1:{encoder.port}"},
        protocol=["grpc", "http"],
        workspace=str(workspace),
    )
    return encoder, index


def fill(index: Deployment, synsets: list[Synset]) -> float:
    """Index the definitions; gives the seconds it took."""
    started = time.perf_counter()
    passages = (Passage(id=s.offset, text=s.definition, synset=s.lemmas[0]) for s in synsets)
    index.post("/index", passages, request_size=64, show_progress=True, return_type=DocList[Passage])
    return time.perf_counter() - started


def ask_http(port: int, text: str) -> list[tuple[float, str, str]]:
    """Ask as any HTTP client does: JSON in, JSON out."""
    body = json.dumps({"data": [{"text": text}], "parameters": {"limit": 3}}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/search", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        hits = json.load(response)["data"][0]["hits"]
    return [(hit["score"], hit["synset"], hit["text"]) for hit in hits]


def ask_grpc(index: Deployment, asked: list[Question], limit: int = 10) -> list[Answer]:
    """All questions through the Python client."""
    queries = DocList[Passage](Passage(text=q.text) for q in asked)
    return list(
        index.post(
            "/search", queries, parameters={"limit": limit}, request_size=50, results_in_order=True,
            return_type=DocList[Answer],
        )
    )  # fmt: skip


def recall(found: list[list[str]], asked: list[Question]) -> float:
    """Share of the questions with a right synset among what was found."""
    return sum(bool(q.right.intersection(f)) for q, f in zip(asked, found, strict=True)) / len(asked)


def show(title: str, hits: list[tuple[float, str, str]]) -> None:
    """Print ranked answers."""
    print(f"\n{title}")
    for rank, (score, synset, text) in enumerate(hits, 1):
        print(f"  {rank}. {score:.3f}  {synset}: {text}")


def main() -> int:
    """Run the demonstration; 0 if the embeddings beat BM25 and the second start needed no indexing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=5000, help="definitions to index [default: 5000]")
    parser.add_argument("--questions", type=int, default=500, help="questions to ask [default: 500]")
    options = parser.parse_args()
    started = time.perf_counter()
    synsets = corpus(options.size, SEED)
    asked = questions(synsets, options.questions, SEED)
    by_text = {s.definition: s.offset for s in synsets}
    shutil.rmtree(WORKSPACE, ignore_errors=True)

    encoder, index = services(WORKSPACE)
    with encoder, index:
        seconds = fill(index, synsets)
        print(f"indexed {len(synsets)} definitions in {seconds:.1f} s")
        answers = ask_grpc(index, asked)
        show(f"gRPC: {asked[0].text!r}", [(h.score, h.synset, h.text) for h in answers[0].hits[:3]])
        question = "a place where people borrow books"
        show(f"HTTP: {question!r}", ask_http(index.ports[1], question))
        ours = recall([[by_text[h.text] for h in a.hits] for a in answers], asked)

    baseline = BM25([s.definition for s in synsets])
    theirs = recall([[synsets[i].offset for i in baseline.search(q.text)] for q in asked], asked)

    encoder, index = services(WORKSPACE)
    with encoder, index:
        again = ask_grpc(index, asked[:1])
    same = [h.text for h in again[0].hits] == [h.text for h in answers[0].hits]

    print(f"\nrecall@10 of {len(asked)} questions: embeddings {ours:.3f}, BM25 {theirs:.3f}")
    print(f"second start on the same workspace, without indexing: {'same' if same else 'DIFFERENT'} answers")
    print(f"done in {time.perf_counter() - started:.1f} s")
    return 0 if ours > theirs and same else 1


if __name__ == "__main__":
    raise SystemExit(main())
