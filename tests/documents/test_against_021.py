"""The schemaless documents against DocArray 0.21, which users of Jina 3 knew: the same snippets in both.

The snippets of same_as_021.txt must give the same; `DIFFERENT` lists where we differ on purpose, what each gives,
and why.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PYTHON_021 = HERE.parent.parent / ".cache/env-docarray021/bin/python"

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not PYTHON_021.exists(), reason="no DocArray 0.21: run scripts/env.sh docarray021"),
]

SAME = (HERE / "same_as_021.txt").read_text().splitlines()

DIFFERENT = {
    "after(two(), lambda d: setattr(d, 'texts', 'x'))": (
        {"raises": True},
        [["1", "x"], ["2", "x"]],
        "one text is set on all, whatever its length",
    ),
    "after(two(), lambda d: d.reverse(), lambda d: d['2'])": (
        {"raises": True},
        [["2", "b"], ["1", "a"]],
        "ids are found after the order changed",
    ),
    "matched(batch_size=1) == matched()": (False, True, "batches do not change the result"),
    "D('hello').text": ({"raises": True}, "hello", "a text is the most common content"),
    "D(text='a', blob=b'b').text": ("", "a", "the wire has both fields; nothing that was given is dropped"),
    "D(text=3).text": (3, {"raises": True}, "a text is a str"),
    "getattr(D.from_dict({'text': 'x', 'foo': 1}), 'foo', None)": (None, 1, "unknown fields are kept"),
    "D(chunks=[D()]).chunks[0].granularity": (1, 0, "nothing is written into documents that were given"),
    "DA().texts, DA().contents": ([None, None], [[], None], "a list of none is an empty list"),
    "DA([D(text='a'), D(blob=b'x')]).contents": (["a", ""], ["a", {"bytes": "x"}], "each document's own content"),
    "two()[['1', 1]]": ({"raises": True}, {"documents": ["1", "2"]}, "ids and positions may be mixed"),
    "two()[[]]": ({"raises": True}, {"documents": []}, "an empty selection is no error"),
    "ids(tree()['@c[-1]'])": ([], ["r0c2", "r1c2"], "-1 is the last, as everywhere"),
    "two()[0, ['id', 'text']]": ({"raises": True}, ["1", "a"], "several attributes of one document"),
    "after(two(), lambda d: d.__iadd__(D(id='3', text='q')))": (
        {"raises": True},
        [["1", "a"], ["2", "b"], ["3", "q"]],
        "one document can be added too",
    ),
    "(lambda d: (setattr(d, 'tags', [{'a': 1}, {'a': 2}]), d[:, 'tags__a']))(two())": (
        [None, [None, None]],
        [None, [1, 2]],
        "tags are a column too",
    ),
    "(lambda d: (d.__setitem__((slice(None), 'tags__x'), [1, 2]), d[:, 'tags__x']))(two())": (
        [None, [None, None]],
        [None, [1, 2]],
        "an attribute path can be set",
    ),
    "(lambda d: (setattr(d, 'contents', ['x', b'y']), d.contents))(DA.empty(2))": (
        [None, None],
        [None, ["x", {"bytes": "y"}]],
        "contents may differ in type",
    ),
    "type(D(embedding=[1, 2]).embedding).__name__": ("list", "NdArrayEmbedding", "an embedding is an array"),
    "matched(filter={'tags__n': {'$gt': 1}}, limit=1)": (
        {"raises": True},
        [[["0-3", {"cosine": 0.14523}]], [["0-3", {"cosine": 0.21464}]]],
        "a search can be filtered",
    ),
    "matched(limit=0.5)": ([[], []], {"raises": True}, "a limit is a whole number"),
    "found([1, 1, 1], limit=1)": ({"raises": True}, [["0-0", {"cosine": 0.00615}]], "a list of numbers is a vector"),
    "found(np.ones(3), metric='euclidean', metric_name='e', limit=1)": (
        {"raises": True},
        [["0-2", {"e": 0.57388}]],
        "the score's name can be chosen for each metric",
    ),
    "found({'tags__n': {'$gt': 1}}, limit=1)": (
        [["0-2", {}], ["0-3", {}]],
        [["0-2", {}]],
        "the limit counts for filters",
    ),
    "found({'tags__n': {'$ne': 2}}, limit=1)": ({"raises": True}, [["0-0", {}]], "$ne is $neq"),
    "found({'tags__n': 1})": ({"raises": True}, [["0-1", {}]], "a plain value stands for $eq"),
    "found({'tags__s': {'$gt': 1}})": ({"raises": True}, [], "a str is neither above nor below a number"),
    "scored(DA([D(id='z', embedding=np.zeros(2)), D(id='x', embedding=np.ones(2))]).find(np.ones(2)))": (
        [["z", {"cosine": 0.0}], ["x", {"cosine": 0.0}]],
        [["x", {"cosine": 0.0}], ["z", {"cosine": 1.0}]],
        "a vector of zeros is not the same as any other",
    ),
    "(emb(2).save_csv('t.csv'), DA.load_csv('t.csv')[1].tags['s'])": (
        {"raises": True},
        [None, "b"],
        "a tag has its own name after it was read back",
    ),
    "DA.from_json(emb(2).to_json())[1].tags['n'] is True": (True, False, "1 is not True"),
}


def run(python: Path | str, library: str, snippets: list[str], folder: Path) -> list[object]:
    done = subprocess.run(
        [python, HERE / "run_snippets.py", library],
        input=json.dumps(snippets),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "COLUMNS": "80"},
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, object]]:
    snippets = [*SAME, *DIFFERENT]
    theirs = run(PYTHON_021, "docarray", snippets, tmp_path_factory.mktemp("theirs"))
    ours = run(sys.executable, "jina", snippets, tmp_path_factory.mktemp("ours"))
    return {snippet: pair for snippet, *pair in zip(snippets, theirs, ours, strict=True)}


@pytest.mark.parametrize("snippet", SAME)
def test_gives_what_docarray_021_gives(snippet: str, results: dict[str, tuple[object, object]]) -> None:
    theirs, ours = results[snippet]
    assert ours == theirs


@pytest.mark.parametrize("snippet", DIFFERENT)
def test_differs_only_as_said(snippet: str, results: dict[str, tuple[object, object]]) -> None:
    expected_theirs, expected_ours, _reason = DIFFERENT[snippet]
    theirs, ours = results[snippet]
    assert theirs == expected_theirs
    assert ours == expected_ours
