import pytest

from jina import Client
from tests.client.note_server import running

PROTOCOLS = ("grpc", "http", "websocket")


@pytest.fixture(scope="module")
def server():
    with running() as started:
        yield started


@pytest.fixture(params=PROTOCOLS)
def protocol(request):
    return request.param


@pytest.fixture
def client(server, protocol):
    with Client(host=server.url(protocol)) as made:
        yield made
