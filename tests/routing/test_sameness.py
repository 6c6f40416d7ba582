"""Equality of values across the forms in which they travel."""

import numpy as np
import pytest

from jina.codec import pb
from jina.routing.conditions import id_of
from jina.routing.merge import is_empty, item_key, same
from tests.routing.plans import Doc, Docs, value

NAN = float("nan")


def node(content, type_name=""):
    message = pb.NodeProto()
    value(message, content)
    if type_name:
        message.type = type_name
    return message


@pytest.mark.parametrize(
    ("content", "base", "expected"),
    [
        (None, None, True),
        (None, 0, False),
        (0, None, False),
        (1.0, 1, True),
        (1.5, 1, False),
        (True, 1, False),
        ("1", 1, False),
        (NAN, NAN, True),
        ([1.0, "a"], [1, "a"], True),
        ([1.0, NAN], [1, NAN], True),
        ([1.0], [1, 2], False),
        ([1.0, 3.0], [1, 2], False),
        ((1.0,), [1], True),
        ((1.0,), (1,), True),
        ({1, 2}, [2, 1], True),
        ({1, 2}, {2, 1}, True),
        ({1, 2}, [1, 1, 2], False),
        ({"a": 1.0}, {"a": 1}, True),
        ({"a": 1.0}, {"b": 1}, False),
        ({"a": 1.0}, {"a": 1, "b": 1}, False),
        (Doc(id="x", a=1.0, b=None), {"a": 1}, True),
        (Doc(id="x", a=1.0, b=2), {"a": 1}, False),
        (Doc(id="x", a=2.0), {"a": 1}, False),
        (Doc(id="x"), {"a": 1}, False),
        (Doc(id="x"), {"a": None}, True),
        (Doc(id="x", a=1.0), Doc(id="x", a=1), True),
        (Doc(id="x", a=1.0), Doc(id="y", a=1), False),
        (Docs([Doc(id="x", a=1.0)]), [{"a": 1}], True),
        (Docs([Doc(id="x", a=1.0)]), Docs([Doc(id="x", a=1)]), True),
        (Docs([Doc(id="x", a=1.0)]), [{"a": 1}, {}], False),
        (Docs([Doc(id="x", a=1.0)]), ["a"], False),
        (np.asarray([0.1, 2], "f4"), [0.1, 2], True),
        (np.asarray([[1], [2]], "i8"), [[1], [2]], True),
        (np.asarray([0.1, NAN]), [0.1, None], True),
        (np.asarray([0.1, 2]), [0.1, 3], False),
        (np.asarray([0.1, 2]), [0.1], False),
        (np.asarray([0.1, 2]), ["a", "b"], False),
        (b"text", "text", True),
        (b"\xff", "data:;base64,/w==", True),
        (b"text", "other", False),
        ([1], "text", False),
    ],
)
def test_same(content, base, expected):
    assert same(node(content), node(base)) is expected


def test_the_name_of_a_type_does_not_matter():
    assert same(node("x", "image_url"), node("x"))


def test_garbled_tensors_are_not_the_same():
    garbled = node(np.zeros(2))
    garbled.ndarray.dense.dtype = "nonsense"
    assert not same(garbled, node([0, 0]))


@pytest.mark.parametrize("content", [None, "", 0, 0.0, False, b"", [], {}, set(), (), Docs()])
def test_empty(content):
    assert is_empty(node(content))


@pytest.mark.parametrize("content", ["x", 1, 0.5, True, b"x", [0], {"": 0}, Docs([Doc()]), Doc(), np.zeros(0)])
def test_not_empty(content):
    assert not is_empty(node(content))


def test_keys_of_items():
    contents = [1, "1", True, b"1", NAN, [1], {"a": 1, "b": 2}]
    keys = [item_key(node(content)) for content in contents]
    assert len(set(keys)) == len(keys)
    assert item_key(node(1.0)) == item_key(node(1))
    assert item_key(node(NAN)) == item_key(node(NAN))
    assert item_key(node({"b": 2, "a": 1})) == item_key(node({"a": 1, "b": 2}))


def test_ids():
    assert id_of({}) is None
    assert id_of({"id": node(None)}) is None
    assert id_of({"id": node("")}) is None
    assert id_of({"id": node("x")}) == "x"
    assert id_of({"id": node(7)}) == "7"
