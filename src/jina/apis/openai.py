"""OpenAI's API, and Anthropic's messages, over the endpoints of a service: the routes, and errors in their forms."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, ClassVar, Final

import msgspec

from jina.apis import anthropic_messages
from jina.apis.anthropic_messages import Messages
from jina.apis.openai_answers import Choice, Completions, Form, StopTexts, TextCompletions
from jina.apis.openai_audio import FORM_SCHEMA, SpeechBody, answer_speech, answer_transcription
from jina.apis.openai_models import Kind, Model, model_named, models_of
from jina.apis.openai_requests import (
    READERS,
    ChatBody,
    CompletionBody,
    Conversation,
    EmbeddingsBody,
    MessagesBody,
    RerankBody,
    ResponseBody,
)
from jina.apis.openai_responses import Responses
from jina.apis.openai_vectors import answer_embeddings, answer_rerank
from jina.codec.deltas import deltas_of
from jina.codec.messages import Payload, Request
from jina.codec.payloads import JsonPayload
from jina.documents.deltas import Delta
from jina.errors import (
    BadRequest,
    Cancelled,
    DeadlineExceeded,
    JinaError,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)
from jina.net.messages import as_jina_error, new_request_id
from jina.net.service import EndpointInfo
from jina.server.apis import Api, ErrorForm, Methods
from jina.server.http import JSON, Exchange, Header, dumps
from jina.server.http_calls import EVENT_STREAM, TIMEOUT_HEADER, deadline_of, guarded
from jina.server.uploads import FORM

_PREFIX: Final = "/v1/"
_MESSAGES: Final = "/v1/messages"
_TRANSCRIPTIONS: Final = "/v1/audio/transcriptions"
_SPEECH: Final = "/v1/audio/speech"
_FORMS: Final[Mapping[str, Callable[[Conversation], Form]]] = {
    "/v1/chat/completions": Completions,
    "/v1/completions": TextCompletions,
    "/v1/responses": Responses,
    _MESSAGES: Messages,
}
_EVENTS: Final = f"{EVENT_STREAM}; charset=utf-8".encode()
_STARTED: Final = int(time.time())
"""What models say of when they were made, in seconds since the epoch."""


class OpenAiApi(Api):
    """See `jina.server.apis.Api`."""

    name: ClassVar[str] = "openai"
    _models: Mapping[str, Model] = {}
    _models_of: Mapping[str, EndpointInfo] | None = None

    @property
    def models(self) -> Mapping[str, Model]:
        """What is served, by the name that clients give as `model`."""
        endpoints = self.gate.service.endpoints
        if endpoints is not self._models_of:
            self._models, self._models_of = models_of(endpoints), endpoints
        return self._models

    def routes(self) -> Mapping[str, Methods]:
        """See `Api`."""
        chats = {path: {"POST": partial(self.answer_chat, path=path)} for path in _FORMS}
        return {
            "/v1/models": {"GET": self.list_models},
            "/v1/models/{model:path}": {"GET": self.show_model},
            "/v1/embeddings": {"POST": self.embed},
            "/v1/rerank": {"POST": self.rerank},
            _TRANSCRIPTIONS: {"POST": self.transcribe},
            _SPEECH: {"POST": self.speak},
            **chats,
        }

    def error_form(self, path: str, error: JinaError) -> ErrorForm | None:
        """See `Api`."""
        if not path.startswith(_PREFIX):
            return None
        content = anthropic_messages.error_content(error) if path == _MESSAGES else error_content(error)
        return dumps(content), _retry_headers(error)

    def openapi(self, endpoints: Mapping[str, EndpointInfo]) -> Mapping[str, Any]:
        """See `Api`: the routes for which there is a model."""
        served = {kind for model in models_of(endpoints).values() for kind in model.serves}
        kinds: dict[str, Kind] = {
            **dict.fromkeys(_FORMS, "chat"),
            "/v1/embeddings": "embedding",
            "/v1/rerank": "rerank",
            _TRANSCRIPTIONS: "transcription",
            _SPEECH: "speech",
        }
        posts = {path: {"post": _operation(path)} for path, kind in kinds.items() if kind in served}
        shown = {"get": _operation("/v1/models/{model}")}
        shown["get"]["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
        lists = {"/v1/models": {"get": _operation("/v1/models")}, "/v1/models/{model}": shown}
        return {"paths": {**lists, **posts}, "schemas": _COMPONENTS}

    async def list_models(self, exchange: Exchange) -> None:
        """All models."""
        content = {"object": "list", "data": [_shown(name, model) for name, model in self.models.items()]}
        await exchange.respond_json(dumps(content))

    async def show_model(self, exchange: Exchange, model: str) -> None:
        """One model."""
        await exchange.respond_json(dumps(_shown(model, model_named(self.models, model))))

    async def embed(self, exchange: Exchange) -> None:
        """Vectors of texts."""
        await answer_embeddings(exchange, self.gate, self.models, await _body(exchange), partial(new_request, exchange))

    async def rerank(self, exchange: Exchange) -> None:
        """Documents by how well they answer a query."""
        await answer_rerank(exchange, self.gate, self.models, await _body(exchange), partial(new_request, exchange))

    async def transcribe(self, exchange: Exchange) -> None:
        """The text of a file of audio."""
        await answer_transcription(exchange, self.gate, self.models, partial(new_request, exchange), error_content)

    async def speak(self, exchange: Exchange) -> None:
        """A text as a file of audio."""
        new, body = partial(new_request, exchange), await _body(exchange)
        await answer_speech(exchange, self.gate, self.models, body, new, error_content)

    async def answer_chat(self, exchange: Exchange, path: str) -> None:
        """Continue a conversation, in one piece or as a stream."""
        asked = READERS[path](await _body(exchange))
        model = model_named(self.models, asked.model, "chat")
        asked.model = asked.model or model.endpoint.strip("/")
        requests = [new_request(exchange, model, [document]) for document in asked.documents for _ in range(asked.n)]
        form = _FORMS[path](asked)
        choices = [Choice(index, StopTexts(asked.stop) if asked.stop else None) for index in range(len(requests))]
        streams = [self._deltas(request, choice) for request, choice in zip(requests, choices, strict=True)]
        if asked.stream:
            await self._stream(exchange, form, choices, streams, requests[0].deadline)
            return
        await guarded(exchange, _collected(choices, streams), requests[0].deadline)
        await exchange.respond_json(dumps(form.whole(choices)))

    async def _deltas(self, request: Request, choice: Choice) -> AsyncGenerator[Sequence[Delta]]:
        """The pieces of an answer as they come, those that are ready together in one list, until it stops."""
        async with aclosing(self.gate.stream(request)) as replies:
            async for reply in replies:
                yield deltas_of(reply.payload)
                if choice.stopped:
                    return

    async def _stream(
        self,
        exchange: Exchange,
        form: Form,
        choices: Sequence[Choice],
        streams: Sequence[AsyncGenerator[Sequence[Delta]]],
        deadline: float | None,
    ) -> None:
        """An error before the first piece is one of the request; one later is the last event."""
        try:
            await guarded(exchange, _sent(exchange, form, choices, streams), deadline)
            last = form.close(choices)
        except Cancelled:
            raise
        except Exception as error:
            if not exchange.started:
                raise
            failed = as_jina_error(error)
            last = form.failure(failed, error_content(failed))
        await exchange.write(last, more=False)


async def _sent(
    exchange: Exchange, form: Form, choices: Sequence[Choice], streams: Sequence[AsyncGenerator[Sequence[Delta]]]
) -> None:
    merged = _alone(choices[0], streams[0]) if len(streams) == 1 else _together(choices, streams)
    async with aclosing(merged) as pieces:
        async for choice, deltas in pieces:
            events = form.start() if not exchange.started else b""
            if not exchange.started:
                await exchange.start_stream(_EVENTS)
            events += _events(form, choice, deltas)
            if events:
                await exchange.write(events)


def _events(form: Form, choice: Choice, deltas: Sequence[Delta] | None) -> bytes:
    """What is written of some pieces; of None, which ends an answer, what was held back and the end."""
    if deltas is None:
        rest = "" if choice.stop is None else choice.stop.rest()
        if rest:
            choice.texts.append(rest)
        return (form.text(choice, rest) if rest else b"") + form.end(choice)
    events: list[bytes] = []
    for delta in deltas:
        if type(delta) is str and choice.stop is None:
            choice.texts.append(delta)
            events.append(form.text(choice, delta))
            continue
        piece = choice.take(delta)
        if isinstance(piece, str):
            if piece:
                events.append(form.text(choice, piece))
        elif piece is not None:
            events.append(form.other(choice, piece))  # type: ignore[arg-type]  # what `take` gives of the others
        if choice.stopped:
            break
    return b"".join(events)


_Pieces = AsyncGenerator[tuple[Choice, Sequence[Delta] | None]]


async def _alone(choice: Choice, stream: AsyncGenerator[Sequence[Delta]]) -> _Pieces:
    async with aclosing(stream):
        async for deltas in stream:
            yield choice, deltas
    yield choice, None


async def _together(choices: Sequence[Choice], streams: Sequence[AsyncGenerator[Sequence[Delta]]]) -> _Pieces:
    """The pieces of several answers as they come; the first error ends all."""
    queue: asyncio.Queue[tuple[Choice, Sequence[Delta] | None]] = asyncio.Queue(len(streams))

    async def read(choice: Choice, stream: AsyncGenerator[Sequence[Delta]]) -> None:
        async for one in _alone(choice, stream):
            await queue.put(one)

    tasks = [asyncio.create_task(read(*one)) for one in zip(choices, streams, strict=True)]
    everything = asyncio.gather(*tasks)
    try:
        left = len(tasks)
        while left:
            getting = asyncio.ensure_future(queue.get())
            waited: set[asyncio.Future[Any]] = {getting, everything}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done() and queue.empty():
                getting.cancel()
                await everything
                continue
            choice, deltas = await getting
            left -= deltas is None
            yield choice, deltas
    finally:
        everything.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(everything, *tasks, return_exceptions=True)


async def _collected(choices: Sequence[Choice], streams: Sequence[AsyncGenerator[Sequence[Delta]]]) -> None:
    """Read all answers to their ends; the first error ends all."""
    if len(streams) == 1:
        await _collect(choices[0], streams[0])
        return
    try:
        async with asyncio.TaskGroup() as group:
            for one in zip(choices, streams, strict=True):
                group.create_task(_collect(*one))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _collect(choice: Choice, stream: AsyncGenerator[Sequence[Delta]]) -> None:
    async with aclosing(stream):
        async for deltas in stream:
            for delta in deltas:
                choice.take(delta)
                if choice.stopped:
                    break
    if choice.stop is not None and (rest := choice.stop.rest()):
        choice.texts.append(rest)


def new_request(
    exchange: Exchange, model: Model, documents: list[dict[str, Any]] | Payload, **parameters: Any
) -> Request:
    """A request to the endpoint of a model; raises where the caller may not use it."""
    ident = exchange.request_id = exchange.request_id or new_request_id()
    payload = JsonPayload(documents, location=("body",)) if isinstance(documents, list) else documents
    request = Request(model.endpoint, payload, parameters, ident)
    request.headers = exchange.headers
    if (text := exchange.headers.get(TIMEOUT_HEADER)) is not None:
        request.deadline = deadline_of(text)
    if exchange.caller is not None:
        exchange.caller.check(model.endpoint)
    return request


async def _body(exchange: Exchange) -> dict[str, Any]:
    from jina.codec.json_text import loads

    value = loads(await exchange.body())
    if not isinstance(value, dict):
        raise BadRequest("the body has to be a JSON object")
    return value


def _operation(path: str) -> dict[str, Any]:
    """What the documentation says of a route: of its body the fields that we read, of its answer the media types."""
    operation = {
        "operationId": re.sub(r"\W+", "_", path.removeprefix(_PREFIX)).strip("_"),
        "summary": "Anthropic's messages" if path == _MESSAGES else f"{path} of OpenAI's API",
        "tags": ["openai"],
        "responses": {
            "200": {"description": "The answer", "content": {JSON: _OBJECT, **_OTHER_ANSWERS.get(path, {})}},
            "default": {"description": "An error", "content": {JSON: _OBJECT}},
        },
    }
    if path == _TRANSCRIPTIONS:
        operation["requestBody"] = {"required": True, "content": {FORM: {"schema": FORM_SCHEMA}}}
    elif path in _BODIES:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": _SCHEMAS[_BODIES[path]]}}}
    return operation


_BODIES: Final[Mapping[str, type]] = {
    "/v1/chat/completions": ChatBody,
    "/v1/completions": CompletionBody,
    "/v1/responses": ResponseBody,
    _MESSAGES: MessagesBody,
    "/v1/embeddings": EmbeddingsBody,
    "/v1/rerank": RerankBody,
    _SPEECH: SpeechBody,
}


def _schemas() -> tuple[dict[type, Any], dict[str, Any]]:
    """References to the schemas of bodies, and the schemas by name."""
    found, components = msgspec.json.schema_components(
        _BODIES.values(), ref_template="#/components/schemas/openai.{name}"
    )
    return dict(zip(_BODIES.values(), found, strict=True)), {f"openai.{name}": one for name, one in components.items()}


_SCHEMAS, _COMPONENTS = _schemas()
_OBJECT: Final[Mapping[str, Any]] = {"schema": {"type": "object"}}
_TEXT: Final[Mapping[str, Any]] = {"schema": {"type": "string"}}
_STREAM: Final[Mapping[str, Any]] = {
    EVENT_STREAM: {
        "schema": {"type": "object", "properties": {"event": {"type": "string"}, "data": {"type": "string"}}}
    }
}
"""Events as objects of their fields, as OpenAPI 3.2 (section 4.14.2) describes them."""
_OTHER_ANSWERS: Final[Mapping[str, Mapping[str, Any]]] = {
    **dict.fromkeys(_FORMS, _STREAM),
    _TRANSCRIPTIONS: {"text/plain": _TEXT, **_STREAM},
    _SPEECH: {"audio/*": {"schema": {"type": "string", "format": "binary"}}, **_STREAM},
}
"""Answers that are no JSON, by media type."""


def _shown(name: str, model: Model) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": "jina", "serves": list(model.serves)}


def error_content(error: JinaError) -> dict[str, Any]:
    """The error as clients of OpenAI's API read it."""
    code, message = getattr(error, "code", None), str(error) or type(error).__name__
    return {"error": {"message": message, "type": _type_of(error), "param": None, "code": code}}


def _type_of(error: JinaError) -> str:
    match error:
        case Unauthenticated():
            return "authentication_error"
        case PermissionDenied():
            return "permission_error"
        case Overloaded():
            return "rate_limit_error"
        case Unavailable() | DeadlineExceeded():
            return "server_error"
        case _:
            return "invalid_request_error" if error.http_status < 500 else "server_error"


def _retry_headers(error: JinaError) -> list[Header]:
    """Milliseconds, which clients obey before the seconds of `retry-after`."""
    if isinstance(error, Overloaded):
        return [(b"retry-after-ms", b"%d" % max(1, round(1000 * error.retry_after)))]
    return []
