"""Files for an Executor that is not on the machine of its gateway: inside the message up to 64 MiB, else refused."""

import os

import httpx
import pytest

from jina import Deployment, Executor, File, Flow, requests

MOST = 64 << 20


class Far(Executor):
    """Reads and makes files."""

    @requests(on="/size")
    def size(self, file: File) -> int:
        return file.size

    @requests(on="/made")
    def made(self, size: int) -> File:
        path = os.path.join(os.environ["MADE_IN"], str(size))
        with open(path, "wb") as file:
            file.truncate(size)
        return File.from_path(path)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway whose Executor is reached over gRPC, as one on another machine is."""
    env = {"MADE_IN": str(tmp_path_factory.mktemp("made"))}
    with (
        Deployment(uses=Far, protocol="grpc", env=env, max_message_size=100 << 20) as far,
        Flow(protocol="http", max_message_size=100 << 20).add(host="localhost", port=far.port, external=True) as flow,
        httpx.Client(base_url=f"http://127.0.0.1:{flow.port}", timeout=60) as client,
    ):
        yield client


@pytest.mark.slow
@pytest.mark.parametrize("size", [1000, 60 << 20])
def test_files_travel_inside_the_message(gateway, size):
    assert gateway.post("/size", files={"file": ("a.bin", b"x" * size)}).json() == size
    assert len(gateway.post("/made", json={"size": size}, headers={"accept": "*/*"}).content) == size


@pytest.mark.slow
def test_larger_ones_are_refused_with_what_to_do(gateway):
    refused = gateway.post("/size", files={"file": ("a.bin", b"x" * (MOST + 1))})
    assert refused.status_code == 413, refused.text
    assert "more than 67108864 go to no Executor on another machine" in refused.json()["title"]
    assert "run the Executor on the machine of the server" in refused.json()["help"]
    refused = gateway.post("/made", json={"size": MOST + 1}, headers={"accept": "*/*"})
    assert refused.status_code >= 400, refused.status_code
    assert "67108864" in refused.text
    assert gateway.post("/size", files={"file": ("a.bin", b"x")}).json() == 1
