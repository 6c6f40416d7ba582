"""The codec against DocArray on generated classes and documents."""

# ruff: noqa: UP006, UP007, UP035, UP045 - users write both, and DocArray reads List[Doc] only

import contextlib
import string
from typing import Any, Dict, List, Literal, Optional, Tuple, Union

import docarray.proto
import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.typing import AnyTensor, AnyUrl, NdArray
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pydantic import create_model
from tests.codec.compare import same
from tests.codec.documents import Color, Embedded, Text

from jina.codec import pb
from jina.codec.codec import codec_for
from jina.codec.json_text import loads
from jina.codec.protobuf import Fallbacks

TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
INTEGER = st.integers(-(2**31), 2**31 - 1)
FLOAT = st.floats(allow_nan=False)
LOOSE = st.recursive(
    st.none() | st.booleans() | INTEGER | FLOAT | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
ARRAYS = npst.arrays(
    npst.integer_dtypes(endianness="=") | npst.floating_dtypes(endianness="=", sizes=(32, 64)) | npst.boolean_dtypes(),
    npst.array_shapes(min_dims=1, max_dims=3, max_side=3),
)
DOCS = st.builds(lambda text: Text(text=text), TEXT)
EMBEDDED = st.builds(lambda array: Embedded(embedding=array), ARRAYS)

SIMPLE: list[tuple[Any, st.SearchStrategy]] = [
    (str, TEXT),
    (int, INTEGER),
    (float, FLOAT),
    (bool, st.booleans()),
    (bytes, st.binary(max_size=5)),
    (Any, LOOSE),
    (Color, st.sampled_from(Color)),
    (Literal["a", 3, True], st.sampled_from(["a", 3, True])),
    (Union[int, str], INTEGER | TEXT),
    (Union[float, bool, str], FLOAT | st.booleans() | TEXT),
    (AnyUrl, st.just("http://a/b")),
    (NdArray, ARRAYS),
    (AnyTensor, ARRAYS),
    (Text, DOCS),
    (Embedded, EMBEDDED),
    (DocList[Text], st.lists(DOCS, max_size=3)),
    (DocList[Embedded], st.lists(EMBEDDED, max_size=2)),
    (Dict[str, Any], st.dictionaries(TEXT, LOOSE, max_size=3)),
    (Dict[str, float], st.dictionaries(TEXT, FLOAT, max_size=3)),
    (Tuple[int, str], st.tuples(INTEGER, TEXT)),
    (List[Text], st.lists(DOCS, max_size=2)),
    (List[NdArray], st.lists(ARRAYS, max_size=2)),
    (set[int], st.sets(INTEGER, max_size=3)),
    (list[str], st.lists(TEXT, max_size=3)),
    (list[list[int]], st.lists(st.lists(INTEGER, max_size=2), max_size=2)),
]


@st.composite
def documents(draw: Any) -> BaseDoc:
    """A document of a class made up for it."""
    fields: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for name in draw(st.lists(st.text(string.ascii_lowercase, min_size=3, max_size=4), max_size=4, unique=True)):
        annotation, strategy = draw(st.sampled_from(SIMPLE))
        if draw(st.booleans()):
            annotation, strategy = Optional[annotation], strategy | st.none()
        fields["f_" + name] = (annotation, ...)
        values["f_" + name] = draw(strategy)
    return create_model("Generated", __base__=BaseDoc, **fields)(**values)


def not_readable_by_docarray(doc: BaseDoc) -> bool:
    """DocArray reads `Optional[List[Doc]]` and its like wrongly, and makes empty arrays float64."""
    try:
        return not same(type(doc).from_protobuf(doc.to_protobuf()), doc)
    except (ValueError, TypeError):
        return True


@settings(max_examples=80, deadline=None)
@given(documents())
def test_proto_means_what_docarray_means(doc):
    codec = codec_for(type(doc))
    before = Fallbacks.count
    data = codec.to_bytes([doc])
    assert Fallbacks.count == before
    assert docarray.proto.DocListProto.FromString(data) == DocList[type(doc)]([doc]).to_protobuf()
    got = codec.decode(pb.DocListProto.FromString(data))[0]
    assert same(got, doc)
    if not not_readable_by_docarray(doc):
        assert same(got, type(doc).from_protobuf(doc.to_protobuf()))


@settings(max_examples=40, deadline=None)
@given(documents())
def test_json_comes_back(doc):
    assume("inf" not in repr(doc.__dict__))  # JSON has null for them
    codec = codec_for(type(doc))
    text = codec.encode_json([doc])
    got = codec.decode_json(loads(text))[0]
    assert same(codec.decode_json(loads(codec.encode_json([got])))[0], got)
    assert type(got) is type(doc)
    for name, value in dict(doc).items():
        if not isinstance(value, np.ndarray | list | dict | BaseDoc):
            assert same(getattr(got, name), value)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_crash_the_codec(data):
    from jina.errors import BadRequest, ValidationFailed

    with contextlib.suppress(BadRequest, ValidationFailed):
        codec_for(Embedded).from_bytes(data)


@pytest.mark.parametrize("junk", [None, 1, "x", [], {}, [1], {"text": []}, {"text": {"a": 1}}])
def test_no_json_crashes_the_codec(junk):
    from jina.errors import ValidationFailed

    with pytest.raises(ValidationFailed) as caught:
        codec_for(Text).decode_json([{"text": "ok"}, junk], ("body", "data"))
    assert caught.value.errors[0]["loc"][:3] == ["body", "data", 1]
