"""An Executor inside another ASGI server."""

import asyncio
import json
import threading

import pytest
from docarray import BaseDoc, DocList

from jina import Executor, requests
from jina.config.types import digest_of
from jina.plan.plans import AccessPlan, KeyPlan
from jina.worker.local import InProcessApp


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


async def get(app, path, query=b""):
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "query_string": query,
             "http_version": "1.1", "headers": []}  # fmt: skip
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent))


class Prompt(BaseDoc):
    """What to say."""

    prompt: str
    data: bytes = b""


class Told(Executor):
    """Writes stories.

    Long ones.
    """

    @requests(on="/tell")
    async def tell(self, doc: Prompt, **kwargs) -> Text:
        """Tell a story.

        Word by word.
        """
        yield Text(text=doc.prompt)

    @requests(on="/plain")
    def plain(self, docs: DocList[Prompt], **kwargs) -> DocList[Prompt]:
        return docs


def asked(worker, cls, path):
    """What the class answers in this process."""

    async def main():
        app = InProcessApp(worker.plan(), cls)
        try:
            return await get(app, path)
        finally:
            await app._stop()

    return asyncio.run(main())


def test_an_error_of_a_query_names_the_query(worker):
    status, body = asked(worker, Told, "/tell")
    assert status == 422
    assert [error["loc"] for error in body["errors"]] == [["query", "prompt"]]
    assert "body" not in body["title"]
    assert "query.prompt" in body["title"]


def test_the_documentation_has_the_docstrings(worker):
    status, document = asked(worker, Told, "/openapi.json")
    assert status == 200
    assert document["info"]["description"] == "Writes stories.\n\nLong ones."
    for method in ("get", "post"):
        operation = document["paths"]["/tell"][method]
        assert (operation["summary"], operation["description"]) == ("Tell a story.", "Tell a story.\n\nWord by word.")
    assert document["components"]["schemas"]["Prompt"]["description"] == "What to say."
    data = document["components"]["schemas"]["Prompt"]["properties"]["data"]
    assert (data["type"], data["format"]) == ("string", "binary")
    assert "data:;base64," in data["description"]
    assert any(example.startswith("data:;base64,") for example in data["examples"])


def test_an_executor_without_a_docstring_has_none_in_the_documentation(worker):
    _, document = asked(worker, Upper, "/openapi.json")
    assert "description" not in document["info"]


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
