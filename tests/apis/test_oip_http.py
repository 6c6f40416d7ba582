"""The Open Inference Protocol over HTTP, as raw requests, of one Executor and through a Flow."""

from __future__ import annotations

import json
import struct
import urllib.error
import urllib.request

import pytest

from jina import Deployment, Flow
from tests.apis.oip_echo import Echo


@pytest.fixture(scope="module", params=["deployment", "flow"])
def port(request):
    if request.param == "deployment":
        service = Deployment(uses=Echo, protocol="http", apis="oip")
    else:
        service = Flow(protocol="http", apis="oip").add(uses=Echo).add()
    with service:
        yield service.port


def ask(port, path, content=None, headers=None):
    """Status, headers and body; a POST where there is content."""
    body = content if content is None or isinstance(content, bytes) else json.dumps(content).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def found(port, path):
    status, _, body = ask(port, path)
    assert status == 200
    return json.loads(body)


def test_health_and_metadata(port):
    assert found(port, "/v2/health/live") == {"live": True}
    assert found(port, "/v2/health/ready") == {"ready": True}
    assert found(port, "/v2")["extensions"] == ["binary_tensor_data"]
    assert found(port, "/v2/models") == {"models": ["echo", "fail", "norm", "ragged"]}
    for path in ("/v2/models/norm", "/v2/models/norm/versions/1"):
        assert found(port, path)["inputs"] == [{"name": "vector", "datatype": "FP32", "shape": [-1, 3]}]
        assert found(port, f"{path}/ready") == {"name": "norm", "ready": True}


def test_a_request_in_json(port):
    vector = {"name": "vector", "datatype": "FP32", "shape": [2, 3], "data": [[3, 4, 0], [0, 0, 2]]}
    content = {"id": "7", "inputs": [vector], "parameters": {"label": "a"}}
    status, _, body = ask(port, "/v2/models/norm/infer", content)
    assert status == 200
    assert json.loads(body) == {
        "model_name": "norm",
        "model_version": "1",
        "id": "7",
        "outputs": [
            {"name": "norm", "datatype": "FP64", "shape": [2], "data": [5.0, 2.0]},
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["a", "a"]},
        ],
    }
    _, _, body = ask(port, "/v2/models/norm/infer", {**content, "outputs": [{"name": "norm"}]})
    assert [one["name"] for one in json.loads(body)["outputs"]] == ["norm"]


def test_a_request_with_binary_tensors(port):
    data = struct.pack("<6f", 3, 4, 0, 0, 0, 2)
    size = {"binary_data_size": len(data)}
    vector = {"name": "vector", "datatype": "FP32", "shape": [2, 3], "parameters": size}
    outputs = [{"name": "norm", "parameters": {"binary_data": True}}, {"name": "label"}]
    head = json.dumps({"inputs": [vector], "outputs": outputs}).encode()
    given = {"inference-header-content-length": str(len(head))}
    status, headers, body = ask(port, "/v2/models/norm/infer", head + data, given)
    assert status == 200
    size = int(headers["inference-header-content-length"])
    assert struct.unpack("<2d", body[size:]) == (5.0, 2.0)
    norm, label = json.loads(body[:size])["outputs"]
    assert norm["parameters"] == {"binary_data_size": 16}
    assert label["data"] == ["", ""]


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/v2/models/nothing/infer", {"inputs": []}, 404),
        ("/v2/models/norm/versions/2/infer", {"inputs": []}, 404),
        ("/v2/models/norm/infer", b"{", 400),
        ("/v2/models/norm/infer", [], 400),
        ("/v2/models/norm/infer", {}, 400),
        ("/v2/models/norm/infer", {"inputs": []}, 422),
        ("/v2/models/fail/infer", {"inputs": [{"name": "number", "datatype": "INT8", "shape": [1], "data": [1]}]}, 500),
        (
            "/v2/models/ragged/infer",
            {"inputs": [{"name": "x", "datatype": "INT8", "shape": [2, 2], "data": [1, 2, 3, 4]}]},
            500,
        ),
        (
            "/v2/models/echo/infer",
            {
                "inputs": [{"name": "number", "datatype": "INT8", "shape": [1], "data": [1]}],
                "outputs": [{"name": "numbr"}],
            },
            400,
        ),
    ],
)
def test_errors_are_said_in_the_form_of_the_protocol(port, path, content, status):
    answered, _, body = ask(port, path, content)
    assert answered == status
    assert list(json.loads(body)) == ["error"]


def test_another_method_is_refused_in_the_same_form(port):
    status, headers, body = ask(port, "/v2/models/norm/infer")
    assert (status, headers["allow"]) == (405, "POST")
    assert json.loads(body)["error"]


def test_keys_bound_models():
    keys = {"all": "the-k1-of-many", "one": {"key": "the-k2-of-many", "endpoints": ["/norm"]}}
    with Deployment(uses=Echo, protocol="http", apis="oip", api_keys=keys) as service:
        content = {"inputs": [{"name": "number", "datatype": "INT8", "shape": [1], "data": [1]}]}
        status, _, body = ask(service.port, "/v2/models/echo/infer", content)
        assert status == 401
        assert list(json.loads(body)) == ["error"]
        assert ask(service.port, "/v2/models/echo/infer", content, {"x-api-key": "the-k2-of-many"})[0] == 403
        assert ask(service.port, "/v2/models/echo/infer", content, {"x-api-key": "the-k1-of-many"})[0] == 200
