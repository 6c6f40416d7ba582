"""The codec of plain types, without processes: values, objects given as values, numbers and bytes."""

from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import msgspec
import pytest
from pydantic import BaseModel

from jina.client.post import as_document, payload_of
from jina.codec import pb
from jina.codec.records import record_codec_for
from jina.errors import BadClientInput, ValidationFailed


class Model(BaseModel):
    one: int
    many: list[int] = []
    perhaps: int | None = None


@dataclass
class Data:
    one: int
    many: list[int]
    perhaps: int | None = None


class Typed(TypedDict):
    one: int
    many: NotRequired[list[int]]
    perhaps: NotRequired[int | None]


class Struct(msgspec.Struct):
    one: int
    many: list[int] = []
    perhaps: int | None = None


FORMS = pytest.mark.parametrize("kind", [Model, Data, Typed, Struct])


def through_the_wire(kind, value):
    [found] = record_codec_for(kind).from_bytes(record_codec_for(kind).to_bytes([value]))
    return found


@FORMS
@pytest.mark.parametrize("number", [1, 2**31, -(2**40), 2**53])
def test_integers_come_as_integers(kind, number):
    given = kind(one=number, many=[number], perhaps=number)
    found = through_the_wire(kind, given)
    assert found == given
    one = found["one"] if isinstance(found, dict) else found.one
    assert type(one) is int


@FORMS
def test_integers_beyond_the_wire_are_refused_by_name(kind):
    with pytest.raises(BadClientInput, match=r"\[0\]\.many\[1\]: integer .* is beyond 53 bits"):
        record_codec_for(kind).to_bytes([kind(one=1, many=[1, 2**53 + 1])])


@FORMS
def test_an_object_that_came_as_a_value_is_read(kind):
    """As a step gives it that is annotated dict, or Item | None."""
    data = record_codec_for(dict).to_bytes([{"one": 1, "many": [2**40]}])
    [found] = record_codec_for(kind).from_bytes(data)
    assert found == kind(one=1, many=[2**40])
    for wrong in (record_codec_for(int).to_bytes([1]), record_codec_for(dict).to_bytes([{"many": []}])):
        with pytest.raises(ValidationFailed, match="one"):
            record_codec_for(kind).from_bytes(wrong)


class Valued(BaseModel):
    value: dict[str, int] = {}


def test_a_field_that_is_called_value_is_that():
    assert through_the_wire(Valued, Valued(value={"value": 1})) == Valued(value={"value": 1})


@pytest.mark.parametrize(("kind", "value"), [(str, "\u00fc"), (bytes, b"\x00\xff"), (bytes, b"text"), (str, "")])
def test_text_and_bytes_as_clients_send_them_without_a_class(kind, value):
    payload = payload_of([as_document(value, 0)])
    codec = record_codec_for(kind)
    assert codec.from_bytes(payload.to_bytes()) == [value]
    assert codec.decode_text(payload.to_json()) == [value]
    assert codec.decode_text(b'[{"value":%b}]' % payload.to_json()[1:-1]) == [value]


@pytest.mark.parametrize("kind", [str, bytes])
def test_documents_without_a_text_are_no_text(kind):
    with pytest.raises(ValidationFailed):
        record_codec_for(kind).decode_text(b'[{"id":"1","text":null,"blob":null}]')


class Blob(BaseModel):
    blob: bytes
    more: Any = None


@pytest.mark.parametrize("text", ["aGVsbG8=", "hello", "data:;base64", "data:text/plain,hello"])
def test_text_is_never_taken_for_bytes(text):
    for kind, body in ((Blob, b'[{"blob":"%b"}]'), (bytes, b'[{"value":"%b"}]')):
        with pytest.raises(ValidationFailed, match="bytes come in JSON as a data URL"):
            record_codec_for(kind).decode_text(body % text.encode())
    message = pb.DocListProto()
    message.docs.add().data["blob"].text = text
    with pytest.raises(ValidationFailed, match="bytes come in JSON as a data URL"):
        record_codec_for(Blob).decode(message)
