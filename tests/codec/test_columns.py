"""`DocVec` by columns, as DocArray writes it."""

import docarray.proto
import numpy as np
import pytest
from docarray import BaseDoc, DocList, DocVec
from docarray.typing import NdArray
from tests.codec.compare import same
from tests.codec.documents import Embedded, Text, floats

from jina.codec import pb
from jina.codec.columns import decode_columns, encode_columns
from jina.documents.docarray_patches import ensure_docvec
from jina.errors import BadClientInput, ValidationFailed


class Row(BaseDoc):
    text: str
    embedding: NdArray
    nested: Embedded
    several: DocList[Text]
    absent: NdArray | None = None
    absent_doc: Text | None = None
    absent_docs: DocList[Text] | None = None
    count: int = 1


def rows() -> DocVec[Row]:
    ensure_docvec()
    return DocVec[Row](
        [
            Row(
                id=str(number),
                text="x" * number,
                embedding=floats(3) + number,
                nested=Embedded(id=f"e{number}", embedding=floats(2, 2)),
                several=DocList[Text]([Text(id="t", text="a")] * (number + 1)),
            )
            for number in range(3)
        ]
    )


def test_written_as_docarray_does():
    message = pb.DocVecProto()
    encode_columns(rows(), message)
    assert docarray.proto.DocVecProto.FromString(message.SerializeToString()) == rows().to_protobuf()


def test_read_as_docarray_does():
    theirs = rows().to_protobuf()
    got = decode_columns(Row, pb.DocVecProto.FromString(theirs.SerializeToString()))
    expected = DocVec[Row].from_protobuf(theirs)
    assert type(got) is type(expected)
    assert got.text == expected.text
    assert same(got.embedding, expected.embedding)
    assert same(got.nested.embedding, expected.nested.embedding)
    assert [docs.text for docs in got.several] == [docs.text for docs in expected.several]
    assert got.absent is None
    assert got.absent_doc is None
    assert got[1].count == 1
    message = pb.DocVecProto()
    encode_columns(got, message)
    assert docarray.proto.DocVecProto.FromString(message.SerializeToString()) == theirs


def test_what_does_not_fit_is_named():
    message = pb.DocVecProto()
    encode_columns(rows(), message)
    message.tensor_columns["embedding"].dense.buffer = b"1"
    with pytest.raises(ValidationFailed, match="Row: embedding"):
        decode_columns(Row, message)
    message = pb.DocVecProto()
    message.any_columns["stranger"].data.add()
    with pytest.raises(ValidationFailed, match="no field 'stranger'"):
        decode_columns(Row, message)
    docs = rows()
    docs._storage.any_columns["count"][1] = 2**40
    with pytest.raises(BadClientInput, match="column count: integer"):
        encode_columns(docs, pb.DocVecProto())
    docs = rows()
    docs._storage.tensor_columns["embedding"] = np.array([object()]).view(NdArray)
    with pytest.raises(BadClientInput, match="column embedding: dtype object"):
        encode_columns(docs, pb.DocVecProto())
