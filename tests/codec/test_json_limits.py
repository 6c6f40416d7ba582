"""What is told of JSON without parsing it is what parsing tells."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.codec.json_text import deeper_than, more_documents_than, nested_deeper_than
from jina.codec.raw_fields import more_documents_than as more_in_protobuf

TEXTS = st.text(st.sampled_from('ab{}[]"\\\n/é'), max_size=6)
VALUES = st.recursive(
    TEXTS | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def depth(value):
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES, st.integers(0, 6), st.booleans())
def test_depth(value, limit, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert deeper_than(limit, text) == nested_deeper_than(limit, value) == (depth(value) > limit)


@pytest.mark.slow
@given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=6), st.integers(0, 7))
def test_documents(documents, limit):
    assert more_documents_than(limit, json.dumps(documents).encode()) == (len(documents) > limit)


def test_a_single_document():
    assert not more_documents_than(1, b'{"a": {"b": [{}, {}]}}')
    assert more_documents_than(0, b'{"a": {"b": [{}, {}]}}')


@pytest.mark.parametrize("text", [b"", b"]", b"{{{", b"[}]", b'"', b'"\\', b"[" * 200, b"}" * 200])
def test_what_is_no_json_is_for_the_parser_to_refuse(text):
    assert isinstance(deeper_than(3, text), bool)
    assert isinstance(more_documents_than(1, text), bool)


@given(st.integers(0, 9), st.integers(0, 9))
def test_documents_of_protobuf(count, limit):
    assert more_in_protobuf(limit, b"\n\x00" * count) == (count > limit)
