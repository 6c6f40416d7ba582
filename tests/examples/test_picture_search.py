"""The parts of examples/picture_search that need neither its models nor its pictures; `make demo` runs the whole."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from contextlib import closing
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from docarray import DocList

from jina import Flow

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    """Imports a module of the example, which is forgotten after the test."""
    before = set(sys.modules)
    for folder in ("semantic_search", "picture_search"):
        monkeypatch.syspath_prepend(str(EXAMPLES / folder))
    yield import_module
    for name in set(sys.modules) - before:
        if str(EXAMPLES) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


class TestIndex:
    @pytest.fixture
    def pictures(self, example):
        return example("pictures")

    @pytest.fixture
    def index(self, example, pictures):
        """Three pictures: `a` and `b` have like words, `b` and `c` look alike."""
        index = example("picture_index").PictureIndex()
        docs = DocList[pictures.Picture]()
        for name, words, look in (("a", 0.0, 0.0), ("b", 0.3, 1.4), ("c", 1.5, 1.5)):
            vectors = {"embedding": turned(384, words), "image_embedding": turned(1280, look)}
            docs.append(pictures.Picture(id=name, text=name.upper(), **vectors))
        index.index(docs)
        return index

    def ask(self, index, pictures, parameters=None, **query):
        [found] = index.search(DocList[pictures.Picture]([pictures.Picture(**query)]), parameters or {})
        return [match.id for match in found.matches]

    def test_words_alone(self, index, pictures):
        assert self.ask(index, pictures, embedding=turned(384, 0.1)) == ["a", "b", "c"]

    def test_picture_alone(self, index, pictures):
        assert self.ask(index, pictures, image_embedding=turned(1280, 1.5)) == ["c", "b", "a"]

    def test_both(self, index, pictures):
        query = {"embedding": turned(384, 0.1), "image_embedding": turned(1280, 1.5)}
        assert self.ask(index, pictures, **query)[0] == "b"

    def test_limit(self, index, pictures):
        query = {"embedding": turned(384, 0.1)}
        assert self.ask(index, pictures, {"limit": 2}, **query) == ["a", "b"]
        assert len(self.ask(index, pictures, {"limit": 9}, **query)) == 3

    def test_queries_keep_their_order_and_ids(self, index, pictures):
        queries = DocList[pictures.Picture](
            pictures.Picture(id=str(i), embedding=turned(384, angle)) for i, angle in enumerate((1.5, 0.0))
        )
        assert [(f.id, f.matches[0].id) for f in index.search(queries, {})] == [("0", "c"), ("1", "a")]

    def test_pictures_need_both_vectors(self, index, pictures):
        with pytest.raises(ValueError, match="picture d: it needs both text and image"):
            index.index(DocList[pictures.Picture]([pictures.Picture(id="d", embedding=turned(384, 0.0))]))
        assert len(index.pictures) == 3

    def test_nothing_indexed(self, example, pictures):
        with pytest.raises(ValueError, match="no pictures yet"):
            self.ask(example("picture_index").PictureIndex(), pictures, embedding=turned(384, 0.0))

    def test_empty_query(self, index, pictures):
        with pytest.raises(ValueError, match="query q: it has neither text nor image"):
            self.ask(index, pictures, id="q")


def turned(dimensions: int, angle: float) -> np.ndarray:
    """The first axis turned towards the second one, as a float32 vector of unit length."""
    vector = np.zeros(dimensions, dtype=np.float32)
    vector[:2] = np.cos(angle), np.sin(angle)
    return vector


class TestFlow:
    def test_python_and_yaml_make_the_same_flow(self, example):
        run = example("run")
        flows = run.from_python(), run.from_yaml()
        assert flows[1].name == flows[0].name
        python, yaml = (graph(flow) for flow in flows)
        assert yaml == python
        assert python["index"] == (["words", "strokes"], None, {})

    def test_answers_are_alike_but_for_rounding(self, example):
        run = example("run")
        answers = [run.Found(matches=[{"id": "a", "text": "", "score": score}]) for score in (0.5, 0.5 + 1e-7, 0.6)]
        other = run.Found(matches=[{"id": "b", "text": "", "score": 0.5}])
        assert run.alike([answers[0]], [answers[1]])
        assert not run.alike([answers[0]], [answers[2]])
        assert not run.alike([answers[0]], [other])

    def test_recall_counts_right_answers(self, example):
        run = example("run")
        asked = [run.Question("", b"", right) for right in "abc"]
        assert run.recall([["x", "a"], ["b"], ["x"]], asked) == pytest.approx(2 / 3)


def graph(flow: Flow) -> dict[str, tuple]:
    """What each step needs, which documents it gets, and its endpoints."""
    with closing(flow):
        requests = {one.name: one.workers[0].executor.requests for one in flow.plan.deployments}
        return {node.name: (node.needs, node.when, requests[node.name]) for node in flow.plan.gateway.graph.nodes}


class Storage:
    """Stands for `torch.FloatStorage`, which a pickle names without importing it."""


def write_tensors(file: Path, numbers: np.ndarray, tensors: dict[str, tuple], extra: object = None) -> None:
    """A file as `torch.save` wrote it before 1.6: pickles, then for each storage its length and numbers."""

    class Pickler(pickle._Pickler):
        def save_global(self, obj, name=None):
            names = {Storage: ("torch", "FloatStorage"), rebuild: ("torch._utils", "_rebuild_tensor_v2")}
            if obj in names:
                module, called = names[obj]
                self.write(pickle.GLOBAL + f"{module}\n{called}\n".encode())
            else:
                super().save_global(obj, name)

        dispatch = {**pickle._Pickler.dispatch, type(rebuild): save_global, type: save_global}

        def persistent_id(self, obj):
            return ("storage", Storage, "7", "cpu", numbers.size) if obj is numbers else None

    class Tensor:
        def __init__(self, *where):
            self.where = where

        def __reduce__(self):
            return rebuild, (numbers, *self.where, False, OrderedDict())

    with file.open("wb") as stream:
        for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(value, stream, 2)
        state = OrderedDict((name, Tensor(*where)) for name, where in tensors.items())
        Pickler(stream, 2).dump(state if extra is None else extra)
        pickle.dump(["7"], stream, 2)
        stream.write(numbers.size.to_bytes(8, "little") + numbers.astype("<f4").tobytes())


def rebuild(*_): ...


class TestWeights:
    def test_offsets_shapes_and_strides(self, example, tmp_path):
        numbers = np.arange(20, dtype=np.float32)
        tensors = {"plain": (0, (2, 3), (3, 1)), "turned": (6, (2, 3), (1, 2)), "last": (19, (1,), (1,))}
        write_tensors(tmp_path / "w.pth", numbers, tensors)
        weights = example("efficientnet").read_weights(tmp_path / "w.pth")
        assert weights["plain"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert weights["turned"].tolist() == [[6, 8, 10], [7, 9, 11]]
        assert weights["last"].tolist() == [19]
        assert all(array.dtype == np.float32 for array in weights.values())

    def test_code_in_the_file_is_refused(self, example, tmp_path):
        write_tensors(tmp_path / "w.pth", np.zeros(1, dtype=np.float32), {}, extra=print)
        with pytest.raises(pickle.UnpicklingError, match="print has no place"):
            example("efficientnet").read_weights(tmp_path / "w.pth")
