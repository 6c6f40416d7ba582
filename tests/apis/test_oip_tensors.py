"""Tensors of the Open Inference Protocol: reading them, and documents of them; whatever comes, only refusals go out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.apis.mcp_tools import public_names
from jina.apis.oip import _content, _read_request
from jina.apis.oip_tensors import DATATYPES, DTYPES, models_of, tensor_of_list, tensor_of_raw
from jina.errors import BadRequest, BadServer, TooLarge, UsageError, ValidationFailed
from jina.executor.endpoints import EndpointTable
from jina.worker.service import describe_endpoints
from tests.apis.oip_echo import Echo

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def models():
    endpoints = describe_endpoints(EndpointTable(Echo()))
    return models_of(endpoints, public_names(endpoints))


@pytest.mark.parametrize("datatype", DTYPES)
def test_numbers_go_round(models, datatype):
    array = np.array([[0, 1, 1], [1, 0, 1]], DTYPES[datatype])
    for tensor in (
        tensor_of_raw("x", datatype, [2, 3], array.tobytes()),
        tensor_of_list("x", datatype, [2, 3], array.tolist()),
        tensor_of_list("x", datatype, [2, 3], array.ravel().tolist()),
    ):
        message = models["echo"].documents([tensor], 10)
        assert len(message.docs) == 2
        (back,) = models["echo"].tensors(message, ["x"])
        assert (back.datatype, back.shape) == (datatype, [2, 3])
        assert back.raw() == array.tobytes()
        assert back.listed() == array.ravel().tolist()


def test_bytes_go_round(models):
    raw = b"\x02\x00\x00\x00ab\x00\x00\x00\x00"
    text = tensor_of_raw("text", "BYTES", [2, 1], raw)
    data = tensor_of_raw("data", "BYTES", [2], b"\x01\x00\x00\x00\xff\x00\x00\x00\x00")
    tensors = {one.name: one for one in models["echo"].tensors(models["echo"].documents([text, data], 10), [])}
    assert tensors["text"].raw() == raw
    assert tensors["text"].listed() == ["ab", ""]
    with pytest.raises(BadServer, match="binary"):
        tensors["data"].listed()


def test_values_of_one_document_are_fields(models):
    tensors = [
        tensor_of_list("number", "INT64", [2], [1, -5]),
        tensor_of_list("share", "FP32", [2, 1], [0.5, 1]),
        tensor_of_list("flag", "BOOL", [2], [True, False]),
    ]
    message = models["echo"].documents(tensors, 10)
    assert message.docs[1].data["number"].integer == -5
    found = {one.name: (one.datatype, one.listed()) for one in models["echo"].tensors(message, [])}
    assert found == {"number": ("INT32", [1, -5]), "share": ("FP64", [0.5, 1.0]), "flag": ("BOOL", [True, False])}


def test_models_tell_what_they_take(models):
    assert models["norm"].inputs["vector"].metadata() == {"name": "vector", "datatype": "FP32", "shape": [-1, 3]}
    assert [one.metadata() for one in models["norm"].outputs.values()] == [
        {"name": "norm", "datatype": "FP64", "shape": [-1]},
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
    ]


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("FP128", [1], [1]),
        (None, [1], [1]),
        ("INT8", [1], [300]),
        ("UINT8", [1], [-1]),
        ("INT64", [1], [2**70]),
        ("INT64", [1], [1.5]),
        ("BOOL", [1], [1]),
        ("FP32", [1], ["1"]),
        ("FP32", [1], [True]),
        ("BYTES", [1], [1]),
        ("BYTES", [1], ["\ud800"]),
        ("FP32", [2], [1]),
        ("FP32", [-1], [1]),
        ("FP32", [True], [1]),
        ("FP32", "1", [1]),
        ("FP32", [1] * 40, [1]),
        ("FP32", [1], {"a": 1}),
        ("FP32", [0, 2**61], []),
    ],
)
def test_what_is_no_tensor_is_refused(datatype, shape, data):
    with pytest.raises(BadRequest):
        tensor_of_list("x", datatype, shape, data)


@pytest.mark.parametrize("raw", [b"\x01", b"\x02\x00\x00\x00a", b"\x00\x00\x00\x00\x00\x00\x00\x00", b""])
def test_bytes_that_are_cut_are_refused(raw):
    with pytest.raises(BadRequest):
        tensor_of_raw("x", "BYTES", [1], raw)


def test_inputs_have_to_fit_the_model(models):
    vector = tensor_of_list("vector", "FP32", [1, 3], [1, 2, 3])
    for wrong, error in (
        ([], ValidationFailed),
        ([vector, vector], BadRequest),
        ([tensor_of_list("vektor", "FP32", [1, 3], [1, 2, 3])], ValidationFailed),
        ([tensor_of_list("vector", "FP64", [1, 3], [1, 2, 3])], ValidationFailed),
        ([tensor_of_list("vector", "FP32", [], [1])], BadRequest),
    ):
        with pytest.raises(error):
            models["norm"].documents(wrong, 10)
    echo = models["echo"]
    number = tensor_of_list("number", "INT64", [2], [1, 2])
    for others in (
        [number, tensor_of_list("flag", "BOOL", [1], [True])],
        [tensor_of_list("number", "INT64", [1], [2**40])],
        [tensor_of_list("number", "FP32", [1], [1])],
        [tensor_of_list("number", "INT64", [1, 2], [1, 2])],
        [tensor_of_list("text", "INT64", [1], [1])],
        [tensor_of_list("x", "BYTES", [1], ["a"])],
        [tensor_of_raw("text", "BYTES", [1], b"\x01\x00\x00\x00\xff")],
    ):
        with pytest.raises(UsageError):
            echo.documents(others, 10)
    with pytest.raises(TooLarge):
        echo.documents([tensor_of_list("x", "FP32", [10**9, 0], [])], 10)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*DATATYPES, "X"]) | JSON_VALUES, JSON_VALUES | st.lists(st.integers(0, 3)), JSON_VALUES)
def test_any_tensor_is_read_or_refused(datatype, shape, data):
    try:
        tensor = tensor_of_list("x", datatype, shape, data)
    except BadRequest:
        return
    assert tensor.shape == shape


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["id", "inputs", "outputs", "parameters"]),
        JSON_VALUES
        | st.lists(
            st.fixed_dictionaries(
                {}, optional={"name": JSON_VALUES, "parameters": JSON_VALUES | st.just({"binary_data_size": 1}),
                              "datatype": st.sampled_from(DATATYPES), "shape": st.just([1]), "data": JSON_VALUES}
            ),
            max_size=2,
        ),
    ),
    st.binary(max_size=4),
)  # fmt: skip
def test_any_request_is_read_or_refused(content, binary):
    try:
        asked, _ = _read_request(content, memoryview(binary))
    except BadRequest:
        return
    assert isinstance(asked.ident, str)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.none() | st.text(max_size=5) | st.integers(-1, 50).map(str))
def test_any_body_is_read_or_refused(body, header):
    try:
        content, _ = _content(body, header)
    except BadRequest:
        return
    assert isinstance(content, dict)
