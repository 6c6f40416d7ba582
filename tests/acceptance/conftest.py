"""One served Executor for the tests that only ask it."""

import pytest

PROTOCOLS = ("grpc", "http", "websocket")


@pytest.fixture(scope="session")
def desk():
    """`Desk` on all protocols."""
    from jina import Deployment
    from tests.acceptance.services import Desk

    with Deployment(
        uses=Desk,
        max_inflight=6,
        protocol=list(PROTOCOLS),
        max_message_size=200_000,
        host="127.0.0.1",
        quiet=True,
    ) as served:
        yield served


@pytest.fixture(params=PROTOCOLS)
def protocol(request):
    return request.param


@pytest.fixture
def port(desk, protocol):
    return desk.ports[PROTOCOLS.index(protocol)]


@pytest.fixture
def client(port, protocol):
    from jina import Client

    with Client(host="127.0.0.1", port=port, protocol=protocol) as made:
        yield made


@pytest.fixture
def state(desk):
    """Ask `/state` of the desk, over a connection of its own."""

    def ask(endpoint="/state", **parameters):
        (response,) = desk.post(endpoint, parameters=parameters, return_responses=True)
        (found,) = response.parameters["__results__"].values()
        return found

    return ask


@pytest.fixture(scope="session")
def line():
    """A Flow of three steps in a row on all protocols."""
    from jina import Flow
    from tests.acceptance.flow_services import First, Last, Middle

    flow = Flow(
        protocol=list(PROTOCOLS),
        host="127.0.0.1",
        quiet=True,
        max_message_size=200_000,
        cors=True,
        title="Line",
        description="Three in a row",
    )
    flow = flow.add(name="first", uses=First).add(name="middle", uses=Middle).add(name="last", uses=Last)
    with flow as running:
        yield running


@pytest.fixture
def port_of(line):
    """The port of each protocol."""
    return dict(zip(PROTOCOLS, (listener.port for listener in line.plan.gateway.listeners), strict=True))
