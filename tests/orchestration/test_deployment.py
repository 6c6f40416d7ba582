"""A Deployment as users hold it. One that runs is shared by the tests that only ask it."""

import asyncio
import gc
import os
import signal
import socket
import threading
import time

import pytest

from jina import Deployment, Gateway
from jina.errors import (
    BadConfigSource,
    ConfigError,
    EndpointNotFound,
    NotSupportedError,
    RuntimeFailToStart,
    Unavailable,
    UsageError,
)


@pytest.fixture(scope="module")
def shop():
    from shop import Shop

    with Deployment(uses=Shop, protocol=["grpc", "http"], host="127.0.0.1", quiet=True) as deployment:
        yield deployment


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_requests_of_one_moment_do_not_wake_the_collector(shop, protocol):
    from shop import Item

    from jina import Client

    async def load(client, rounds):
        for _ in range(rounds):
            await asyncio.gather(*[client.post("/price", [Item(text="pen")]) for _ in range(32)])
        return int((await client.post("/collections", [Item()])).text[0])

    async def both():
        ports = dict(zip(["grpc", "http"], shop.ports, strict=True))
        async with Client(host="127.0.0.1", port=ports[protocol], protocol=protocol, asyncio=True) as client:
            return await load(client, 4), await load(client, 20)

    before, after = asyncio.run(both())
    assert after - before <= 2  # of 640 requests; with a threshold of 700 about one for each 60


def test_post_gives_what_the_endpoint_declares(shop):
    from shop import Item, Priced

    docs = shop.post("/price", [Item(text="pen"), Item(text="paper")])
    assert docs.price == [3, 5]
    assert docs.text == ["penEUR", "paperEUR"]
    assert type(docs[0]) is Priced


def test_post_with_a_return_type_of_ones_own(shop):
    from shop import Item

    doc = shop.post("/price", Item(text="pen"), return_type=Item)
    assert type(doc) is Item
    assert doc.text == "penEUR"


@pytest.mark.parametrize("verb", ["index", "search", "update", "delete"])
def test_named_endpoints(shop, verb):
    from shop import Item

    docs = getattr(shop, verb)(Item(text="pen"), parameters={"mark": "?"})
    assert docs.text == ["pen?"]


def test_stream_of_documents(shop):
    from shop import Item

    async def read():
        return [doc async for doc in shop.stream_doc("/count", Item(text="n"), return_type=Item)]

    assert [doc.text for doc in asyncio.run(read())] == ["n0", "n1", "n2"]


def test_errors_of_requests_pass_through(shop):
    with pytest.raises(EndpointNotFound, match="/price"):
        shop.post("/prise")


def test_what_can_be_asked(shop):
    assert shop.is_ready
    assert shop.protocol == shop.protocols == ["grpc", "http"]
    assert shop.port == shop.ports
    assert len(set(shop.ports)) == 2
    assert (shop.host, shop.hosts) == ("127.0.0.1", ["127.0.0.1"])
    assert (shop.name, shop.num_pods, shop.external, shop.tls_enabled) == ("executor", 1, False, False)
    assert shop.client.port == shop.ports[0]


def test_every_face_answers(shop):
    from shop import Item

    from jina import Client

    client = Client(port=shop.ports[1], protocol="http")
    assert client.post("/price", Item(text="pen"), return_type=Item).text == "penEUR"


def test_inside_a_running_loop():
    """The sync API blocks the loop and works; `async with` does not block it."""
    from shop import Item, Priced

    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        options = {"uses_with": {"currency": "$"}, "host": "127.0.0.1", "quiet": True}
        async with Deployment(uses="shop.Shop", **options) as deployment:
            assert ticks > 5
            docs = deployment.post("/price", Item(text="pen"))
            assert docs.text == ["pen$"]
            assert type(docs[0]) is Priced  # its module is imported here, so the class is known
            ticking.cancel()
        return deployment

    deployment = asyncio.run(main())
    assert not deployment.is_ready


def test_a_worker_that_dies_is_named():
    from shop import Shop

    with Deployment(uses=Shop, host="127.0.0.1", quiet=True, restart_limit=0) as deployment:
        with pytest.raises(Unavailable, match=r"executor \(process \d+\) was killed by signal 9 \(SIGKILL\)"):
            deployment.post("/die")
        assert not deployment.is_ready
        with pytest.raises(Unavailable, match="SIGKILL"):
            deployment.post("/price")
        with pytest.raises(Unavailable, match="SIGKILL"):
            deployment.block()


def test_close_leaves_nothing_and_start_works_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    deployment = Deployment(uses="shop.Shop", host="127.0.0.1", quiet=True)
    threads, descriptors = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    port = deployment.port
    with deployment:
        pid = deployment._processes[0].workers[0].pid
        assert deployment.start() is deployment
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port)).close()
    assert not os.path.exists(f"/proc/{pid}")
    # Those of earlier tests may end, and services of theirs answer who lists all services of this user.
    assert {thread for thread in threading.enumerate() if thread.name != "status"} <= threads
    assert len(os.listdir("/proc/self/fd")) == descriptors - 1  # the port that was held
    assert not list(tmp_path.iterdir())
    socket.create_server(("127.0.0.1", port)).close()
    with deployment:
        assert (deployment.is_ready, deployment.port) == (True, port)
    deployment.close()


def test_a_failed_start_leaves_nothing():
    deployment = Deployment(uses="shop.Missing", host="127.0.0.1", quiet=True)
    threads = set(threading.enumerate())
    with pytest.raises(RuntimeFailToStart, match="Missing"):
        deployment.start()
    # Those of earlier tests may end, and services of theirs answer who lists all services of this user.
    assert {thread for thread in threading.enumerate() if thread.name != "status"} <= threads
    assert not deployment.is_ready


def test_a_deployment_that_nobody_holds_is_closed():
    deployment = Deployment(uses="shop.Shop", host="127.0.0.1", quiet=True, noblock_on_start=True).start()
    assert not deployment.is_ready  # no call waited for it
    deployment.wait_start_success()
    pid = deployment._processes[0].workers[0].pid
    del deployment
    gc.collect()
    assert not os.path.exists(f"/proc/{pid}")


def test_a_cancelled_start_is_ended():
    async def main():
        starting = asyncio.create_task(Deployment(uses="shop.Shop", host="127.0.0.1", quiet=True).__aenter__())
        await asyncio.sleep(0.05)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    threads = set(threading.enumerate())
    asyncio.run(main())
    # Those of earlier tests may end, and services of theirs answer who lists all services of this user.
    assert {thread for thread in threading.enumerate() if thread.name != "status"} <= threads


def test_block_ends_with_its_event():
    deployment = Deployment(uses="shop.Shop", host="127.0.0.1", quiet=True).start()
    before = signal.getsignal(signal.SIGTERM)
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    deployment.block(stop_event=stop)
    assert time.monotonic() - began < 10  # nothing is in flight: no grace time, no poll
    assert not deployment.is_ready
    assert signal.getsignal(signal.SIGTERM) is before


def test_many_deployments_choose_different_ports():
    deployments = [Deployment(uses="shop.Shop", protocol=["grpc", "http"]) for _ in range(50)]
    ports = [port for deployment in deployments for port in deployment.ports]
    assert len(set(ports)) == 100
    for deployment in deployments:
        deployment.close()


# --- without a process ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"replicass": 3}, "did you mean 'replicas'"),
        ({"port": 99999999}, "port"),
        ({"uses": "nope.yml"}, "nope.yml"),
        ({"protocol": "carrier-pigeon"}, "carrier-pigeon"),
    ],
)
def test_wrong_options_are_refused_at_once(options, words):
    with pytest.raises(ConfigError, match=words):
        Deployment(**options)


def test_the_port_is_known_before_the_start():
    assert Deployment(port=12345).port == 12345
    deployment = Deployment(protocol=["grpc", "http"], port=12345)
    assert deployment.ports[0] == 12345
    assert 0 < deployment.ports[1] < 65536
    deployment.close()


def test_requests_need_a_start():
    with pytest.raises(UsageError, match="is not started"):
        Deployment().post("/x", [])
    with pytest.raises(UsageError, match="is not started"):
        Deployment().block()


def test_yaml_and_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = "jtype: Deployment\nwith:\n  name: mine\n  uses: shop.Shop\n  protocol: http\n  port: 12345\n"
    deployment = Deployment.load_config(source, workspace="/w")
    assert (deployment.name, deployment.protocol, deployment.port) == ("mine", "http", 12345)
    assert deployment.workspace == "/w"
    deployment.save_config()
    again = Deployment.load_config("mine.yml")
    assert again.spec.non_defaults() == deployment.spec.non_defaults()
    assert again.to_dict()["with"]["uses"] == "shop.Shop"


def test_yaml_finds_what_lies_beside_it(tmp_path):
    (tmp_path / "executor.yml").write_text("jtype: Shop\npy_modules: my_shop.py\n")
    (tmp_path / "my_shop.py").write_text("from jina import Executor\nclass Shop(Executor): pass\n")
    (tmp_path / "deployment.yml").write_text("jtype: Deployment\nwith:\n  uses: executor.yml\n")
    worker = Deployment.load_config(str(tmp_path / "deployment.yml")).plan.workers[0]
    assert worker.executor.py_modules == [str(tmp_path / "my_shop.py")]


def test_command_line_options_override_the_yaml(tmp_path):
    path = tmp_path / "d.yml"
    path.write_text("jtype: Deployment\nwith:\n  name: mine\n  port: 12345\n")
    deployment = Deployment.from_command_line({"uses": str(path), "port": ["54321"]})
    assert (deployment.name, deployment.port) == ("mine", 54321)
    with pytest.raises(BadConfigSource):
        Deployment.from_command_line({"uses": str(tmp_path / "missing.yml")})


def test_asgi_serves_in_this_process():
    import httpx

    async def ask():
        app = Deployment(uses="shop.Shop", uses_with={"currency": "£"}).asgi()
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.post("/price", json={"data": [{"text": "pen"}]})
        return answer.json()["data"][0]

    found = asyncio.run(ask())
    assert (found["text"], found["price"]) == ("pen£", 3)


class Routes(Gateway):
    pass


@pytest.mark.parametrize(
    ("options", "fault", "advice"),
    [({"gateway": Routes}, "has a gateway class", "starts both"), ({"replicas": 2}, "is more than one", "replicas")],
)
def test_what_one_process_cannot_serve_says_what_to_write(options, fault, advice):
    deployment = Deployment(uses="shop.Shop", protocol="http", **options)
    with pytest.raises(NotSupportedError, match=fault) as caught:
        deployment.serve_here()
    assert "`jina deployment`" in caught.value.help
    assert advice in caught.value.help
    with pytest.raises(NotSupportedError, match=fault) as caught:
        deployment.asgi()
    assert ("deployment.asgi())" in caught.value.help) == ("gateway" in options)
    assert ("replicas" in caught.value.help) == ("replicas" in options)


def test_the_application_is_mounted_beside_routes_of_ones_own():
    """What the advice says."""
    import httpx
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    async def well(request):
        return PlainTextResponse("well")

    async def ask():
        served = Deployment(uses="shop.Shop", uses_with={"currency": "£"}).asgi()
        app = Starlette(routes=[Route("/well", well), Mount("/", served)])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
            answer = await client.post("/price", json={"data": [{"text": "pen"}]})
            return (await client.get("/well")).text, answer.json()["data"][0]["text"]

    assert asyncio.run(ask()) == ("well", "pen£")


def test_starting_waits_for_no_clock():
    """The default time limit of Jina 3 is no limit here; one that is given is."""
    assert Deployment()._ready_seconds is None
    assert Deployment(timeout_ready=1500)._ready_seconds == 1.5
    assert Deployment(timeout_ready=-1)._ready_seconds is None
