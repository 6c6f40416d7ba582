"""The search index with replicas: its parts, a short life of it, and the whole demonstration twice."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
import time
import uuid
from importlib import import_module
from pathlib import Path

import numpy as np
import psutil
import pytest
from docarray import DocList

EXAMPLE = Path(__file__).parents[2] / "examples" / "semantic_search"
agent = pytest.mark.skipif(importlib.util.find_spec("jina_raft") is None, reason="the consensus agent is not built")


@pytest.fixture
def example(monkeypatch):
    """Imports a module of the example, which is forgotten after the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield import_module
    for name in set(sys.modules) - before:
        if str(EXAMPLE) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def run(method):
    """What an `async` method of an Executor gives."""
    return asyncio.run(method)


def passages(example, count, seed=0):
    """Passages in random directions."""
    documents = example("documents")
    vectors = np.random.default_rng(seed).normal(size=(count, documents.DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = (documents.Passage(text=f"text {i}", synset=f"s{i}", embedding=vectors[i]) for i in range(count))
    return DocList[documents.Passage](made)


class TestIndex:
    def test_what_is_nearest_comes_first(self, example):
        index, found = example("replicated_index").ReplicatedIndex(), passages(example, 5)
        answered = run(index.index(found))
        assert [(doc.synset, doc.embedding) for doc in answered] == [(f"s{i}", None) for i in range(5)]
        [answer] = run(index.search(found[3:4], {"limit": 2}))
        assert answer.hits[0].text == "text 3"
        assert [len(answer.hits), run(index.count())["passages"]] == [2, 5]

    def test_a_snapshot_holds_everything(self, example, tmp_path):
        module, found = example("replicated_index"), passages(example, 5)
        one, other = module.ReplicatedIndex(), module.ReplicatedIndex()
        run(one.index(found[:2]))
        run(one.index(found[2:]))
        one.snapshot(str(tmp_path))
        other.restore(str(tmp_path))
        assert other.state_hash() == one.state_hash() == (5, one.checksum)
        assert other.passages == one.passages
        run(one.index(found))
        run(other.index(found))
        assert other.state_hash() == one.state_hash()

    def test_embeddings_must_be_there(self, example):
        index, found = example("replicated_index").ReplicatedIndex(), passages(example, 2)
        found[1].embedding = None
        with pytest.raises(ValueError, match="without an embedding: s1"):
            run(index.index(found))
        assert index.state_hash() == (0, 0)


@agent
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_nothing_is_lost_when_the_leader_is_killed(example, tmp_path, monkeypatch, capsys):
    replicate = example("replicate")
    monkeypatch.setattr(replicate, "WORKSPACE", tmp_path)
    found, queries = passages(example, 192), passages(example, 8, seed=1)
    before, well = replicate.first_life(found, queries)
    assert well
    assert before == replicate.exact(found, queries)
    assert "0 failed" in capsys.readouterr().out
    with replicate.service() as index:
        assert replicate.asked(index, queries) == before


@agent
@pytest.mark.demo
@pytest.mark.timeout(600)
@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="the models are not installed: make demo")
def test_the_demonstration_twice_leaves_nothing_running():
    mark = uuid.uuid4().hex
    for _ in range(2):
        command = [sys.executable, str(EXAMPLE / "replicate.py"), "--size", "200", "--questions", "20"]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=280, env={**os.environ, "DEMO_MARK": mark}
        )
        assert "same answers" in done.stdout
        assert "0 failed" in done.stdout
    deadline = time.monotonic() + 10
    while left := [one for one in psutil.process_iter() if _environment(one).get("DEMO_MARK") == mark]:
        assert time.monotonic() < deadline, left


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
