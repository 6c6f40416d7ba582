"""Parameters keep their types between our peers, and follow the changes of a Jina 3 hop in between."""

import datetime as dt
import enum
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.codec import parameters, pb
from jina.codec.json_text import more_values_than
from jina.errors import BadClientInput, BadRequest


def through(values: dict) -> dict:
    message = pb.DataRequestProto()
    parameters.write(values, message)
    return parameters.read(pb.DataRequestProto.FromString(message.SerializeToString()))


EXACT = {
    "int": 3,
    "float": 3.0,
    "big": 2**53 + 1,
    "bigger": 2**60 + 1,
    "huge": 10**400,
    "negative": -(2**63) - 1,
    "none": None,
    "flag": True,
    "text": "a",
    "nested": {"list": [1, [2.0, None], {"a": {}}], "empty": []},
    "a__k": 1,
    "__results__": {"e/rep-0": {"n": 2}},
}


def test_values_and_types_come_back():
    got = through(EXACT)
    assert got == EXACT
    assert {name: type(value) for name, value in got.items()} == {name: type(value) for name, value in EXACT.items()}
    assert type(got["nested"]["list"][0]) is int
    assert type(got["nested"]["list"][1][0]) is float


def test_special_floats_come_back():
    got = through({"nan": math.nan, "inf": math.inf, "deep": [-math.inf]})
    assert math.isnan(got["nan"])
    assert got["inf"] == math.inf
    assert got["deep"] == [-math.inf]


class Level(enum.Enum):
    HIGH = "high"


def test_what_json_lacks_travels_as_pydantic_shows_it():
    got = through({
        "bytes": b"abc", "when": dt.datetime(2024, 1, 2, tzinfo=dt.UTC), "set": {1}, "tuple": (1, "a"),
        "level": Level.HIGH,
        "array": np.arange(3), "scalar": np.float32(0.5), "deep": [{"x": b"y"}],
    })  # fmt: skip
    assert got == {
        "bytes": "abc", "when": "2024-01-02T00:00:00Z", "set": [1], "tuple": [1, "a"], "level": "high",
        "array": [0, 1, 2], "scalar": 0.5, "deep": [{"x": "y"}],
    }  # fmt: skip


def test_what_cannot_travel_is_named():
    with pytest.raises(BadClientInput, match="a object cannot be sent"):
        through({"a": object()})
    with pytest.raises(BadClientInput, match="key 1 is a int"):
        through({1: 2})  # type: ignore[dict-item]


def test_nothing_writes_nothing():
    message = pb.DataRequestProto()
    parameters.write({}, message)
    assert message.ByteSize() == 0
    assert parameters.read(message) == {}


def test_without_our_field_the_struct_counts():
    message = pb.SingleDocumentRequestProto()
    parameters.write({"a": 1, "b": [2, None]}, message)
    message.ClearField("parameters_json")
    got = parameters.read(message)
    assert got == {"a": 1.0, "b": [2.0, None]}
    assert type(got["a"]) is float


def test_a_hop_that_changed_the_struct_wins_key_by_key():
    message = pb.EnvelopeProto()
    parameters.write({"kept": 2**60 + 1, "changed": 1, "removed": 2, "typed": 1, "deep": {"x": [1, 2]}}, message)
    message.parameters["changed"] = 5
    del message.parameters["removed"]
    message.parameters["typed"] = "1"
    message.parameters["added"] = {"n": 1}
    message.parameters["deep"]["x"][1] = 3
    got = parameters.read(message)
    assert got == {"kept": 2**60 + 1, "changed": 5.0, "typed": "1", "added": {"n": 1.0}, "deep": {"x": [1.0, 3.0]}}
    assert type(got["kept"]) is int


def test_booleans_and_numbers_are_not_confused():
    message = pb.EnvelopeProto()
    parameters.write({"a": True, "b": 1}, message)
    message.parameters["a"] = 1
    message.parameters["b"] = True
    got = parameters.read(message)
    assert got["a"] == 1.0
    assert type(got["a"]) is float
    assert got["b"] is True


@pytest.mark.parametrize("junk", [b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_garbled_json_is_a_bad_request(junk):
    with pytest.raises(BadRequest, match="parameters_json"):
        parameters.read(pb.DataRequestProto(parameters_json=junk))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), VALUES, max_size=4))
def test_any_json_comes_back(values):
    got = through(values)
    assert got == values
    assert sorted(map(str, map(type, got.values()))) == sorted(map(str, map(type, values.values())))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), VALUES, max_size=4))
def test_every_form_counts_the_same_values(values):
    """Parsed, as JSON text, and as a Struct alone; the text is indented, and its strings hold brackets too."""
    values = {'[{,"\\': ']},\\"', **values}
    counted = next(limit for limit in range(10_000) if not more_values_than(limit, values))
    text = pb.DataRequestProto(parameters_json=json.dumps(values, indent=1).encode())
    struct = pb.DataRequestProto()
    parameters.write(values, struct)
    struct.ClearField("parameters_json")
    for message in (text, struct):
        assert not parameters.more_than(counted, message)
        assert parameters.more_than(counted - 1, message)


def test_values_without_a_kind_are_counted():
    """The smallest that a Struct can hold: two bytes each."""
    message = pb.DataRequestProto()
    for _ in range(1000):
        message.parameters.fields["v"].list_value.values.add()
    assert parameters.more_than(1000, message)
    assert not parameters.more_than(1001, message)
