"""Documents as JSON: what comes in, what goes out, and that it is reversible."""

import datetime as dt
import json
import math
from typing import Any

import numpy as np
import pytest
from docarray import BaseDoc, DocList
from docarray.documents import TextDoc
from docarray.typing import NdArray
from pydantic import ConfigDict, Field, computed_field, field_serializer
from tests.codec.compare import same
from tests.codec.documents import Beyond, Containers, Embedded, Links, Nested, Scalars, Text, floats, samples

from jina.codec.codec import codec_for
from jina.codec.json_text import bytes_to_text, dumps, loads, text_to_bytes
from jina.errors import BadClientInput, BadRequest, ValidationFailed

SAMPLES = samples()


def through(doc: Any) -> Any:
    codec = codec_for(type(doc))
    return codec.decode_json(loads(codec.encode_json([doc])))[0]


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in {"tensors_full", "wide", "containers_full"}])
def test_documents_come_back(name):
    doc = SAMPLES[name]
    got = through(doc)
    for field, value in dict(doc).items():
        other = getattr(got, field)
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, other)
            assert type(value) is type(other)
        elif field not in {"maybe", "maybe_several", "deeper"}:
            assert same(value, other), field
    assert list(got.__dict__) == list(doc.__dict__)


def test_all_fields_are_shown_in_order_with_nulls():
    shown = loads(codec_for(Scalars).encode_json([Scalars(id="s", text="x", blob=b"ab")]))[0]
    assert list(shown) == list(Scalars.model_fields)
    assert shown["maybe_text"] is None
    assert shown["color"] == "red"
    assert shown["size"] == 1
    assert shown["blob"] == "ab"


def test_one_document_and_none():
    assert codec_for(Text).encode_json_doc(Text(id="t", text="é")) == '{"id":"t","text":"é"}'.encode()
    assert codec_for(Text).encode_json([]) == b"[]"
    assert codec_for(Text).decode_json([]) == DocList[Text]()


def test_ids_are_generated_kept_or_null():
    given, absent, null = codec_for(Text).decode_json([{"id": "a", "text": ""}, {"text": ""}, {"id": None, "text": ""}])
    assert given.id == "a"
    assert len(absent.id) == 32
    assert null.id is None
    assert absent.__pydantic_fields_set__ == {"text"}


def test_dates_and_other_values_come_back():
    doc = Beyond(when=dt.datetime(2024, 5, 6, 7, 8, 9, 123, tzinfo=dt.UTC))
    shown = loads(codec_for(Beyond).encode_json([doc]))[0]
    assert shown["when"] == "2024-05-06T07:08:09.000123Z"
    assert (shown["day"], shown["span"], shown["price"]) == ("2024-02-29", "P1DT2S", "1.10")
    got = through(doc)
    assert {name: getattr(got, name) for name in Beyond.model_fields} == dict(doc)


@pytest.mark.parametrize(
    "value", [b"", b"abc", "ünï".encode(), b"\xff\x00", b"data:;base64,AAAA", b"data:;base64,!", bytes(range(256))]
)
def test_bytes_are_text_or_base64_and_come_back(value):
    class Blob(BaseDoc):
        blob: bytes

    assert through(Blob(blob=value)).blob == value
    assert text_to_bytes(bytes_to_text(value)) == value
    if value == b"\xff\x00":
        assert bytes_to_text(value) == "data:;base64,/wA="


def test_text_that_only_looks_like_base64_is_taken_as_text():
    assert text_to_bytes("data:;base64,***") == b"data:;base64,***"
    assert text_to_bytes("data:text/plain,AAAA") == b"data:text/plain,AAAA"
    assert text_to_bytes("data:, see;base64,AAAA") == b"data:, see;base64,AAAA"


@pytest.mark.parametrize("media", ["image/png", "text/plain;charset=utf-8", "application/x.y+json", "IMAGE/SVG+XML"])
def test_bytes_come_from_the_data_urls_of_browsers(media):
    text = f"data:{media};base64,/wA="
    assert text_to_bytes(text) == b"\xff\x00"
    assert text_to_bytes(bytes_to_text(text.encode())) == text.encode()  # bytes that read like one come back


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 2**64, -(2**63) - 1, 10**40])
def test_integers_of_any_size_come_back(number):
    assert through(Scalars(text="x", count=number)).count == number
    assert through(Containers(tags={"n": [number]})).tags == {"n": [number]}


def test_numbers_that_json_lacks_are_null():
    shown = codec_for(Scalars).encode_json([Scalars(text="x", ratio=math.nan, anything=[math.inf, {"a": -math.inf}])])
    assert loads(shown)[0]["ratio"] is None
    assert loads(shown)[0]["anything"] == [None, {"a": None}]
    got = through(Embedded(embedding=np.array([1.0, math.nan, math.inf])))
    assert np.array_equal(got.embedding, [1.0, math.nan, math.nan], equal_nan=True)
    big = codec_for(Scalars).encode_json([Scalars(text="x", ratio=math.inf, count=2**70)])
    assert loads(big)[0]["ratio"] is None


@pytest.mark.parametrize(
    ("given", "dtype", "shape"),
    [
        ([0.1, 0.2], "float64", (2,)),
        ([1, 2], "int64", (2,)),
        ([1, 0.5], "float64", (2,)),
        ([True], "bool", (1,)),
        ([], "float64", (0,)),
        ([[], []], "float64", (2, 0)),
        ([[1], [2]], "int64", (2, 1)),
        ([None, 1.5], "float64", (2,)),
        (3, "int64", ()),
        (0.5, "float64", ()),
        ("[1, 2]", "int64", (2,)),
        ([2**63], "uint64", (1,)),
    ],
)
def test_lists_become_tensors(given, dtype, shape):
    got = codec_for(Embedded).decode_json([{"embedding": given}])[0].embedding
    assert type(got) is NdArray
    assert (str(got.dtype), got.shape) == (dtype, shape)
    assert got.flags.writeable


@pytest.mark.parametrize("given", [["a"], [[1], [2, 3]], "x", {"a": 1}, None, [{"a": 1}], [[1, [2]]], '"x"', [2**64]])
def test_what_is_no_tensor_is_refused_with_its_place(given):
    if given == [2**64]:
        assert codec_for(Embedded).decode_json([{"embedding": given}])[0].embedding == 2.0**64
        return
    with pytest.raises(ValidationFailed) as caught:
        codec_for(Embedded).decode_json([{"embedding": [1.0]}, {"embedding": given}], ("body", "data"))
    assert caught.value.errors[0]["loc"] == ["body", "data", 1, "embedding"]
    with pytest.raises(ValidationFailed) as caught:
        codec_for(Nested).decode_json([{"one": {"text": "a"}, "maybe": {"embedding": given}}], ("body",))
    assert caught.value.errors[0]["loc"] == ["body", 0, "maybe", "embedding"]


def test_a_bad_neighbour_does_not_send_a_number_into_docarray():
    item = {
        "one": {"text": "a"},
        "maybe": {"id": 5, "embedding": 3},
    }  # the id needs pydantic, the tensor must not see it
    got = codec_for(Nested).decode_json([item])[0]
    assert got.maybe.id == "5"
    assert got.maybe.embedding.shape == ()
    assert got.maybe.embedding == 3


@pytest.mark.parametrize(
    "array",
    [
        floats(2, 3),
        floats(0),
        floats(2, 0),
        floats(4, 4)[:, ::2],
        np.array(1.5),
        floats(2, dtype=">f8"),
        floats(2, dtype=np.float16),
        np.array([True, False]),
        np.array([2**64 - 1], dtype=np.uint64),
        floats(2, dtype="<g"),
    ],
)
def test_tensors_are_shown_as_nested_lists(array):
    shown = loads(codec_for(Embedded).encode_json([Embedded(embedding=array)]))[0]["embedding"]
    assert shown == array.tolist()


def test_tensors_without_a_form_are_refused():
    with pytest.raises(BadClientInput, match="complex128 cannot be written as JSON"):
        codec_for(Embedded).encode_json([Embedded(embedding=np.array([1j]))])


def test_errors_are_those_of_pydantic_with_full_places():
    items = [{"text": "ok"}, {"text": 1}, {"text": "ok"}]
    with pytest.raises(ValidationFailed) as caught:
        codec_for(Text).decode_json(items, ("body", "data"))
    assert caught.value.errors == [
        {"type": "string_type", "loc": ["body", "data", 1, "text"], "msg": "Input should be a valid string", "input": 1}
    ]
    assert str(caught.value) == "Text: body.data.1.text: Input should be a valid string"
    with pytest.raises(ValidationFailed) as caught:
        codec_for(Text).decode_json([{}], ("body", "data"), indexed=False)
    assert caught.value.errors[0]["loc"] == ["body", "data", "text"]
    with pytest.raises(ValidationFailed) as caught:
        codec_for(Nested).decode_json([{"one": {"text": "a"}, "several": [{"text": "a"}, {"text": None}]}])
    assert caught.value.errors[0]["loc"] == [0, "several", 1, "text"]
    with pytest.raises(ValidationFailed) as caught:
        codec_for(Scalars).decode_json([{"count": "x", "flag": "maybe"}])
    assert [found["loc"][-1] for found in caught.value.errors] == ["text", "count", "flag"]
    assert "(and 2 more)" in str(caught.value)
    json.dumps(caught.value.details())


def test_inputs_shown_in_errors_are_short_json():
    with pytest.raises(ValidationFailed) as caught:
        codec_for(Links).decode_json([{"url": {"a": list(range(5000))}}])
    assert caught.value.errors[0]["input"] == "<dict>"


def test_convertible_values_convert_as_with_pydantic():
    item = {"text": "x", "count": "7", "ratio": 3, "flag": "yes", "blob": "ab", "other_id": 5, "maybe_count": 2.0}
    got = codec_for(Scalars).decode_json([item])[0]
    assert same(got, Scalars(**{**item, "id": got.id}))
    assert type(got.ratio) is float


def test_aliases_serializers_and_computed_fields():
    class Special(BaseDoc):
        model_config = ConfigDict(populate_by_name=True)
        text: str = Field(alias="theText")
        vector: NdArray = Field(default=None)
        secret: str = Field(default="s", exclude=True)

        @computed_field
        @property
        def size(self) -> int:
            return len(self.text)

        @field_serializer("text")
        def loud(self, value: str) -> str:
            return value.upper()

    codec = codec_for(Special)
    doc = codec.decode_json([{"theText": "ab", "vector": [1.5]}])[0]
    assert (doc.text, doc.secret) == ("ab", "s")
    shown = loads(codec.encode_json([doc]))[0]
    assert shown == {"id": doc.id, "theText": "AB", "vector": [1.5], "size": 2}
    assert codec.decode_json([{"text": "cd"}])[0].text == "cd"


def test_predefined_and_schemaless_classes():
    got = codec_for(TextDoc).decode_json([{"text": "a", "embedding": [1, 2], "url": "a.txt", "bytes_": "b"}])[0]
    assert (got.text, got.embedding.tolist(), got.url, got.bytes_) == ("a", [1, 2], "a.txt", b"b")


def test_numpy_and_other_values_in_tags():
    tags = {
        "a": np.float32(0.5),
        "b": np.int64(3),
        "c": np.bool_(1),
        "d": np.arange(2),
        "e": {1},
        "f": (1, "x"),
        "g": b"\xff",
    }
    shown = loads(codec_for(Containers).encode_json([Containers(tags=tags)]))[0]["tags"]
    assert shown == {"a": 0.5, "b": 3, "c": True, "d": [0, 1], "e": [1], "f": [1, "x"], "g": "data:;base64,/w=="}
    assert loads(codec_for(Containers).encode_json([Containers(tags={"m": {1: 2, None: 3}})]))[0]["tags"] == {
        "m": {"1": 2, "None": 3}
    }


def test_values_without_a_form_are_refused():
    class Loose(BaseDoc):
        anything: Any = None

    with pytest.raises(BadClientInput, match=r"Loose: .*object cannot be written as JSON"):
        codec_for(Loose).encode_json([Loose(anything=object())])
    cyclic: list = []
    cyclic.append(cyclic)
    with pytest.raises(BadClientInput, match="Loose"):
        codec_for(Loose).encode_json([Loose(anything=cyclic)])


@pytest.mark.parametrize("text", [b"", b"{", b"[1] x", b"nope", b'{"a": "\xff"}', b"[" * 100_000])
def test_what_is_no_json(text):
    with pytest.raises(BadRequest, match="the body is"):
        loads(text)


def test_json_that_jina_3_takes_besides():
    assert loads(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    assert math.isnan(loads(b"[NaN]")[0])
    assert loads(b"[Infinity, 1e400]") == [math.inf, math.inf]
    assert loads(b"[18446744073709551616]") == [2**64]
    assert dumps({"a": 2**64, "b": [math.nan]}) == b'{"a":18446744073709551616,"b":[null]}'
