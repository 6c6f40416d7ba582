"""The codec stays far cheaper than DocArray's own conversion; ratios within one run, so that load does not matter."""

import time

import pytest
from docarray import DocList
from tests.codec.documents import Embedded, Text, floats

from jina.codec import pb
from jina.codec.codec import codec_for


def cpu(action) -> float:
    """The least CPU seconds of five runs."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        action()
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize(
    ("docs", "decode", "encode"),
    [
        (DocList[Text]([Text(text="hello")] * 100), 8, 2),
        (DocList[Embedded]([Embedded(embedding=floats(768))] * 100), 5, 1.5),
    ],
    ids=["text", "embedding"],
)
def test_ratio_to_docarray(docs, decode, encode):
    codec = codec_for(docs.doc_type)
    theirs = docs.to_protobuf()
    ours = pb.DocListProto.FromString(theirs.SerializeToString())
    codec.decode(ours)
    assert cpu(lambda: type(docs).from_protobuf(theirs)) > decode * cpu(lambda: codec.decode(ours))
    assert cpu(docs.to_protobuf) > encode * cpu(lambda: codec.encode(docs, pb.DocListProto()))
