"""Evaluates snippets with one of two document libraries; runs in either interpreter, so it imports no test code.

    python run_snippets.py docarray|jina < snippets.json > results.json

A result is a value in JSON types (arrays rounded to 5 digits) or {"raises": True}.
"""

import importlib
import json
import sys
import warnings

import numpy as np

warnings.simplefilter("ignore")
library = importlib.import_module(sys.argv[1])
D, DA = library.Document, library.DocumentArray


def tree():
    """Two documents with three chunks each (with two chunks and a match of their own) and two matches."""
    return DA(
        [
            D(
                id=f"r{i}",
                text=f"r{i}",
                chunks=[
                    D(
                        id=f"r{i}c{j}",
                        text=f"c{j}",
                        chunks=[D(id=f"r{i}c{j}k{k}") for k in range(2)],
                        matches=[D(id=f"r{i}c{j}m")],
                    )
                    for j in range(3)
                ],
                matches=[D(id=f"r{i}m{j}", text="m") for j in range(2)],
            )
            for i in range(2)
        ]
    )


def emb(n=4, dim=3, seed=0):
    """Documents with embeddings, texts and tags."""
    random = np.random.RandomState(seed)
    return DA(
        [
            D(
                id=f"{seed}-{i}",
                text=f"t{i}",
                embedding=random.rand(dim),
                tags={"n": i, "s": "ab"[i % 2], "l": list(range(i)), "d": {"x": i}},
            )
            for i in range(n)
        ]
    )


def two():
    return DA([D(id="1", text="a"), D(id="2", text="b")])


def ids(docs):
    return [doc.id for doc in docs]


def scored(result):
    """Ids and scores of the found documents."""
    if isinstance(result, list) and not hasattr(result, "texts"):
        return [scored(docs) for docs in result]
    return [[m.id, {name: float(score.value) for name, score in m.scores.items()}] for m in result]


def matched(**options):
    queries = emb(2, seed=1)
    queries.match(emb(4), **options)
    return [scored(doc.matches) for doc in queries]


def found(query, **options):
    return scored(emb(4).find(query, **options))


def after(docs, *changes):
    """The texts and ids after changes in place."""
    for change in changes:
        change(docs)
    return [[doc.id, doc.text] for doc in docs]


def upper(doc):
    doc.text = doc.text.upper()
    return doc


def shout(batch):
    batch.texts = [text + "!" for text in batch.texts]
    return batch


def plain(value):
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (np.floating, float)):
        return round(float(value), 5)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, bytes):
        return {"bytes": value.decode("latin1")}
    if hasattr(value, "texts"):
        return {"documents": ids(value)}
    if isinstance(value, D):
        return {"document": value.id}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def evaluate(snippet):
    try:
        return plain(eval(snippet, globals()))
    except Exception:
        return {"raises": True}


if __name__ == "__main__":
    snippets = json.load(sys.stdin)
    sys.stdout = sys.stderr  # summaries print
    results = [evaluate(snippet) for snippet in snippets]
    json.dump(results, sys.__stdout__)
