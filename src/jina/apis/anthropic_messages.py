"""Answers of a language model as Anthropic's messages have them: blocks, and their events. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from jina.apis.openai_answers import Call, Choice, new_id, total
from jina.apis.openai_requests import Conversation
from jina.documents.deltas import Reasoning, Usage
from jina.errors import JinaError

_dumps = orjson.dumps
_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error",
}  # fmt: skip


_NO_USAGE = {"cache_creation": None, "inference_geo": None, "service_tier": None}
"""What messages tell of their tokens beyond that, and events at their end do not."""


def error_content(error: JinaError, ident: str = "") -> dict[str, Any]:
    """An error as clients of Anthropic's API read it."""
    status = error.http_status
    kind = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    content = {"type": kind, "message": str(error) or type(error).__name__}
    return {"type": "error", "error": content, "request_id": ident or None}


class Messages:
    """See `openai_answers.Form`."""

    def __init__(self, asked: Conversation) -> None:
        self._message: dict[str, Any] = {
            "id": new_id("msg_"), "type": "message", "role": "assistant", "model": asked.model, "content": [],
            "stop_reason": None, "stop_sequence": None, "stop_details": None, "container": None,
            "usage": {**_usage(None), **_NO_USAGE},
        }  # fmt: skip
        self._index = -1
        self._open = ""
        """What block is open: text, thinking, or the id of a call."""
        self._head = b""

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """See `Form`."""
        [choice] = choices
        blocks: list[dict[str, Any]] = []
        if choice.reasoning:
            blocks.append({"type": "thinking", "thinking": "".join(choice.reasoning), "signature": ""})
        if text := "".join(choice.texts):
            blocks.append({"type": "text", "text": text, "citations": None})
        blocks += [_tool_use(call, _arguments(call)) for call in choice.calls]
        return {**self._message, "content": blocks, **_ending(choice), "usage": {**_usage(total(choices)), **_NO_USAGE}}

    def start(self) -> bytes:
        """See `Form`."""
        return _event("message_start", message=self._message)

    def text(self, choice: Choice, text: str) -> bytes:
        """See `Form`."""
        del choice
        before = b"" if self._open == "text" else self._begun("text", {"type": "text", "text": "", "citations": None})
        return b"%b%b%b}}\n\n" % (before, self._head, _dumps(text))

    def other(self, choice: Choice, piece: Reasoning | Call) -> bytes:
        """See `Form`."""
        del choice
        before = b""
        if isinstance(piece, Reasoning):
            if self._open != "thinking":
                before = self._begun("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            return before + self._delta({"type": "thinking_delta", "thinking": piece.text})
        if self._open != piece.id:
            before = self._begun(piece.id, _tool_use(piece, {}))
        if not piece.arguments:
            return before
        return before + self._delta({"type": "input_json_delta", "partial_json": piece.arguments})

    def end(self, choice: Choice) -> bytes:
        """See `Form`."""
        del choice
        return self._ended()

    def close(self, choices: Sequence[Choice]) -> bytes:
        """See `Form`."""
        ending = _event("message_delta", delta={**_ending(choices[0]), "container": None}, usage=_usage(total(choices)))
        return ending + _event("message_stop")

    def failure(self, error: JinaError, content: dict[str, Any]) -> bytes:
        """See `Form`."""
        del content
        return b"event: error\ndata: " + _dumps(error_content(error)) + b"\n\n"

    def _begun(self, key: str, block: dict[str, Any]) -> bytes:
        ended = self._ended()
        self._open = key
        self._index += 1
        start = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,' % self._index
        self._head = start + b'"delta":{"type":"text_delta","text":'
        return ended + _event("content_block_start", index=self._index, content_block=block)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def _ended(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event("content_block_stop", index=self._index)


def _arguments(call: Call) -> Any:
    try:
        return orjson.loads(call.arguments or "{}")
    except ValueError:
        return {"arguments": call.arguments}


def _tool_use(call: Call, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments, "caller": {"type": "direct"}}


def _ending(choice: Choice) -> dict[str, Any]:
    if choice.stopped and choice.stop is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": choice.stop.found, "stop_details": None}
    return {"stop_reason": _REASONS.get(choice.reason, "end_turn"), "stop_sequence": None, "stop_details": None}


def _usage(usage: Usage | None) -> dict[str, Any]:
    usage = usage or Usage()
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "server_tool_use": None,
    }


def _event(name: str, /, **content: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _dumps({"type": name, **content}))
