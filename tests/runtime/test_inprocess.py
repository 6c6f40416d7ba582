"""An Executor inside somebody else's ASGI server."""

import asyncio
import json
import threading

import pytest
from docarray import BaseDoc, DocList

from jina import Executor, requests
from jina.plan.plans import AccessPlan, KeyPlan
from jina.runtime.inprocess import InProcessApp
from jina.spec.access import digest_of


class Text(BaseDoc):
    text: str = ""


class Upper(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.closed = 0
        self.loop = asyncio.get_running_loop()

    @requests(on="/upper")
    async def upper(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        assert asyncio.get_running_loop() is self.loop
        for doc in docs:
            doc.text = doc.text.upper()

    @requests(on="/thread")
    def thread(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        docs[0].text = threading.current_thread().name

    async def close(self):
        self.closed += 1


async def post(app, path, text, *headers):
    scope = {
        "type": "http", "method": "POST", "path": path, "root_path": "", "query_string": b"", "http_version": "1.1",
        "headers": [(b"content-type", b"application/json"), *headers],
    }  # fmt: skip
    body = json.dumps({"data": [{"text": text}]}).encode()
    incoming = [{"type": "http.request", "body": body, "more_body": False}]
    sent = []

    async def receive():
        if not incoming:
            await asyncio.sleep(3600)
        return incoming.pop()

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body)


class Lifespan:
    """The server's side of the lifespan protocol."""

    def __init__(self, app):
        self._app = app
        self._in, self._out = asyncio.Queue(), asyncio.Queue()

    async def start(self):
        self._task = asyncio.create_task(self._app({"type": "lifespan"}, self._in.get, self._out.put))
        await self._in.put({"type": "lifespan.startup"})
        return await asyncio.wait_for(self._out.get(), 10)

    async def stop(self):
        await self._in.put({"type": "lifespan.shutdown"})
        message = await asyncio.wait_for(self._out.get(), 10)
        await self._task
        return message


def test_lifespan_constructs_and_closes(worker):
    made = []

    def load():
        made.append(Upper())
        return made[0]

    async def main():
        app = InProcessApp(worker.plan(), load)
        assert made == []
        lifespan = Lifespan(app)
        assert (await lifespan.start())["type"] == "lifespan.startup.complete"
        assert len(made) == 1
        status, body = await post(app, "/upper", "a")
        assert (status, body["data"][0]["text"]) == (200, "A")
        _, body = await post(app, "/thread", "a")
        assert body["data"][0]["text"].startswith("handler")
        assert (await lifespan.stop())["type"] == "lifespan.shutdown.complete"
        assert made[0].closed == 1

    asyncio.run(main())


def test_a_constructor_that_raises_fails_the_servers_start(worker):
    def load():
        raise OSError("no model")

    async def main():
        answer = await Lifespan(InProcessApp(worker.plan(), load)).start()
        assert answer == {"type": "lifespan.startup.failed", "message": "OSError: no model"}

    asyncio.run(main())


@pytest.mark.parametrize("rounds", [1, 2])
def test_without_lifespan_the_first_request_constructs_and_later_loops_go_on_with_it(worker, rounds):
    made = []

    class Everywhere(Upper):
        @requests(on="/upper")
        async def upper(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
            docs[0].text += "!"

    def load():
        made.append(Everywhere())
        return made[0]

    app = InProcessApp(worker.plan(), load)
    for _ in range(rounds):
        status, body = asyncio.run(post(app, "/upper", "a"))
        assert (status, body["data"][0]["text"]) == (200, "a!")
    asyncio.run(app._stop())
    assert len(made) == 1
    assert made[0].closed == 1


def test_keys_and_limits_hold_in_another_server_too(worker):
    key = "key-of-the-tests"
    access = AccessPlan(keys=[KeyPlan(name="alice", digest=digest_of(key))])
    app = InProcessApp(worker.plan(access=access, max_inflight=1), Upper)

    async def main():
        lifespan = Lifespan(app)
        assert (await lifespan.start())["type"] == "lifespan.startup.complete"
        status, body = await post(app, "/upper", "a")
        assert (status, body["code"]) == (401, "Unauthenticated")
        status, body = await post(app, "/upper", "a", (b"x-api-key", key.encode()))
        assert (status, body["data"][0]["text"]) == (200, "A")
        calls = [post(app, "/thread", "a", (b"authorization", f"Bearer {key}".encode())) for _ in range(3)]
        answers = await asyncio.gather(*calls)
        assert sorted(status for status, _ in answers) == [200, 429, 429]
        await lifespan.stop()

    asyncio.run(main())
