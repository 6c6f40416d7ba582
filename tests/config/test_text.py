import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.config.types import mapping_of, value_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-1", -1), ("0", 0), ("1.5", 1.5), ("1e5", 1e5), (".5", 0.5), ("-2.", -2.0), ("inf", math.inf),
        ("true", True), ("False", False), ("", None), (" ", None), ("'1'", "1"), ('"x"', "x"), ("abc", "abc"),
        ("007", "007"), ("+5", "+5"), ("1_000", "1_000"), ("0x10", "0x10"), ("1.2.3", "1.2.3"), ("None", "None"),
        ("[1, b, 'c']", [1, "b", "c"]), ("[]", []), ('[1, {"a": [2]}]', [1, {"a": [2]}]), ('{"a": 1}', {"a": 1}),
        ("{x}", "{x}"), ("127.0.0.1", "127.0.0.1"), ("1e", "1e"), ("-", "-"),
    ],
)  # fmt: skip
def test_values(text, value):
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


@given(st.integers() | st.floats(allow_nan=False) | st.booleans())
def test_numbers_are_read_back(value):
    assert value_of(str(value)) == value


@given(st.text())
def test_any_text_is_read_without_error(text):
    value_of(text)


def test_pairs():
    assert mapping_of(["a:1", "b=x:y", "/x:foo", "c="]) == {"a": 1, "b": "x:y", "/x": "foo", "c": None}
    assert mapping_of(['{"a": {"b": 1}}', "c:2"]) == {"a": {"b": 1}, "c": 2}
    assert mapping_of(['/x:{"timeout": 5}']) == {"/x": {"timeout": 5}}


@pytest.mark.parametrize("word", ["a", ":1", "{oops", "=x"])
def test_words_that_are_no_pairs(word):
    with pytest.raises(ValueError):
        mapping_of([word])
