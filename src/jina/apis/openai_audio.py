"""Speech to text, and text to speech, in OpenAI's form, over endpoints that take or give files of audio."""

from __future__ import annotations

import base64
import io
import mimetypes
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec

from jina.apis.openai_models import Model, model_named, properties_of
from jina.apis.openai_requests import parsed
from jina.codec import pb
from jina.codec.json_text import loads
from jina.codec.messages import Payload, Request
from jina.codec.payloads import FilePayload, JsonPayload
from jina.codec.plain_json import docs_to_json, json_to_docs
from jina.documents.files import UNKNOWN, matches
from jina.errors import BadRequest, BadServer, Cancelled, JinaError, UnsupportedMediaType
from jina.net.limits import Gate
from jina.net.messages import as_jina_error
from jina.net.service import EndpointInfo, flat_fields
from jina.server.http import Exchange, dumps
from jina.server.http_calls import EVENT_STREAM, guarded
from jina.server.multipart import options_of
from jina.server.uploads import FORM, field_kinds, file_in, message_of, printable, read_form, remove_later

NewRequest = Callable[..., Request]
ErrorContent = Callable[[JinaError], dict[str, Any]]
_EVENTS: Final = f"{EVENT_STREAM}; charset=utf-8".encode()
_TEXT: Final = b"text/plain; charset=utf-8"
TRANSCRIPTS: Final = ("json", "text", "srt", "verbose_json", "vtt")
"""How the answer to `/v1/audio/transcriptions` may look."""
SOUNDS: Final = {
    "mp3": "audio/mpeg", "opus": "audio/opus", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav",
    "pcm": "audio/pcm",
}  # fmt: skip
"""Formats of `/v1/audio/speech`, and their media types."""
_SAME: Final = {
    "audio/mp3": "audio/mpeg", "audio/ogg": "audio/opus", "audio/x-aac": "audio/aac", "audio/x-flac": "audio/flac",
    "audio/x-wav": "audio/wav", "audio/wave": "audio/wav", "audio/vnd.wave": "audio/wav", "audio/l16": "audio/pcm",
}  # fmt: skip
"""Other names of these media types."""
FORM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "format": "binary", "x-jina": "file"},
        "model": {"type": "string"},
        "language": {"type": "string"},
        "prompt": {"type": "string"},
        "response_format": {"type": "string", "enum": list(TRANSCRIPTS)},
        "temperature": {"type": "number"},
        "stream": {"type": "boolean"},
        "timestamp_granularities[]": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["file"],
    "additionalProperties": True,
}
"""The form that `/v1/audio/transcriptions` takes."""
_FORM: Final = EndpointInfo("", "The form", FORM_SCHEMA, "", {}, flat_fields=flat_fields(FORM_SCHEMA))
_SEGMENT: Final = {
    "seek": 0, "tokens": [], "temperature": 0.0, "avg_logprob": 0.0, "compression_ratio": 0.0, "no_speech_prob": 0.0,
}  # fmt: skip
"""What clients read of each segment, for methods that do not tell it."""
_NO_TOKENS: Final = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


class SpeechBody(msgspec.Struct, kw_only=True):
    """Of `/v1/audio/speech`."""

    input: str
    model: str = ""
    voice: str | dict[str, Any] = ""
    response_format: str | None = None
    stream_format: str | None = None


async def answer_transcription(
    exchange: Exchange, gate: Gate, models: Mapping[str, Model], new: NewRequest, content: ErrorContent
) -> None:
    """The text of a file of audio, in one piece or as it is heard; `content` is that of an error in a stream."""
    if options_of(exchange.headers.get("content-type", ""))[0] != FORM:
        raise UnsupportedMediaType(f"{exchange.path} takes {FORM}, with the audio as `file`")
    upload = (await read_form(exchange, _FORM, exchange.terms.max_body)).payload
    assert isinstance(upload, FilePayload)
    try:
        audio, fields = _form_of(upload)
        model = model_named(models, str(fields.get("model", "")), "transcription")
        form = str(fields.get("response_format") or "json")
        _check_form(form, model)
        request = _of_audio(audio, fields, upload, model, new)
        if fields.get("stream") is True:
            await _stream_text(exchange, gate, model, request, content)
            return
        heard = await guarded(exchange, _heard(gate, model, request), request.deadline)
        if form in {"json", "verbose_json"}:
            await exchange.respond_json(dumps(_verbose(heard) if form == "verbose_json" else {"text": heard["text"]}))
        else:
            await exchange.respond((_written(heard, form).encode(),), (b"content-type", _TEXT))
    finally:
        remove_later(upload.uploads)


def _form_of(upload: FilePayload) -> tuple[pb.DocProto, dict[str, Any]]:
    """The file of the form, and its other fields."""
    message = pb.DocListProto.FromString(bytes(upload.data))
    data = message.docs[0].data
    if "file" not in data or data["file"].WhichOneof("content") != "doc":
        raise BadRequest("file: there is no audio in the form", help="send it as a part named `file`, with a file name")
    audio = pb.DocProto()
    audio.CopyFrom(data["file"].doc)
    del data["file"]
    [fields] = loads(docs_to_json(message))
    return audio, {name.removesuffix("[]"): value for name, value in fields.items()}


def _check_form(form: str, model: Model) -> None:
    if form not in TRANSCRIPTS:
        raise BadRequest(f"response_format: {form!r} is not one of {', '.join(TRANSCRIPTS)}")
    fields = properties_of(model.info.output_schema)
    needed = {"verbose_json": ("language", "duration"), "srt": ("segments",), "vtt": ("segments",)}.get(form, ())
    if missing := [name for name in needed if name not in fields]:
        raise BadRequest(
            f"response_format: {model.endpoint} gives no {' and no '.join(missing)}, which {form} tells",
            help="ask for json or text",
        )


def _of_audio(
    audio: pb.DocProto, fields: Mapping[str, Any], upload: FilePayload, model: Model, new: NewRequest
) -> Request:
    """The request with a document of the model's own; raises `UnsupportedMediaType`."""
    accepts = field_kinds(model.info.input_schema)[model.text].accepts
    node = audio.data["media_type"]
    node.text = _audio_type(node.text, audio.data["name"].text, accepts)
    if not matches(node.text, accepts):
        raise UnsupportedMediaType(f"file: {node.text} is not one of {', '.join(accepts)}")
    own, parameters = _fields_for(model, fields)
    message = pb.DocListProto()
    json_to_docs([own], message)
    message.docs[0].data[model.text].doc.CopyFrom(audio)
    return new(model, FilePayload(message.SerializeToString(), upload.uploads), **parameters)


def _audio_type(given: str, name: str, accepts: Sequence[str]) -> str:
    """The media type of a file: by its name where it has none, and sound where its container may hold that alone."""
    kind = (mimetypes.guess_type(name)[0] if given in {"", UNKNOWN} else given) or UNKNOWN
    sound = f"audio/{kind.removeprefix('video/')}"
    return sound if kind.startswith("video/") and not matches(kind, accepts) else kind


def _fields_for(model: Model, fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those that the method takes, in its document and as parameters; the others are not for it."""
    own = properties_of(model.info.input_schema).keys() - {model.text}
    parameters = (model.info.parameters_schema or {}).get("properties", {}).keys() - own
    return (
        {name: value for name, value in fields.items() if name in own and value is not None},
        {name: value for name, value in fields.items() if name in parameters and value is not None},
    )


async def _heard(gate: Gate, model: Model, request: Request) -> dict[str, Any]:
    """What the method told: `text`, and more where it has more."""
    if not model.info.is_generator:
        pieces = _pieces((await gate.call(request)).payload, model)
        if len(pieces) != 1:
            raise BadServer(f"{model.endpoint} gave {len(pieces)} texts for one file")
        return pieces[0]
    segments: list[dict[str, Any]] = []
    async with aclosing(gate.stream(request)) as replies:
        async for reply in replies:
            segments += _pieces(reply.payload, model)
    return {"text": "".join(piece["text"] for piece in segments)}


def _pieces(payload: Payload, model: Model) -> list[dict[str, Any]]:
    """The objects that the method gave, each with a `text`; raises `BadServer`."""
    pieces: list[dict[str, Any]] = loads(payload.to_json())
    if model.result == "value":
        pieces = [{"text": piece.get("value")} for piece in pieces]
    if not all(isinstance(piece.get("text"), str) for piece in pieces):
        raise BadServer(f"{model.endpoint} gave something else than text")
    return pieces


def _verbose(heard: Mapping[str, Any]) -> dict[str, Any]:
    content = {"task": "transcribe", **{name: heard.get(name) for name in ("language", "duration", "text")}}
    if heard.get("segments"):
        content["segments"] = [{"id": at, **_SEGMENT, **one} for at, one in enumerate(heard["segments"])]
    return {**content, "words": heard["words"]} if heard.get("words") else content


def _written(heard: Mapping[str, Any], form: str) -> str:
    """The text alone, or as subtitles."""
    if form == "text":
        return str(heard["text"])
    point, head = (",", "") if form == "srt" else (".", "WEBVTT\n\n")
    return head + "".join(
        f"{number}\n{_time(one['start'], point)} --> {_time(one['end'], point)}\n{one['text'].strip()}\n\n"
        for number, one in enumerate(heard.get("segments") or (), 1)
    )


def _time(seconds: float, point: str) -> str:
    whole, thousandths = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{thousandths:03}"


async def _stream_text(exchange: Exchange, gate: Gate, model: Model, request: Request, content: ErrorContent) -> None:
    async def texts() -> AsyncGenerator[str]:
        if not model.info.is_generator:
            yield (await _heard(gate, model, request))["text"]
            return
        async with aclosing(gate.stream(request)) as replies:
            async for reply in replies:
                for piece in _pieces(reply.payload, model):
                    yield piece["text"]

    async def events() -> AsyncGenerator[bytes]:
        whole = []
        async with aclosing(texts()) as found:
            async for text in found:
                whole.append(text)
                yield _event({"type": "transcript.text.delta", "delta": text})
        yield _event({"type": "transcript.text.done", "text": "".join(whole)})

    await _send_events(exchange, events(), request, content)


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + dumps(content) + b"\n\n"


async def _send_events(
    exchange: Exchange, events: AsyncGenerator[bytes], request: Request, content: ErrorContent
) -> None:
    """An error before the first event is one of the request; one later is the last event."""
    last = b""
    try:
        await guarded(exchange, _send(exchange, events, _EVENTS), request.deadline)
    except Cancelled:
        raise
    except Exception as error:
        if not exchange.started:
            raise
        last = _event(content(as_jina_error(error)))
    await exchange.write(last, more=False)


async def _send(exchange: Exchange, pieces: AsyncGenerator[bytes], content_type: bytes) -> None:
    async with aclosing(pieces):
        async for piece in pieces:
            if not exchange.started:
                await exchange.start_stream(content_type)
            await exchange.write(piece)


async def answer_speech(
    exchange: Exchange,
    gate: Gate,
    models: Mapping[str, Model],
    value: dict[str, Any],
    new: NewRequest,
    content: ErrorContent,
) -> None:
    """A text as sound: as the method gives it, or as events."""
    asked = parsed(value, SpeechBody)
    model = model_named(models, asked.model, "speech")
    wanted = asked.response_format
    _check_sound(asked, model)
    own, parameters = _fields_for(model, {**value, "voice": _voice(asked.voice)})
    if "response_format" in model.info.input_schema.get("required", ()):
        own.setdefault("response_format", "mp3")
    request = new(model, JsonPayload([{**own, model.text: asked.input}], location=("body",)), **parameters)
    if asked.stream_format == "sse":
        sounds = _sounds(gate, model, request, wanted)
        await _send_events(exchange, _sound_events(sounds), request, content)
    elif model.info.is_generator:
        await guarded(exchange, _send_sound(exchange, _sounds(gate, model, request, wanted)), request.deadline)
        await exchange.write(b"", more=False)
    else:
        await _send_file(exchange, gate, model, request, wanted)


def _check_sound(asked: SpeechBody, model: Model) -> None:
    if asked.stream_format not in {None, "sse", "audio"}:
        raise BadRequest(f"stream_format: {asked.stream_format!r} is not one of audio, sse")
    if (wanted := asked.response_format) is None:
        return
    if wanted not in SOUNDS:
        raise BadRequest(f"response_format: {wanted!r} is not one of {', '.join(SOUNDS)}")
    accepts = field_kinds(model.info.output_schema)[model.result].accepts
    if not any(matches(kind, accepts) for kind in (SOUNDS[wanted], *_names_of(SOUNDS[wanted]))):
        raise BadRequest(f"response_format: {model.endpoint} gives {' or '.join(accepts)}, not {SOUNDS[wanted]}")


def _names_of(kind: str) -> Iterator[str]:
    return (name for name, same in _SAME.items() if same == kind)


def _voice(voice: str | dict[str, Any]) -> str | None:
    """The name of a voice, which may be an object with it as `id`."""
    return str(voice.get("id", "")) or None if isinstance(voice, dict) else voice or None


async def _sounds(gate: Gate, model: Model, request: Request, wanted: str | None) -> AsyncGenerator[tuple[str, bytes]]:
    """Media type and content of each file that the method gives; raises `BadServer` and `BadRequest`."""
    if not model.info.is_generator:
        reply = await gate.call(request)
        yield _sound(_only(reply.payload, model), model, wanted)
        return
    async with aclosing(gate.stream(request)) as replies:
        async for reply in replies:
            for doc in message_of(reply.payload).docs:
                yield _sound(doc, model, wanted)


def _only(payload: Payload, model: Model) -> pb.DocProto:
    docs = message_of(payload).docs
    if len(docs) != 1:
        raise BadServer(f"{model.endpoint} gave {len(docs)} files for one text")
    return docs[0]


def _sound(doc: pb.DocProto, model: Model, wanted: str | None) -> tuple[str, bytes]:
    kind, file = _open_sound(doc, model, wanted)
    with file:
        return kind, file.read()


def _open_sound(doc: pb.DocProto, model: Model, wanted: str | None) -> tuple[str, Any]:
    found = file_in(doc.data, model.result)
    if found is None:
        raise BadServer(f"{model.endpoint} gave no audio")
    _, kind, file = found
    plain = kind.partition(";")[0].strip().lower()
    if wanted is not None and _SAME.get(plain, plain) != SOUNDS[wanted]:
        file.close()
        raise BadRequest(f"response_format: {model.endpoint} gives {kind} here, not {SOUNDS[wanted]}")
    return kind, file


async def _sound_events(sounds: AsyncGenerator[tuple[str, bytes]]) -> AsyncGenerator[bytes]:
    async with aclosing(sounds):
        async for _, piece in sounds:
            yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
    yield _event({"type": "speech.audio.done", "usage": _NO_TOKENS})


async def _send_sound(exchange: Exchange, sounds: AsyncGenerator[tuple[str, bytes]]) -> None:
    async with aclosing(sounds):
        async for kind, piece in sounds:
            if not exchange.started:
                await exchange.start_stream(printable(kind))
            if piece:
                await exchange.write(piece)
    if not exchange.started:
        await exchange.start_stream(UNKNOWN.encode())


async def _send_file(exchange: Exchange, gate: Gate, model: Model, request: Request, wanted: str | None) -> None:
    """The file that the method gave, which is read as the client takes it."""
    names: list[str] = []
    request.handed_over = names
    try:
        reply = await guarded(exchange, gate.call(request), request.deadline)
        doc = _only(reply.payload, model)
        names += reply.payload.uploads  # known once the documents are written
        kind, file = _open_sound(doc, model, wanted)
        with file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            await exchange.respond_file(file, size, (b"content-type", printable(kind)), status=200, headers=[])
    finally:
        remove_later(names)
