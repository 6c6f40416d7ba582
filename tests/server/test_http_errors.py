"""Errors as JSON bodies."""

import json

import pytest

from jina.errors import BadRequest, ValidationFailed
from jina.server.http import error_body, error_content, read_json


def test_faults_of_parameters_are_placed_from_the_body_on():
    faults = [
        {"type": "missing", "loc": ["parameters", "limit"], "msg": "Field required", "input": {}},
        {"type": "missing", "loc": ["body", "data", 0, "text"], "msg": "Field required", "input": {}},
    ]
    content = error_content(ValidationFailed("wrong", errors=faults))
    assert [fault["loc"] for fault in content["detail"]] == [
        ["body", "parameters", "limit"],
        ["body", "data", 0, "text"],
    ]
    assert content["errors"] == content["detail"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"execEndpoint": "/\xe7", "data": []}', BadRequest),
        (b'{"header": {"request_id": "\xff"}, "data": [NaN]}', BadRequest),
        (b'{"parameters": {"a": "\\ud800"}}', BadRequest),
        (b'{"data": [NaN], "parameters": {"a": "\\uDFFF"}}', BadRequest),
        (b'{"data": [], "header": ' + b'{"a":' * 100_000, BadRequest),
        (b'{"a": NaN, "b": ' + b"[" * 100_000, BadRequest),
        (b'{"parameters": {"a": NaN}, "header": "text"}', ValidationFailed),
        (b'{"data": [NaN], "execEndpoint": 5}', ValidationFailed),
    ],
)
def test_bodies_that_are_the_clients_fault(body, kind):
    with pytest.raises(kind):
        read_json(body).payload.items()


def test_whole_surrogate_pairs_are_text():
    assert read_json(b'{"parameters": {"a": "\\ud83d\\ude00", "n": NaN}}').parameters["a"] == "\U0001f600"


def test_an_error_about_half_a_surrogate_pair_can_be_told():
    body = error_body(ValidationFailed("wrong", errors=[{"type": "x", "loc": ["a"], "msg": "m", "input": "\ud800"}]))
    assert json.loads(body)["errors"][0]["input"] == "\ud800"
