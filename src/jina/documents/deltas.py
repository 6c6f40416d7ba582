"""What a method of a language model yields beside text: pieces of an answer, as values of a few bytes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class ToolCall(msgspec.Struct, frozen=True):
    """A call of a tool that the model asks for, or a piece of one.

    One with a `name` begins a call; further ones without it add to the `arguments` of the call with this `id`, or else
    of the last. `arguments` are JSON text, in pieces of any size, or a whole object. Without an `id` one is made.
    """

    name: str = ""
    arguments: str | dict[str, Any] = ""
    id: str = ""


class Reasoning(msgspec.Struct, frozen=True):
    """A piece of what the model thinks before it answers."""

    text: str


class Usage(msgspec.Struct, frozen=True):
    """Tokens of a request and its answer; the last that is yielded counts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Those of the prompt that were not computed again."""
    reasoning_tokens: int = 0
    """Those of the answer that are reasoning."""


class Finish(msgspec.Struct, frozen=True):
    """Why the answer ends, where it is neither complete (`stop`) nor calls tools, both of which are known anyway."""

    reason: FinishReason


Delta = str | ToolCall | Reasoning | Usage | Finish
"""A piece of an answer."""
DELTAS = (str, ToolCall, Reasoning, Usage, Finish)
