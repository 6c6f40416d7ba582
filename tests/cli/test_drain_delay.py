"""A server that is told to stop while requests are still sent to it: real processes behind what learns of it late."""

import asyncio
import json
import signal
import sys
import time
from contextlib import asynccontextmanager

import aiohttp
import grpc
import pytest
from tests.cli.running import serving

from jina import Client, Document
from jina.codec import pb

IN_TIME = 40.0
SOURCE = """
from jina import DocumentArray, Executor, requests

class Echo(Executor):
    @requests(on='/echo')
    async def echo(self, docs: DocumentArray, **kwargs): ...

    def close(self):
        print('closed', flush=True)
"""
HEALTH = pb.message_class("grpc.health.v1.HealthCheckResponse")


async def until(condition, what):
    end = time.monotonic() + IN_TIME
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        await asyncio.sleep(0.01)


class Backend:
    """A server with its ports, and what is known of it."""

    def __init__(self, service):
        self.service = service
        self.grpc = int(service.address("grpc").rpartition(":")[2])
        self.http = int(service.address("http").rpartition(":")[2])
        self.known_ready = True
        self.became_unready = None

    async def readyz(self, session):
        async with session.get(f"http://127.0.0.1:{self.http}/readyz") as answer:
            return answer.status


class LateService:
    """Shares connections out among servers, like a Service of Kubernetes: it learns `late` seconds later of one that is
    not ready any more, and never cuts a connection."""

    def __init__(self, backends, late):
        self.backends = backends
        self.late = late
        self._turn = 0
        self._servers = []
        self._tasks = set()

    async def start(self):
        self.ports = {}
        for name in ("grpc", "http"):
            server = await asyncio.start_server(lambda r, w, name=name: self._connect(name, r, w), "127.0.0.1", 0)
            self.ports[name] = server.sockets[0].getsockname()[1]
            self._servers.append(server)
        self._spawn(self._learn())

    async def stop(self):
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    def _spawn(self, work):
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        return task

    async def _learn(self):
        """Ask each server, as a kubelet does; what it says counts later."""
        async with aiohttp.ClientSession() as session:
            while True:
                for backend in self.backends:
                    try:
                        ready = await backend.readyz(session) == 200
                    except aiohttp.ClientError:
                        ready = False
                    if not ready and backend.became_unready is None:
                        backend.became_unready = time.monotonic()
                    if backend.became_unready is not None and time.monotonic() - backend.became_unready > self.late:
                        backend.known_ready = False
                await asyncio.sleep(0.05)

    async def _connect(self, name, reader, writer):
        self._tasks.add(asyncio.current_task())
        open_ones = [backend for backend in self.backends if backend.known_ready]
        self._turn += 1
        port = getattr(open_ones[self._turn % len(open_ones)], name)
        try:
            theirs, ours = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self._pass(reader, ours), self._pass(theirs, writer))

    async def _pass(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


class Load:
    """Calls over new and kept connections, on both protocols, until it is stopped."""

    def __init__(self, ports):
        self.ports = ports
        self.answers = 0
        self.failures = []
        self._going = True

    async def run(self):
        await asyncio.gather(*(call(keep=keep) for call in (self._http, self._grpc) for keep in (True, False)))

    def stop(self):
        self._going = False

    async def _http(self, *, keep):
        url = f"http://127.0.0.1:{self.ports['http']}/echo"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=not keep)) as session:
            while self._going:
                try:
                    async with session.post(url, json={"data": [{"text": "x"}]}) as answer:
                        self._count("" if answer.status == 200 else f"status {answer.status}")
                except aiohttp.ClientError as error:
                    self._count(repr(error))
                await asyncio.sleep(0.005)

    async def _grpc(self, *, keep):
        client = Client(port=self.ports["grpc"], asyncio=True)
        while self._going:
            client = client if keep else Client(port=self.ports["grpc"], asyncio=True)
            try:
                async for _ in client.post("/echo", Document(text="x")):
                    pass
                self._count()
            except Exception as error:
                self._count(repr(error))
            await asyncio.sleep(0.005)

    def _count(self, failure=""):
        if failure:
            self.failures.append(failure)
        else:
            self.answers += 1


async def health(port):
    """What `grpc.health.v1` says."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        return HEALTH.FromString(await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)).status


@asynccontextmanager
async def loaded(backends, late):
    service = LateService(backends, late)
    await service.start()
    load = Load(service.ports)
    running = asyncio.create_task(load.run())
    try:
        yield load
        load.stop()
        await running
    finally:
        running.cancel()
        await service.stop()


def executor(*options):
    return ("executor", "--uses", "Echo", "--py-modules", "echo.py", "--protocol", "grpc", "http", *options)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "echo.py").write_text(SOURCE)
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.skipif(sys.platform == "win32", reason="stops by SIGTERM")
def test_no_request_fails_while_they_are_still_sent_to_one_that_stops(folder):
    async def main(stopping, staying):
        first = Backend(stopping)
        async with loaded([first, Backend(staying)], late=1.0) as load, aiohttp.ClientSession() as session:
            await until(lambda: load.answers > 40, "some answers")
            stopping.process.send_signal(signal.SIGTERM)
            await until(lambda: first.became_unready is not None, "that it is not ready")
            assert await health(first.grpc) == HEALTH.NOT_SERVING
            assert await first.readyz(session) == 503
            client = Client(port=first.grpc, asyncio=True)
            assert [docs.texts async for docs in client.post("/echo", Document(text="still"))] == [["still"]]
            assert not await client.is_flow_ready()
            async with session.post(f"http://127.0.0.1:{first.http}/echo", json={"data": []}) as answer:
                assert (answer.status, answer.headers["connection"]) == (200, "close")
            await until(lambda: not first.known_ready, "that it gets no more connections")
            await until(lambda: stopping.process.poll() is not None, "its end")
            count = load.answers
            await until(lambda: load.answers > count + 20, "answers of the other one")
        assert load.failures == []
        assert stopping.process.returncode == 0
        assert "closed" in stopping.output

    with serving(*executor("--drain-delay", "3"), cwd=folder) as one, serving(*executor(), cwd=folder) as other:
        asyncio.run(main(one, other))


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.skipif(sys.platform == "win32", reason="stops by SIGTERM")
def test_a_gateway_goes_on_as_long(folder):
    async def main(stopping, staying):
        first = Backend(stopping)
        async with loaded([first, Backend(staying)], late=1.0) as load:
            await until(lambda: load.answers > 40, "some answers")
            stopping.process.send_signal(signal.SIGTERM)
            await until(lambda: first.became_unready is not None, "that it is not ready")
            assert await health(first.grpc) == HEALTH.NOT_SERVING
            await until(lambda: stopping.process.poll() is not None, "its end")
        assert load.failures == []
        assert stopping.process.returncode == 0

    with serving(*executor(), cwd=folder) as worker:
        address = worker.address("grpc")
        graph = {"start-gateway": ["echo"], "echo": ["end-gateway"]}
        gateway = ("gateway", "--protocol", "grpc", "http", "--graph-description", json.dumps(graph),
                   "--deployments-addresses", json.dumps({"echo": [address]}), "--drain-delay", "3")  # fmt: skip
        with serving(*gateway, cwd=folder) as one, serving(*gateway, cwd=folder) as other:
            asyncio.run(main(one, other))


@pytest.mark.slow
@pytest.mark.timeout(100)
@pytest.mark.skipif(sys.platform == "win32", reason="stops by SIGTERM")
def test_on_one_machine_it_ends_at_once_and_the_second_signal_ends_the_delay(folder):
    with serving(*executor("--drain-delay", "600"), cwd=folder) as service:
        service.address("grpc")
        service.process.send_signal(signal.SIGTERM)
        with service.changed:
            service.changed.wait(0.5)
        assert service.process.poll() is None
        assert service.end() == 128 + signal.SIGTERM
    with serving(*executor(), cwd=folder) as service:
        service.address("grpc")
        began = time.monotonic()
        assert service.end() == 0
        assert time.monotonic() - began < 20
        assert "closed" in service.output
