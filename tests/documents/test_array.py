import copy
import pickle
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from docarray import BaseDoc, DocList

from jina.documents import Document, DocumentArray
from jina.documents.paths import parse_paths
from jina.errors import ConfigError, NotSupportedError
from jina.observe import terminal


class Page(BaseDoc):
    text: str


class Typed(BaseDoc):
    price: int


def named(*ids: str) -> DocumentArray:
    return DocumentArray([Document(id=name, text=name.upper()) for name in ids])


def nested() -> DocumentArray:
    """Two documents with two chunks each; the first chunk of each has a match."""
    return DocumentArray(
        Document(
            id=root,
            chunks=[Document(id=f"{root}0", matches=[Document(id=f"{root}0m")]), Document(id=f"{root}1")],
        )
        for root in "ab"
    )


def upper(doc: Document) -> Document:
    doc.text = doc.text.upper()
    return doc


@pytest.mark.parametrize(
    "given",
    [
        Document(text="a"),
        {"text": "a"},
        [Document(text="a")],
        ({"text": "a"} for _ in range(1)),
        DocumentArray([Document(text="a")]),
        DocList[Page]([Page(text="a")]),
    ],
)
def test_constructors(given):
    docs = DocumentArray(given)
    assert docs.texts == ["a"]
    assert isinstance(docs, DocList)
    assert type(docs[0]) is Document


def test_empty_ones():
    assert len(DocumentArray()) == 0
    assert not DocumentArray()
    assert len(DocumentArray.empty(3)) == 3
    assert len(set(DocumentArray.empty(3).ids)) == 3


def test_subscript_gives_docarrays_own_lists():
    assert DocumentArray[Typed] is DocList[Typed]
    assert DocumentArray[Document] is DocumentArray


def test_typed_documents_put_in_become_schemaless_and_keep_their_fields():
    docs = DocumentArray([Typed(price=3)])
    docs.append(Typed(price=4))
    docs[0].text = "added"
    assert [doc.price for doc in docs] == [3, 4]
    assert docs[:, "price"] == [3, 4]
    assert docs.find({"price": {"$gt": 3}}).texts == [""]


@pytest.mark.parametrize("wrong", [3, "text", None])
def test_anything_else_is_refused(wrong):
    docs = DocumentArray()
    for call in (lambda: DocumentArray([wrong]), lambda: docs.append(wrong), lambda: docs.insert(0, wrong)):
        with pytest.raises(TypeError, match="a DocumentArray holds documents"):
            call()
    with pytest.raises(TypeError, match="append takes one"):
        docs.extend(Document())


def test_ids_are_found_after_every_kind_of_change():
    docs = named(*"abcdef")
    assert docs["c"].id == "c"
    docs.insert(0, Document(id="z"))
    assert docs["c"] is docs[3]
    del docs["a"]
    docs.pop(0)
    docs.reverse()
    docs[0] = Document(id="n")
    docs += named("x")
    docs.sort(key="id")
    docs[1:2] = named("p", "q")
    for position, doc in enumerate(docs):
        assert docs[doc.id] is doc
        assert docs.index(doc.id) == position
    assert "a" not in docs
    docs[0].id = "renamed"
    assert docs["renamed"] is docs[0]
    with pytest.raises(KeyError):
        docs["b"]
    docs[:, "id"] = [str(n) for n in range(len(docs))]
    assert docs["0"] is docs[0]


def test_index_remove_count():
    docs = named("a", "b", "a")
    assert docs.index(docs[1]) == 1
    assert docs.index("a", 1) == 2
    assert docs.count(docs[0]) == 2
    docs.remove("b")
    assert docs.ids == ["a", "a"]
    with pytest.raises(ValueError, match="no document with id 'q'"):
        docs.remove("q")


def test_add_and_multiply():
    docs = named("a")
    both = docs + named("b") + Document(id="c") + [Document(id="d")]
    assert both.ids == ["a", "b", "c", "d"]
    assert docs.ids == ["a"]
    assert docs.copy() == docs
    assert docs.copy() is not docs
    docs.extend(docs)
    assert docs.ids == ["a", "a"]


def test_pickle_and_copies_also_after_a_look_up():
    docs = named("a", "b")
    assert docs["b"].text == "B"
    assert pickle.loads(pickle.dumps(docs)) == docs
    deep = copy.deepcopy(docs)
    assert deep == docs
    assert deep[0] is not docs[0]
    assert type(deep) is DocumentArray


@pytest.mark.parametrize(
    ("index", "ids"),
    [
        (slice(1, None), "bc"),
        ([2, 0], "ca"),
        (["c", 0], "ca"),
        (("a", "c"), "ac"),
        ((True, False, True), "ac"),
        ([True], "a"),
        (np.array([2, 1]), "cb"),
        (np.array([False, False, True]), "c"),
        (range(2), "ab"),
        ([-1], "c"),
        ([], ""),
        (None, "abc"),
        (..., "abc"),
    ],
)
def test_selections(index, ids):
    found = named("a", "b", "c")[index]
    assert type(found) is DocumentArray
    assert found.ids == list(ids)


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (9, IndexError),
        ([9], IndexError),
        ("q", KeyError),
        (["q"], KeyError),
        (1.5, IndexError),
        ([1.5], IndexError),
        ([None], TypeError),
        ([True] * 4, IndexError),
        ("@x", ValueError),
        ("@c[a]", ValueError),
        ((slice(None), "nope"), AttributeError),
    ],
)
def test_wrong_indices(index, error):
    docs = named("a", "b", "c")
    with pytest.raises(error):
        docs[index]


def test_set_and_delete_by_selection():
    docs = named("a", "b", "c")
    docs[["a", 2]] = named("x", "y")
    assert docs.ids == ["x", "b", "y"]
    with pytest.raises(ValueError, match="1 documents for 2 places"):
        docs[[0, 1]] = named("q")
    del docs[["x", -1]]
    assert docs.ids == ["b"]
    docs[...] = [Document(id="b", text="new")]
    assert docs["b"].text == "new"
    with pytest.raises(NotSupportedError, match="along a path"):
        del docs["@c"]


def test_columns():
    docs = named("a", "b")
    docs.embeddings = np.arange(4).reshape(2, 2)
    assert docs.embeddings.tolist() == [[0, 1], [2, 3]]
    assert type(docs.embeddings) is np.ndarray
    assert isinstance(docs.embedding, list)
    docs.tags = {"a": 1}
    docs[0].tags["a"] = 2
    assert docs[:, "tags__a"] == [2, 1]
    docs[:, "tags__b__c"] = iter("xy")
    assert docs.tags[1] == {"a": 1, "b": {"c": "y"}}
    del docs[:, ["tags__a", "text"]]
    assert (docs.tags[0], docs.texts) == ({"b": {"c": "x"}}, ["", ""])
    docs[0, ["text", "blob"]] = ["t", b"b"]
    assert docs[0, ["text", "blob"]] == ["t", b"b"]
    docs.uris = ["u", "v"]
    assert docs.url == docs.uri == ["u", "v"]
    del docs.embeddings
    assert docs.embeddings is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda docs: setattr(docs, "texts", ["a"]), "1 values of text for 2 documents"),
        (lambda docs: setattr(docs, "embeddings", np.ones((3, 2))), "3 values of embedding for 2 documents"),
        (lambda docs: docs.__setitem__((slice(None), ["id", "text"]), [["1", "2"]]), "1 columns for 2 attributes"),
    ],
)
def test_wrong_numbers_of_values(change, said):
    with pytest.raises(ValueError, match=said):
        change(named("a", "b"))


def test_columns_that_cannot_be_stacked_say_which():
    docs = DocumentArray([Document(embedding=[1]), Document()])
    with pytest.raises(ValueError, match="document 1 has no embedding"):
        _ = docs.embeddings
    docs[1].embedding = [1, 2]
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        _ = docs.embeddings


def test_paths():
    docs = nested()
    assert docs["@c[-1]"].ids == ["a1", "b1"]
    assert docs["@r[1]c,cm"].ids == ["b0", "b1", "a0m", "b0m"]
    assert docs["@c[-1:]", "id"] == ["a1", "b1"]
    assert [part.ids for part in docs.traverse("c", lambda doc: doc.id.endswith("1"))] == [["a1"], ["b1"]]
    assert docs.traverse_flat("chunks__id") == ["a0", "a1", "b0", "b1"]
    assert docs.flatten().ids == ["a0m", "a0", "a1", "a", "b0m", "b0", "b1", "b"]


def test_reading_along_a_path_sets_nothing():
    docs = named("a")
    assert len(docs["@c,m,cm"]) == len(docs.flatten()) - 1 == 0
    assert docs[0].__dict__["chunks"] is None


@pytest.mark.parametrize("path", ["", "c,", "x", "c[", "c[a]", "cx", "[0]"])
def test_paths_outside_the_grammar(path):
    with pytest.raises(ValueError, match="not a path through documents"):
        parse_paths(path)


def test_set_along_a_path_by_id():
    docs = nested()
    docs["@c[0]"] = [Document(id="a0", text="x"), Document(id="b0", text="y")]
    assert docs["@c[0]", "text"] == ["x", "y"]
    with pytest.raises(ValueError, match="same id"):
        docs["@c[0]"] = named("q", "r")


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_apply(backend):
    docs = DocumentArray(Document(text=text) for text in "abc")
    assert docs.apply(upper, backend=backend, num_worker=1) is docs
    assert docs.texts == ["A", "B", "C"]


def test_apply_with_a_pool_and_progress(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "shared", False)
    docs = DocumentArray(Document(text=text) for text in "abc")
    with ThreadPoolExecutor(1) as pool:
        assert list(docs.map(lambda doc: doc.text, pool=pool, show_progress=True)) == ["a", "b", "c"]
    assert list(docs.map_batch(len, 2)) == [2, 1]
    assert "documents" in capsys.readouterr().out


def test_progress_where_executors_write_to_the_terminal_too(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "shared", True)
    docs = DocumentArray(Document(text=text) for text in "abc")
    assert list(docs.map(lambda doc: doc.text, show_progress=True)) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"\n.*: 3 of 3 done in \d+\.\d s\n", err)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda docs: docs.apply(lambda _: None), TypeError, "None for a document"),
        (lambda docs: docs.apply_batch(lambda _: None, 2), TypeError, "None for a batch"),
        (lambda docs: list(docs.map(len, backend="fork")), ConfigError, "'fork' is not 'thread' or 'process'"),
        (lambda docs: list(docs.batch(0)), ValueError, "batch_size"),
        (lambda docs: docs.split_by_tag("list"), TypeError, "cannot name a group"),
        (lambda docs: docs.to_doc_vec(), NotSupportedError, "needs a schema"),
        (lambda docs: docs.save("x", file_format="yaml"), ConfigError, "'yaml' is not"),
        (lambda docs: DocumentArray.load("x", file_format="yaml"), ConfigError, "'yaml' is not"),
        (lambda docs: DocumentArray.from_json("{}"), ValueError, "JSON array"),
    ],
)
def test_mistakes_are_named(call, error, said):
    with pytest.raises(error, match=said):
        call(DocumentArray([Document(tags={"list": []})]))


def test_order_groups_and_samples():
    docs = DocumentArray(Document(id=str(n), tags={"n": n, "odd": bool(n % 2)}) for n in range(5))
    docs.sort(key="tags__n", reverse=True)
    assert docs.ids == ["4", "3", "2", "1", "0"]
    assert {key: group.ids for key, group in docs.split("odd").items()} == {False: ["4", "2", "0"], True: ["3", "1"]}
    assert docs.sample(3, seed=1) == docs.sample(3, seed=1)
    assert sorted(docs.shuffle(seed=2).ids) == sorted(docs.ids)
    assert [batch.ids for batch in docs.batch(2)] == [["4", "3"], ["2", "1"], ["0"]]


def test_reduce_merges_by_id_at_any_depth():
    ours, theirs = nested(), nested()
    ours["a"].text = "ours"
    theirs["a"].text = "theirs"
    theirs["a"].chunks.append(Document(id="a2"))
    theirs["b"].embedding = [1]
    theirs.append(Document(id="c"))
    assert ours.reduce_all([theirs]) is ours
    assert ours.ids == ["a", "b", "c"]
    assert (ours["a"].text, ours["a"].chunks.ids, ours["b"].embedding.tolist()) == ("ours", ["a0", "a1", "a2"], [1])


def sample() -> DocumentArray:
    return DocumentArray(
        [
            Document(text="a", blob=b"\xff", tags={"n": 1, "s": "x,y"}, chunks=[Document("c")], weight=0.5),
            Document(text="b\n", embedding=[1.5, 2.5], tags={"n": 2}),
        ]
    )


def test_forms_in_memory_read_back():
    docs = sample()
    assert DocumentArray.from_json(docs.to_json(indent=1)) == docs
    assert DocumentArray.from_list(docs.to_list()) == DocumentArray.from_dict(docs.to_dict()) == docs
    assert DocumentArray.from_protobuf(docs.to_protobuf()) == docs
    for protocol in ("protobuf", "protobuf-array", "pickle", "pickle-array", "json-array"):
        assert DocumentArray.from_bytes(docs.to_bytes(protocol=protocol), protocol=protocol) == docs
    assert DocumentArray.from_base64(docs.to_base64(compress="gzip"), compress="gzip") == docs
    assert DocumentArray.from_ndarray(np.eye(2)).tensors.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("file_format", ["binary", "json"])
def test_files_read_back(tmp_path, file_format):
    docs = sample()
    docs.save(str(tmp_path / "docs"), file_format=file_format)
    assert DocumentArray.load(str(tmp_path / "docs"), file_format=file_format) == docs


def test_csv(tmp_path):
    file = tmp_path / "docs.csv"
    docs = sample()
    docs.save(file, file_format="csv")
    again = DocumentArray.load(file, file_format="csv")
    assert (again.texts, again.ids, again.blobs) == (docs.texts, docs.ids, docs.blobs)
    assert again[0].tags == {"n": "1", "s": "x,y"}
    assert again[0].chunks == docs[0].chunks
    assert again[1].embedding.tolist() == [1.5, 2.5]
    assert again[0].weight == 0.5
    docs.save_csv(file, flatten_tags=False)
    assert DocumentArray.load_csv(file) == docs
    file.write_text("title,price\nA,3\n")
    assert DocumentArray.load_csv(file, field_resolver={"title": "text"})[0].tags == {"price": "3"}
    file.write_text("embedding\nnonsense\n")
    with pytest.raises(ValueError, match="column embedding: 'nonsense' is not JSON"):
        DocumentArray.from_csv(str(file))


def test_data_frames_without_pandas_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="pip install pandas"):
        sample().to_dataframe()


@pytest.mark.slow
def test_data_frames():
    pytest.importorskip("pandas")
    docs = sample()
    frame = docs.to_dataframe()
    assert list(frame["text"]) == docs.texts
    assert DocumentArray.from_dataframe(frame) == docs


def test_summary(capsys):
    nested().summary()
    sample().summary()
    DocumentArray().summary()
    assert "Documents Summary" in capsys.readouterr().out
    text = sample().plain_summary()
    assert "Length: 2" in text
    assert "embedding: NdArrayEmbedding" in text
