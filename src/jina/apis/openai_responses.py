"""Answers of a language model as OpenAI's responses have them: items, and events with numbers. Pure: no I/O."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import orjson

from jina.apis.openai_answers import Call, Choice, new_id, total
from jina.apis.openai_requests import Conversation, ResponseBody
from jina.documents.deltas import Reasoning, Usage
from jina.errors import JinaError

_dumps = orjson.dumps
_TOOL = {"description": None, "parameters": None, "strict": None}
"""What is told of a tool whose request does not."""
_REPEATED = {
    "frequency_penalty", "max_tool_calls", "presence_penalty", "prompt_cache_key", "safety_identifier", "top_logprobs",
}  # fmt: skip
"""Fields of a request that the answer repeats, and that are for the method besides."""


class Responses:
    """See `openai_answers.Form`. One item is open at a time: reasoning, a message or the call of a function."""

    def __init__(self, asked: Conversation) -> None:
        body: ResponseBody = asked.body
        self._number = -1
        self._items: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None
        self._pieces: list[str] = []
        self._head = b""
        self._response: dict[str, Any] = {
            "id": new_id("resp_"),
            "object": "response",
            "created_at": int(time.time()),
            "completed_at": None,
            "status": "in_progress",
            "background": False,
            "error": None,
            "frequency_penalty": 0.0,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "max_tool_calls": None,
            "model": asked.model,
            "output": [],
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "presence_penalty": 0.0,
            "previous_response_id": None,
            "prompt_cache_key": None,
            "reasoning": {"effort": None, "summary": None},
            "safety_identifier": None,
            "service_tier": "default",
            "store": False,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "text": body.text or {"format": {"type": "text"}},
            "tool_choice": body.tool_choice or "auto",
            "tools": [{**_TOOL, **tool} for tool in body.tools or []],
            "top_logprobs": 0,
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "truncation": "disabled",
            "usage": None,
            "metadata": body.metadata or {},
        }
        extra = asked.documents[0]["extra"]
        self._response.update((name, extra[name]) for name in _REPEATED & extra.keys())
        if isinstance(extra.get("reasoning"), dict):
            self._response["reasoning"] |= extra["reasoning"]

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """See `Form`."""
        [choice] = choices
        if choice.reasoning:
            self._items.append(_reasoning_item(new_id("rs_"), "".join(choice.reasoning)))
        if choice.texts or not choice.calls:
            self._items.append(_message_item(new_id("msg_"), "".join(choice.texts)))
        self._items += [_call_item(new_id("fc_"), call.id, call.name, call.arguments) for call in choice.calls]
        return self._ended(choice)

    def start(self) -> bytes:
        """See `Form`."""
        return b"".join(self._event(name, response=self._response) for name in ("created", "in_progress"))

    def text(self, choice: Choice, text: str) -> bytes:
        """See `Form`."""
        del choice
        before = b""
        if self._open is None or self._open["type"] != "message":
            before = self._begun(_message_item(new_id("msg_"), None))
        self._pieces.append(text)
        self._number += 1
        return b'%b%b%d,"delta":%b}\n\n' % (before, self._head, self._number, _dumps(text))

    def other(self, choice: Choice, piece: Reasoning | Call) -> bytes:
        """See `Form`."""
        del choice
        before = b""
        if isinstance(piece, Reasoning):
            if self._open is None or self._open["type"] != "reasoning":
                before = self._begun(_reasoning_item(new_id("rs_"), None))
            self._pieces.append(piece.text)
            return before + self._event("reasoning_text.delta", **self._place, content_index=0, delta=piece.text)
        if self._open is None or self._open.get("call_id") != piece.id:
            before = self._begun(_call_item(new_id("fc_"), piece.id, piece.name, ""))
        if not piece.arguments:
            return before
        self._pieces.append(piece.arguments)
        return before + self._event("function_call_arguments.delta", **self._place, delta=piece.arguments)

    def end(self, choice: Choice) -> bytes:
        """See `Form`."""
        before = b"" if self._items or self._open or choice.calls else self._begun(_message_item(new_id("msg_"), None))
        return before + self._completed_item()

    def close(self, choices: Sequence[Choice]) -> bytes:
        """See `Form`."""
        ended = self._ended(choices[0])
        return self._event(str(ended["status"]), response=ended)

    def failure(self, error: JinaError, content: dict[str, Any]) -> bytes:
        """See `Form`."""
        shown = content["error"]
        code = "server_error" if error.http_status >= 500 else str(shown["code"] or shown["type"])
        failed = {**self._response, "status": "failed", "output": self._items}
        failed["error"] = {"code": "server_error", "message": shown["message"]}
        self._number += 1
        event = {"type": "error", "code": code, "message": shown["message"], "param": None, "error": shown}
        event["sequence_number"] = self._number
        return b"event: error\ndata: %b\n\n%b" % (_dumps(event), self._event("failed", response=failed))

    @property
    def _place(self) -> dict[str, Any]:
        assert self._open is not None
        return {"item_id": self._open["id"], "output_index": len(self._items)}

    def _begun(self, item: dict[str, Any]) -> bytes:
        """Events that end the item before, and begin this one."""
        events = self._completed_item()
        self._open = item
        self._pieces = []
        events += self._event("output_item.added", output_index=len(self._items), item=item)
        if item["type"] == "message":
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            events += self._event("content_part.added", **self._place, content_index=0, part=part)
            place = _dumps({**self._place, "content_index": 0, "logprobs": []})[1:-1]
            kind = b"response.output_text.delta"
            self._head = b'event: %b\ndata: {"type":"%b",%b,"sequence_number":' % (kind, kind, place)
        elif item["type"] == "reasoning":
            part = {"type": "reasoning_text", "text": ""}
            events += self._event("content_part.added", **self._place, content_index=0, part=part)
        return events

    def _completed_item(self) -> bytes:
        """Events that end the open item, if there is one."""
        item, text = self._open, "".join(self._pieces)
        if item is None:
            return b""
        place = self._place
        if item["type"] == "message":
            part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
            done = {**item, "status": "completed", "content": [part]}
            events = self._event("output_text.done", **place, content_index=0, text=text, logprobs=[])
            events += self._event("content_part.done", **place, content_index=0, part=part)
        elif item["type"] == "reasoning":
            part = {"type": "reasoning_text", "text": text}
            done = {**item, "status": "completed", "content": [part]}
            events = self._event("reasoning_text.done", **place, content_index=0, text=text)
            events += self._event("content_part.done", **place, content_index=0, part=part)
        else:
            done = {**item, "status": "completed", "arguments": text}
            events = self._event("function_call_arguments.done", **place, name=item["name"], arguments=text)
        events += self._event("output_item.done", output_index=len(self._items), item=done)
        self._items.append(done)
        self._open = None
        return events

    def _ended(self, choice: Choice) -> dict[str, Any]:
        reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
        reason = reasons.get(choice.reason)
        return {
            **self._response,
            "status": "incomplete" if reason else "completed",
            "completed_at": None if reason else int(time.time()),
            "incomplete_details": {"reason": reason} if reason else None,
            "output": self._items,
            "usage": _usage(total([choice])),
        }

    def _event(self, name: str, /, **content: Any) -> bytes:
        self._number += 1
        kind = f"response.{name}"
        data = {"type": kind, **content, "sequence_number": self._number}
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), _dumps(data))


def _message_item(ident: str, text: str | None) -> dict[str, Any]:
    """A message; without text one that is to come."""
    status = "in_progress" if text is None else "completed"
    item: dict[str, Any] = {"id": ident, "type": "message", "status": status, "role": "assistant", "content": []}
    if text is not None:
        item["content"] = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return item


def _reasoning_item(ident: str, text: str | None) -> dict[str, Any]:
    status = "in_progress" if text is None else "completed"
    content = [] if text is None else [{"type": "reasoning_text", "text": text}]
    return {"id": ident, "type": "reasoning", "status": status, "summary": [], "content": content}


def _call_item(ident: str, call: str, name: str, arguments: str) -> dict[str, Any]:
    status = "completed" if arguments else "in_progress"
    return {
        "id": ident, "type": "function_call", "status": status, "call_id": call, "name": name, "arguments": arguments,
    }  # fmt: skip


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
