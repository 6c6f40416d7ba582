"""Large documents are read as messages are, without being parsed."""

from __future__ import annotations

import typing

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.typing import ImageBytes, NdArray
from hypothesis import given, settings
from hypothesis import strategies as st

from jina import Document
from jina.codec import large_values, pb
from jina.codec.codec import codec_for
from jina.codec.large_values import has_large_documents, read_docs_bytes
from jina.errors import BadRequest, ValidationFailed

LARGE = large_values.LARGE


class Part(BaseDoc):
    text: str = ""


class Doc(BaseDoc):
    text: str = ""
    maybe: typing.Optional[str] = None  # noqa: UP045
    blob: bytes = b""
    image: typing.Optional[ImageBytes] = None  # noqa: UP045
    array: typing.Optional[NdArray] = None  # noqa: UP045
    count: int = 3
    parts: DocList[Part] = DocList[Part]()
    tags: typing.Dict[str, typing.Any] = {}  # noqa: UP006


sizes = st.sampled_from([0, 1, LARGE - 40, LARGE, LARGE + 1, 3 * LARGE])
documents = st.builds(
    Doc,
    text=sizes.map(lambda n: "é" * (n // 2)),
    blob=sizes.map(lambda n: b"\xff" * n),
    image=sizes.map(lambda n: ImageBytes(b"i" * n)),
    array=st.none() | sizes.map(lambda n: np.arange(n // 4, dtype=np.float32).reshape(-1, 1)),
    count=st.integers(-5, 5),
    parts=st.lists(st.builds(Part, text=sizes.map(lambda n: "p" * n)), max_size=2).map(DocList[Part]),
    tags=sizes.map(lambda n: {"key": "t" * n}),
)


def read_both(doc_type, data):
    codec = codec_for(doc_type)
    return read_docs_bytes(codec, data), codec.decode(pb.DocListProto.FromString(data))


@settings(max_examples=40, deadline=None)
@given(st.lists(documents, max_size=3))
def test_the_same_as_by_messages(docs):
    data = codec_for(Doc).to_bytes(DocList[Doc](docs))
    found, expected = read_both(Doc, data)
    assert codec_for(Doc).to_bytes(found) == codec_for(Doc).to_bytes(expected)
    assert [doc.id for doc in found] == [doc.id for doc in docs]
    for one, other in zip(found, docs, strict=True):
        assert (one.text, one.blob, one.count, one.tags) == (other.text, other.blob, other.count, other.tags)
        assert type(one.image) is type(other.image)
        assert (one.array is None) == (other.array is None)
        assert one.array is None or (one.array.flags.writeable and np.array_equal(one.array, other.array))


def test_schemaless_documents():
    docs = DocList[Document]([Document(blob=b"b" * LARGE, text="x", tags={"a": 1})])
    found, expected = read_both(Document, codec_for(Document).to_bytes(docs))
    assert (found[0].blob, found[0].text, found[0].tags) == (expected[0].blob, "x", {"a": 1})


def test_only_large_documents_are_taken():
    small = codec_for(Doc).to_bytes(DocList[Doc]([Doc(text="x")]))
    large = codec_for(Doc).to_bytes(DocList[Doc]([Doc(blob=bytes(LARGE))]))
    assert not has_large_documents(b"")
    assert not has_large_documents(small * LARGE)
    assert has_large_documents(large)


@pytest.mark.parametrize("cut", [1, LARGE // 2, LARGE + 30])
def test_what_is_cut_short_is_refused(cut):
    data = codec_for(Doc).to_bytes(DocList[Doc]([Doc(blob=bytes(LARGE))]))[:-cut]
    with pytest.raises(BadRequest):
        codec_for(Doc).from_bytes(data)


def test_what_does_not_fit_is_told_as_always():
    class Other(BaseDoc):
        count: bytes = bytes(LARGE)

    with pytest.raises(ValidationFailed, match="count"):
        codec_for(Doc).from_bytes(codec_for(Other).to_bytes(DocList[Other]([Other()])))


def test_entries_of_one_name_are_left_to_messages():
    doc = pb.DocProto()
    doc.data["blob"].blob = bytes(LARGE)
    entry = doc.SerializeToString()
    data = large_values.field_head(1, 2 * len(entry)) + entry * 2
    assert read_docs_bytes(codec_for(Doc), data) is None
    assert len(codec_for(Doc).from_bytes(data)[0].blob) == LARGE
