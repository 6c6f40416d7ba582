"""Answers of a language model as OpenAI's chat and completions have them, in one piece and as events. Pure: no I/O."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import orjson

from jina.apis.openai_requests import Conversation
from jina.codec.deltas import arguments_of
from jina.documents.deltas import Delta, Finish, Reasoning, ToolCall, Usage
from jina.errors import JinaError

_dumps = orjson.dumps


def new_id(prefix: str) -> str:
    """An identifier that nothing else has."""
    return f"{prefix}{secrets.token_hex(12)}"


@dataclass(slots=True)
class Call:
    """A call of a tool."""

    id: str
    name: str
    index: int
    arguments: str = ""


class StopTexts:
    """Ends a text before the first of several texts, which may come in pieces."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [text for text in texts if text]
        self._held = ""
        self.found = ""
        """The text at which it ended."""

    def feed(self, piece: str) -> str:
        """What of the text may be shown now."""
        text = self._held + piece
        places = [(at, stop) for stop in self._texts if (at := text.find(stop)) >= 0]
        if places:
            at, self.found = min(places)
            self._held = ""
            return text[:at]
        held = max((_overlap(text, stop) for stop in self._texts), default=0)
        self._held = text[len(text) - held :] if held else ""
        return text[: len(text) - held]

    def rest(self) -> str:
        """What was held back, at the end."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many letters at the end of the text begin `stop`."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0


@dataclass(slots=True)
class Choice:
    """One answer as it comes."""

    index: int
    stop: StopTexts | None = None
    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    usage: Usage | None = None
    finish: str = ""

    @property
    def stopped(self) -> bool:
        """Whether it ended at a text of `stop`."""
        return self.stop is not None and bool(self.stop.found)

    @property
    def reason(self) -> str:
        """Why it ended."""
        return self.finish or ("tool_calls" if self.calls else "stop")

    def take(self, delta: Delta) -> Delta | Call | None:
        """Keep a piece; gives what is to be shown of it, with the call as far as it is known, or nothing."""
        match delta:
            case str():
                text = delta if self.stop is None else self.stop.feed(delta)
                self.texts.append(text)
                return text
            case ToolCall():
                return self._called(delta)
            case Reasoning():
                self.reasoning.append(delta.text)
                return delta
            case Usage():
                self.usage = delta
            case Finish():
                self.finish = delta.reason
        return None

    def _called(self, delta: ToolCall) -> Call:
        """The call with no more arguments than those of this piece."""
        known = next((call for call in self.calls if delta.id and call.id == delta.id), None)
        if known is None and (delta.name or not self.calls):
            known = Call(delta.id or new_id("call_"), delta.name, len(self.calls))
            self.calls.append(known)
        known = known or self.calls[-1]
        piece = arguments_of(delta)
        known.arguments += piece
        return Call(known.id, delta.name, known.index, piece)


def total(choices: Iterable[Choice]) -> Usage | None:
    """The tokens of all answers together; those of a prompt count once."""
    usages = [choice.usage for choice in choices if choice.usage is not None]
    if not usages:
        return None
    return Usage(
        max(one.prompt_tokens for one in usages),
        sum(one.completion_tokens for one in usages),
        max(one.cached_tokens for one in usages),
        sum(one.reasoning_tokens for one in usages),
    )


def usage_content(usage: Usage | None) -> dict[str, Any]:
    """Tokens as OpenAI's chat has them."""
    usage = usage or Usage()
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


class Form(Protocol):
    """How one API writes answers. Each of the methods that give bytes gives whole server-sent events."""

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """The answers in one piece."""
        ...

    def start(self) -> bytes:
        """What comes before everything else."""
        ...

    def text(self, choice: Choice, text: str) -> bytes:
        """A piece of text; called for most pieces."""
        ...

    def other(self, choice: Choice, piece: Reasoning | Call) -> bytes:
        """A piece of something else."""
        ...

    def end(self, choice: Choice) -> bytes:
        """One answer is complete."""
        ...

    def close(self, choices: Sequence[Choice]) -> bytes:
        """All are."""
        ...

    def failure(self, error: JinaError, content: dict[str, Any]) -> bytes:
        """The stream ends by an error, whose `content` is that of an answer with a status."""
        ...


class Completions:
    """OpenAI's chat and its older completions."""

    prefix: ClassVar[str] = "chatcmpl-"

    def __init__(self, asked: Conversation) -> None:
        self._asked = asked
        self._chunk = {"id": new_id(self.prefix), "created": int(time.time()), "model": asked.model}
        self._usage = b',"usage":null' if asked.include_usage else b""
        self._heads: dict[int, bytes] = {}
        self._tail = b"}" + self._choice_end() + self._usage + b"}\n\n"

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """See `Form`."""
        content = {**self._chunk, "object": "chat.completion", "choices": [_message_choice(one) for one in choices]}
        used = total(choices)
        return content if used is None else {**content, "usage": usage_content(used)}

    def start(self) -> bytes:
        """See `Form`."""
        indices = range(self._asked.n * len(self._asked.documents))
        return b"".join(self._event(self._delta(index, {"role": "assistant", "content": ""})) for index in indices)

    def text(self, choice: Choice, text: str) -> bytes:
        """See `Form`."""
        head = self._heads.get(choice.index) or self._head(choice.index)
        return head + _dumps(text) + self._tail

    def other(self, choice: Choice, piece: Reasoning | Call) -> bytes:
        """See `Form`."""
        if isinstance(piece, Reasoning):
            return self._event(self._delta(choice.index, {"reasoning_content": piece.text}))
        function: dict[str, Any] = {"arguments": piece.arguments}
        call: dict[str, Any] = {"index": piece.index, "function": function}
        if piece.name:
            function["name"] = piece.name
            call.update(id=piece.id, type="function")
        return self._event(self._delta(choice.index, {"tool_calls": [call]}))

    def end(self, choice: Choice) -> bytes:
        """See `Form`."""
        return self._event(self._delta(choice.index, {}, choice.reason))

    def close(self, choices: Sequence[Choice]) -> bytes:
        """See `Form`."""
        done = b"data: [DONE]\n\n"
        if not self._asked.include_usage:
            return done
        used = {**self._chunk, "object": self._object, "choices": [], "usage": usage_content(total(choices))}
        return self._event(used) + done

    def failure(self, error: JinaError, content: dict[str, Any]) -> bytes:
        """See `Form`."""
        del error
        return self._event(content)

    _object: ClassVar[str] = "chat.completion.chunk"

    def _choice_end(self) -> bytes:
        return b',"logprobs":null,"finish_reason":null}]'

    def _head(self, index: int) -> bytes:
        """What comes before the text of a piece; the same for all of one answer."""
        start = _dumps({**self._chunk, "object": self._object})[:-1]
        head = b'data: %b,"choices":[{"index":%d,"delta":{"content":' % (start, index)
        self._heads[index] = head
        return head

    def _delta(self, index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        usage = {"usage": None} if self._asked.include_usage else {}
        return {**self._chunk, "object": self._object, "choices": [choice], **usage}

    @staticmethod
    def _event(content: dict[str, Any]) -> bytes:
        return b"data: " + _dumps(content) + b"\n\n"


def _message_choice(choice: Choice) -> dict[str, Any]:
    text = "".join(choice.texts)
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not choice.calls else None}
    message.update(refusal=None, annotations=[])
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in choice.calls
        ]
    return {"index": choice.index, "message": message, "logprobs": None, "finish_reason": choice.reason}


class TextCompletions(Completions):
    """OpenAI's older completions."""

    prefix: ClassVar[str] = "cmpl-"
    _object: ClassVar[str] = "text_completion"

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """See `Form`."""
        shown = [
            {"index": one.index, "text": "".join(one.texts), "logprobs": None, "finish_reason": _text_reason(one)}
            for one in choices
        ]
        content = {**self._chunk, "object": self._object, "choices": shown}
        used = total(choices)
        return content if used is None else {**content, "usage": usage_content(used)}

    def start(self) -> bytes:
        """See `Form`."""
        return b""

    def other(self, choice: Choice, piece: Reasoning | Call) -> bytes:
        """See `Form`; there is no place for anything but text."""
        del choice, piece
        return b""

    def end(self, choice: Choice) -> bytes:
        """See `Form`."""
        last = {"index": choice.index, "text": "", "logprobs": None, "finish_reason": _text_reason(choice)}
        usage = {"usage": None} if self._asked.include_usage else {}
        return self._event({**self._chunk, "object": self._object, "choices": [last], **usage})

    def _choice_end(self) -> bytes:
        return b"]"

    def _head(self, index: int) -> bytes:
        start = _dumps({**self._chunk, "object": self._object})[:-1]
        head = b'data: %b,"choices":[{"index":%d,"logprobs":null,"finish_reason":null,"text":' % (start, index)
        self._heads[index] = head
        return head


def _text_reason(choice: Choice) -> str:
    return choice.reason if choice.reason in {"length", "content_filter"} else "stop"
