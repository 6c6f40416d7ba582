"""What is decoded and encoded on threads."""

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.typing import NdArray

from jina.codec.codec import codec_for
from jina.codec.payloads import BytesPayload, JsonPayload, ProtoPayload, size_of
from jina.worker.handler import LARGE, LARGE_FLAT, MANY, slow_to_decode, slow_to_encode


class Flat(BaseDoc):
    text: str = ""
    embedding: NdArray | None = None


class Nested(BaseDoc):
    parts: DocList[Flat] = DocList[Flat]()


def vectors(count, floats):
    return DocList[Flat]([Flat(embedding=np.zeros(floats, np.float32)) for _ in range(count)])


def nested(count):
    return DocList[Nested]([Nested(parts=DocList[Flat]([Flat(text="x" * 30) for _ in range(count)]))])


CASES = [
    (vectors(100, 768), False),
    (vectors(1, LARGE_FLAT // 4), True),
    (vectors(MANY + 1, 200), True),
    (vectors(2, 10), False),
]


@pytest.mark.parametrize(("docs", "slow"), CASES)
def test_protobuf_counts_by_what_it_holds(docs, slow):
    data = codec_for(Flat).to_bytes(docs)
    payload = BytesPayload(data)
    assert slow_to_decode(payload, size_of(payload)) == slow
    parsed = payload.parsed()
    assert size_of(parsed) == len(data)
    assert size_of(ProtoPayload(parsed.message, 7)) == 7
    assert slow_to_decode(parsed, len(data)) == slow
    assert slow_to_encode(docs, as_json=False) == slow


def test_nested_documents_are_slow_sooner():
    docs = nested(6000)
    payload = BytesPayload(codec_for(Nested).to_bytes(docs))
    assert LARGE < size_of(payload) < LARGE_FLAT
    assert slow_to_decode(payload, size_of(payload))


def test_json_is_slow_sooner():
    text = b'[{"text":"' + b"x" * LARGE + b'"}]'
    assert slow_to_decode(JsonPayload(text), size_of(JsonPayload(text)))
    assert not slow_to_decode(JsonPayload(b"[]"), 2)
    docs = DocList[Flat]([Flat(text="x" * LARGE)])
    assert slow_to_encode(docs, as_json=True)
    assert not slow_to_encode(docs, as_json=False)
    assert not slow_to_encode(DocList[Flat](), as_json=True)
