"""Gateways of users, as programs for Jina 3 write them, and the Executors behind."""

import asyncio
import json
import os
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs

from docarray import BaseDoc, DocList
from jina.serve.runtimes.gateway.composite import CompositeGateway
from jina.serve.runtimes.servers.composite import CompositeServer

from jina import Executor, Gateway, requests
from jina.gateway.custom import FastAPIBaseGateway


class Text(BaseDoc):
    text: str = ""


class Upper(Executor):
    @requests(on="/up")
    async def up(self, docs: DocList[Text], parameters: dict, **kwargs) -> DocList[Text]:
        for doc in docs:
            if doc.text == "bad":
                raise ValueError("a bad text")
            doc.text = doc.text.upper() + parameters.get("end", "")
        return docs

    @requests(on="/letters")
    async def letters(self, doc: Text, **kwargs) -> Text:
        for letter in doc.text:
            yield Text(text=letter)

    @requests(on="/forever")
    async def forever(self, doc: Text, **kwargs) -> Text:
        try:
            while True:
                yield Text(text="again")
        finally:
            Path(doc.text).write_text("closed")


class Twice(Executor):
    @requests(on="/up")
    async def twice(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        for doc in docs:
            doc.text *= 2
        return docs


class Page:
    """A small ASGI application: a path is an async function that gives what to write as JSON."""

    def __init__(self, **routes):
        self.routes = routes

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")).strip("/")
        route = self.routes.get(path)
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        status, result = (404, "nothing") if route is None else (200, await route(**query))
        await send({"type": "http.response.start", "status": status, "headers": [(b"x-page", path.encode())]})
        await send({"type": "http.response.body", "body": json.dumps(result).encode()})


def texts(docs):
    return [doc.text for doc in docs]


def listed(*values):
    return DocList[Text]([Text(text=value) for value in values])


class Calls:
    """Routes that call the Executors in every way there is."""

    def routes(self):
        names = (
            "attributes",
            "one",
            "order",
            "letters",
            "leaving",
            "through",
            "failing",
            "results",
            "elsewhere",
            "missing",
            "plain",
        )
        return {name: getattr(self, name) for name in names}

    async def attributes(self):
        return {
            "port": self.port, "ports": self.ports, "protocols": self.protocols, "host": self.host, "name": self.name,
            "metas": self.metas.name, "runtime_args": sorted(vars(self.runtime_args)), "tracing": self.tracing,
            "executors": list(self.executor), "early": self.early, "arg": self.arg, "logger": self.logger.name,
            "registry": type(self.metrics_registry).__name__, "tracer": hasattr(self.tracer, "start_span"),
            "main": threading.current_thread() is threading.main_thread(),
        }  # fmt: skip

    async def one(self, text):
        docs = await self.executor["upper"].post(
            on="/up", inputs=DocList[Text]([Text(text=text)]), parameters={"end": "!"}, return_type=DocList[Text]
        )
        return [type(docs).__name__, *texts(docs)]

    async def order(self):
        docs = await self.executor["upper"].post(
            on="/up", inputs=listed(*"abcdef"), request_size=2, return_type=DocList[Text]
        )
        return texts(docs)

    async def letters(self, text):
        found = self.executor["upper"].stream_doc(on="/letters", inputs=Text(text=text), return_type=Text)
        whole = self.streamer.stream_doc(Text(text=text), exec_endpoint="/letters", return_type=Text)
        return [[doc.text async for doc in found], [(doc.text, error) async for doc, error in whole]]

    async def leaving(self, path):
        found = []
        async for doc in self.executor["upper"].stream_doc(on="/forever", inputs=Text(text=f"{path}.1")):
            found.append(doc.text)
            break
        async for doc, _ in self.streamer.stream_doc(Text(text=f"{path}.2"), exec_endpoint="/forever"):
            found.append(doc.text)
            break
        return found

    async def through(self):
        batches = self.streamer.stream_docs(
            listed("a", "b", "c"), request_size=2, exec_endpoint="/up", parameters={"end": "."},
            results_in_order=True, return_type=DocList[Text],
        )  # fmt: skip
        return [texts(docs) async for docs in batches]

    async def failing(self):
        events = []
        async for docs, error in self.streamer.stream(
            listed("a", "bad", "c"), request_size=1, exec_endpoint="/up", results_in_order=True,
            return_type=DocList[Text],
        ):  # fmt: skip
            events.append(texts(docs) if error is None else [type(error).__name__, error.name, error.executor])
        try:
            async for _ in self.streamer.stream_docs(listed("bad"), exec_endpoint="/up"):
                events.append("not reached")
        except RuntimeError as error:
            events.append(type(error).__name__)
        async for doc, error in self.streamer.stream_doc(Text(text="x"), exec_endpoint="/none"):
            events.append([doc, type(error).__name__])
        return events

    async def results(self):
        found = self.streamer.stream(
            listed("a"), exec_endpoint="/up", return_results=True, request_id="mine", target_executor="upper"
        )
        return [
            [texts(one.docs), [route.executor for route in one.routes], one.header.request_id] async for one, _ in found
        ]

    async def elsewhere(self):
        from jina.serve.runtimes.gateway.streamer import GatewayStreamer

        async def work():
            batches = GatewayStreamer.get_streamer().stream_docs(
                listed("t"), exec_endpoint="/up", return_type=DocList[Text]
            )
            letters = GatewayStreamer.get_streamer().executor["upper"].stream_doc(on="/letters", inputs=Text(text="xy"))
            return [texts(docs) async for docs in batches], [doc.text async for doc in letters]

        return await asyncio.to_thread(lambda: asyncio.run(work()))

    async def missing(self):
        try:
            self.executor["uper"]
        except KeyError as error:
            return str(error)

    async def plain(self):
        docs = await self.executor["upper"].post(on="/up", inputs=[{"text": "d"}])
        return [type(docs).__name__, *texts(docs)]


class Served(Calls, Gateway):
    """Runs a server of its own, as the documentation of Jina 3 shows it."""

    def __init__(self, arg="none", folder=None, **kwargs):
        self.early = [self.port, self.runtime_args.name]
        super().__init__(**kwargs)
        self.arg = arg
        self.folder = folder

    async def setup_server(self):
        from uvicorn import Config, Server

        async def slow():
            await asyncio.sleep(0.5)
            return "done"

        app = Page(**self.routes(), slow=slow)
        self.server = Server(Config(app, host=self.host, port=self.port, lifespan="off", log_level="warning"))

    async def run_server(self):
        await self.server.serve()

    async def shutdown(self):
        self.server.should_exit = True
        await self.server.shutdown()
        if self.folder:
            Path(self.folder, "shut").write_text(str(os.getpid()))


class OwnGrpc(Gateway):
    """Runs a gRPC server by the classes of Jina's protobuf, as gateways for Jina 3 do."""

    async def setup_server(self):
        import grpc
        from jina.proto import jina_pb2_grpc
        from jina.serve.helper import get_server_side_grpc_options

        self.server = grpc.aio.server(options=get_server_side_grpc_options({"grpc.keepalive_time_ms": 8000}))
        jina_pb2_grpc.add_JinaRPCServicer_to_server(self.streamer._streamer, self.server)
        jina_pb2_grpc.add_JinaSingleDataRequestRPCServicer_to_server(self.streamer._streamer, self.server)
        self.server.add_insecure_port(f"{self.host}:{self.port}")
        await self.server.start()

    async def run_server(self):
        await self.server.wait_for_termination()

    async def shutdown(self):
        await self.server.stop(0)


class Any(Calls, FastAPIBaseGateway):
    """Gives an ASGI application."""

    def __init__(self, arg="none", **kwargs):
        super().__init__(**kwargs)
        self.early, self.arg = None, arg

    @property
    def app(self):
        return Page(**self.routes())


class Extended(Gateway):
    """Our routes, with an application and a middleware beside."""

    def __init__(self, **kwargs):
        super().__init__(title="Extended", cors=True, **kwargs)

    def extend_http(self, app):
        async def hello(name="you"):
            docs = await self.executor["upper"].post(on="/up", inputs=listed(name), return_type=DocList[Text])
            return f"hello {docs[0].text}"

        app.mount("/shop", Page(hello=hello))
        app.wrap(Timed, name=b"x-time")


class Timed:
    """An ASGI middleware that tells how long the answer took."""

    def __init__(self, app, name):
        self.app = app
        self.name = name

    async def __call__(self, scope, receive, send):
        began = time.perf_counter()

        async def telling(message):
            if message["type"] == "http.response.start":
                took = str(time.perf_counter() - began).encode()
                message = {**message, "headers": [*message["headers"], (self.name, took)]}
            await send(message)

        await self.app(scope, receive, telling)


class TwoServers(Gateway):
    """A server for each port, of which the second comes late."""

    async def setup_server(self):
        from uvicorn import Config, Server

        async def hello():
            return self.runtime_args.protocol

        config = Config(Page(hello=hello), host=self.host, port=self.runtime_args.port[0], lifespan="off")
        self.servers = [Server(config)]

    async def run_server(self):
        serving = asyncio.create_task(self.servers[0].serve())
        await asyncio.sleep(0.3)
        self.lines = await asyncio.start_server(self.answer, self.host, self.ports[1])
        await serving

    async def answer(self, reader, writer):
        docs = await self.executor["upper"].post(
            on="/up", inputs=[{"text": (await reader.readline()).decode().strip()}]
        )
        writer.write(docs[0].text.encode())
        writer.close()

    async def shutdown(self):
        self.servers[0].should_exit = True
        self.lines.close()


class FailsInInit(Gateway):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        raise ValueError("no such model")


class FailsInSetup(Gateway):
    async def setup_server(self):
        raise ValueError("no such certificate")


class FailsWhileRunning(Gateway):
    async def run_server(self):
        await self.server.start()
        await asyncio.sleep(0.2)
        raise ValueError("the server broke")


class NeverListens(Gateway):
    async def setup_server(self):
        pass

    async def run_server(self):
        await asyncio.sleep(100)

    async def shutdown(self):
        pass


class Forgets(Gateway):
    def __init__(self, **kwargs):
        pass


class NoGateway:
    pass


class Aside(Gateway):
    """Serves what the gateways of programs for Jina 3 put beside the built-in ones: a small server of its own."""

    async def setup_server(self):
        self.server = await asyncio.start_server(self.answer, self.host, self.port, start_serving=False)

    async def answer(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        docs = await self.executor["upper"].post(on="/up", inputs=listed("aside"), return_type=DocList[Text])
        body = json.dumps([self.ports, self.protocols, texts(docs)]).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async def run_server(self):
        async with self.server:
            await self.server.start_serving()
            await self.server.wait_closed()

    async def shutdown(self):
        self.server.close()


class Together(CompositeGateway):
    """As gateways of programs for Jina 3 that serve a page of their own beside the built-in gateways."""

    def __init__(self, aside: int, moved: int, **kwargs):
        kwargs["runtime_args"]["port"][0] = moved  # another server listens on the port of the Flow
        kwargs["runtime_args"]["metrics_registry"] = threading.Lock()  # cannot be copied
        super().__init__(cors=True, **kwargs)
        copied = self._deepcopy_with_ignore_attrs(self.runtime_args, ["metrics_registry", "monitoring"])
        assert copied.metrics_registry is None
        assert copied.tracing is False  # though equal to what is ignored
        copied.port, copied.protocol = [aside], ["http"]
        made = Aside(runtime_args=dict(vars(copied)), name=self.name, cors=True)
        made.streamer = self.streamer
        assert self.servers is self.gateways
        self.gateways.insert(0, made)

    async def setup_server(self):
        await super().setup_server()
        self.front = await asyncio.start_server(self.forward, self.host, self.taken, start_serving=False)

    @property
    def taken(self):
        return int(os.environ["FRONT_PORT"])

    async def forward(self, reader, writer):
        """What a reverse proxy in front of the gateways does."""
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        back.write(await reader.readuntil(b"\r\n\r\n"))
        writer.write(await there.read())
        writer.close()
        back.close()

    async def run_server(self):
        await self.front.start_serving()
        await super().run_server()

    async def shutdown(self):
        self.front.close()
        await super().shutdown()


class Plain(Gateway, CompositeServer):
    """The bases in this order, as programs for Jina 3 have them, and routes added when it is constructed."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        assert [type(part).__name__ for part in self.gateways] == ["HTTPGateway", "GRPCGateway"]


class Told(FastAPIBaseGateway):
    """Shows what the options of the HTTP listener are here."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        names = (
            "cors", "uvicorn_kwargs", "title", "description", "no_debug_endpoints", "no_crud_endpoints",
            "expose_endpoints", "expose_graphql_endpoint",
        )  # fmt: skip
        self.told = {name: getattr(self, name) for name in names}
        self.cors = True

    @property
    def app(self):
        return Page(told=self.tell)

    async def tell(self):
        return self.told
