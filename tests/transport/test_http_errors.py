"""Errors as JSON bodies."""

from jina.errors import ValidationFailed
from jina.transport.http_bodies import error_content


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
