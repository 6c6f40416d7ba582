"""What a server of `tests.apis.language_model` answers on the routes of OpenAI's API: each JSON and each event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx


class Answer(NamedTuple):
    """A JSON of the server: the path and method it came from, its status, and whether it was an event of a stream."""

    path: str
    method: str
    status: int
    is_event: bool
    content: Any
    case: str


TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("weather", "time")]
FLAT_TOOLS = [{"type": "function", "name": name, "parameters": {}, "strict": False} for name in ("weather", "time")]
CLAUDE_TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("weather", "time")]
WORDS = ("you", "think", "tools", "long", "fail", "late")
SOUND = {"file": ("a.wav", b"to be", "audio/wav")}


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _asked(word: str) -> Iterator[tuple[str, dict[str, Any]]]:
    tools = word == "tools"
    yield "/chat/completions", {"messages": user(word), **({"tools": TOOLS} if tools else {})}
    if not tools:
        yield "/completions", {"prompt": word}
    yield "/responses", {"input": word, **({"tools": FLAT_TOOLS} if tools else {})}
    yield "/messages", {"messages": user(word), "max_tokens": 9, **({"tools": CLAUDE_TOOLS} if tools else {})}


def conversations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Paths and bodies of requests that a chat answers, in one piece and as streams."""
    for word in WORDS:
        for path, body in _asked(word):
            for stream in (False, True):
                yield path, {"model": "chat", **body, "stream": stream}
    chat = {"model": "chat", "messages": user("you")}
    yield "/chat/completions", {**chat, "n": 2, "stop": "there"}
    yield "/chat/completions", {**chat, "n": 2, "stream": True, "stream_options": {"include_usage": True}}
    yield "/chat/completions", {**chat, "model": "nothing"}
    yield "/chat/completions", {**chat, "n": 0}
    yield "/messages", {**chat, "model": "nothing", "max_tokens": 9}
    detailed = {"instructions": "be brief", "max_output_tokens": 20, "temperature": 0.5, "metadata": {"a": "b"}}
    form = {"type": "json_schema", "name": "place", "schema": {"type": "object", "properties": {}}, "strict": True}
    for stream in (False, True):
        yield "/responses", {"model": "chat", "input": "you", "stream": stream, **detailed, "text": {"format": form}}
        choice = {"tools": FLAT_TOOLS, "tool_choice": {"type": "function", "name": "time"}}
        yield "/responses", {"model": "chat", "input": "tools", "stream": stream, **choice}
    yield "/responses", {"model": "chat", "input": "x", "previous_response_id": "resp_1"}


def others() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and body of the other requests."""
    yield "GET", "/models", {}
    yield "GET", "/models/chat", {}
    yield "GET", "/models/nothing", {}
    for encoding in ("float", "base64"):
        body = {"model": "embed", "input": ["a", "bcd"], "encoding_format": encoding}
        yield "POST", "/embeddings", {"json": body}
    yield "POST", "/embeddings", {"json": {"model": "embed", "input": [], "dimensions": 2}}
    for form in ("json", "verbose_json"):
        yield "POST", "/audio/transcriptions", {"data": {"model": "listen", "response_format": form}, "files": SOUND}
    for prompt in ("", "fail", "late"):
        fields = {"model": "hear", "prompt": prompt, "stream": "true"}
        yield "POST", "/audio/transcriptions", {"data": fields, "files": SOUND}
    for text in ("to be", "fail", "x fail"):
        body = {"model": "speak", "voice": "alloy", "input": text, "stream_format": "sse"}
        yield "POST", "/audio/speech", {"json": body}


def answers_of(client: httpx.Client) -> Iterator[Answer]:
    """All of them; the server's paths are below the client's address."""
    asked = [*others(), *(("POST", path, {"json": body}) for path, body in conversations())]
    for method, path, options in asked:
        yield from _read(path, method, client.request(method, path, **options), repr(options)[:200])


def _read(path: str, method: str, answer: httpx.Response, case: str) -> Iterator[Answer]:
    path = "/models/{model}" if path.startswith("/models/") else path
    if not answer.headers["content-type"].startswith("text/event-stream"):
        yield Answer(path, method, answer.status_code, False, answer.json(), case)
        return
    *blocks, rest = answer.text.split("\n\n")
    assert not rest, "the last event is not complete"
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        if fields["data"] != "[DONE]":
            content = json.loads(fields["data"])
            assert fields.get("event", content.get("type")) == content.get("type")
            yield Answer(path, method, answer.status_code, True, content, case)
