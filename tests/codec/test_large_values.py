"""Large arrays are written by hand, and mean what DocArray's messages mean."""

import docarray.proto
import numpy as np
import pytest
from docarray import DocList
from tests.codec.compare import same
from tests.codec.documents import Embedded, Tensors, floats

from jina.codec import large_values
from jina.codec.codec import codec_for
from jina.errors import BadClientInput

LARGE = large_values.LARGE // 4


def docs(array: np.ndarray) -> DocList[Tensors]:
    return DocList[Tensors](
        [
            Tensors(id="a", plain=array, any_tensor=floats(3), embedding=array, image=array),
            Tensors(id="b", plain=floats(2), listed=[array]),
            Tensors(id="ü", plain=array),
        ]
    )


@pytest.mark.parametrize(
    "array",
    [
        floats(LARGE),
        floats(LARGE - 1),
        floats(2, LARGE)[:, ::2],
        floats(2, LARGE).T,
        floats(LARGE, dtype=">f8"),
        np.ones((1, LARGE * 4), dtype=bool),
        floats(LARGE * 40),
    ],
)
def test_written_and_read_as_docarray_does(array):
    given = docs(array)
    data = codec_for(Tensors).to_bytes(given)
    assert docarray.proto.DocListProto.FromString(data) == given.to_protobuf()
    assert same(list(codec_for(Tensors).from_bytes(data)), list(given))
    assert codec_for(Tensors).to_bytes(given) == data


def test_no_documents():
    assert codec_for(Embedded).to_bytes(DocList[Embedded]()) == b""


def test_errors_name_the_document_and_the_field():
    bad = np.zeros(LARGE * 4, dtype="V4")
    with pytest.raises(BadClientInput, match=r"Tensors\[1\]\.plain: dtype .* does not travel"):
        codec_for(Tensors).to_bytes([Tensors(plain=floats(LARGE)), Tensors(plain=bad)])
    with pytest.raises(BadClientInput, match=r"Embedded\[0\]\.id"):
        doc = Embedded(embedding=floats(LARGE))
        doc.__dict__["id"] = 2**60
        codec_for(Embedded).to_bytes([doc])
