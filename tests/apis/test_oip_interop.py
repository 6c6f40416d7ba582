"""The official clients of the Open Inference Protocol: tritonclient and kserve, over HTTP and gRPC."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from jina import Deployment, Flow
from tests.apis.oip_echo import Echo

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("env-oip")]


@pytest.fixture(scope="module", autouse=True)
def env():
    subprocess.run(["sh", str(ROOT / "scripts" / "env.sh"), "oip"], check=True, timeout=900)


@pytest.fixture(scope="module", params=["deployment", "flow"])
def addresses(request):
    options = {"protocol": ["http", "grpc"], "apis": "oip"}
    service = (
        Deployment(uses=Echo, **options) if request.param == "deployment" else Flow(**options).add(uses=Echo).add()
    )
    with service:
        yield [f"127.0.0.1:{port}" for port in service.port]


TRITON = """
import sys
import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

NUMBERS = ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"]

def tensor(kind, name, array, **options):
    made = kind.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array, **options)
    return made

def goes_round(kind, client, name, array, **options):
    outputs = [kind.InferRequestedOutput(name, **options)] if options else None
    back = client.infer("echo", [tensor(kind, name, array, **options)], outputs=outputs).as_numpy(name)
    assert back.shape == array.shape, (name, array, back)
    assert back.tolist() == array.tolist(), (name, array, back)

count = 0
for kind, address in zip((tritonclient.http, tritonclient.grpc), sys.argv[1:]):
    client = kind.InferenceServerClient(address)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("echo")
    assert client.get_server_metadata() and client.get_model_metadata("norm")
    forms = [{}] if kind is tritonclient.grpc else [{}, {"binary_data": False}]
    for form in forms:
        for datatype in NUMBERS:
            if datatype == "FP16" and form:
                continue  # the client sends it as bytes alone
            dtype = triton_to_np_dtype(datatype)
            goes_round(kind, client, "x", np.array([[0, 1, 1], [1, 0, 1]], dtype), **form)
            goes_round(kind, client, "x", np.zeros((2, 0), dtype), **form)
            count += 1
        goes_round(kind, client, "text", np.array(["ab".encode(), "\\u00fc".encode()], object))
        count += 1
    goes_round(kind, client, "data", np.array([b"\\xff\\x00", b""], object))
    for model, text in (("nothing", "no model"), ("fail", "ValueError"), ("norm", "missing")):
        try:
            client.infer(model, [tensor(kind, "number", np.array([1], np.int32))] if model != "norm" else [])
        except InferenceServerException as error:
            assert text in error.message(), error
        else:
            raise AssertionError(model)
print(count)
"""

KSERVE = """
import asyncio, sys
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import InferResponse

NUMBERS = {"BOOL": bool, "UINT8": "u1", "UINT16": "u2", "UINT32": "u4", "UINT64": "u8", "INT8": "i1", "INT16": "i2",
           "INT32": "i4", "INT64": "i8", "FP16": "f2", "FP32": "f4", "FP64": "f8"}

def request(model, name, datatype, array, binary):
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return InferRequest(model, [made], request_id="1")

def output(response, name):
    (found,) = [one for one in response.outputs if one.name == name]
    return found.as_numpy()

async def main(http, grpc):
    count = 0
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    base = f"http://{http}"
    assert await rest.is_server_live(base) and await rest.is_server_ready(base)
    assert await rest.is_model_ready(base, "echo")
    async with InferenceGRPCClient(grpc, retries=0) as calls:
        assert await calls.is_server_live() and await calls.is_server_ready() and await calls.is_model_ready("echo")
        for datatype, dtype in NUMBERS.items():
            array = np.array([[0, 1, 1], [1, 0, 1]], dtype)
            for binary in (True, False) if datatype != "FP16" else (True,):
                asked = request("echo", "x", datatype, array, binary)
                assert output(await calls.infer(asked), "x").tolist() == array.tolist(), datatype
                asked = request("echo", "x", datatype, array, binary)
                answered = await rest.infer(base, asked, model_name="echo")
                assert output(answered, "x").tolist() == array.tolist(), datatype
                count += 1
        texts = np.array([b"ab", b"cd"], object)
        assert output(await calls.infer(request("echo", "text", "BYTES", texts, True)), "text").tolist() in (
            [b"ab", b"cd"], ["ab", "cd"])
        count += 1
        for model in ("nothing", "fail"):
            try:
                await calls.infer(request(model, "number", "INT32", np.array([1], "i4"), True))
            except Exception as error:
                assert error.code().name in {"NOT_FOUND", "UNKNOWN"}, error
            else:
                raise AssertionError(model)
    await rest.close()
    print(count)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(("name", "program", "least"), [("triton", TRITON, 38), ("kserve", KSERVE, 24)])
def test_the_client_goes_round(addresses, tmp_path, name, program, least):
    file = tmp_path / "client.py"
    file.write_text(program)
    command = [str(ROOT / ".cache" / f"env-{name}" / "bin" / "python"), str(file), *addresses]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= least
