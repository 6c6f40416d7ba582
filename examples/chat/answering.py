"""From a conversation to an answer, one token of the model after the other."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from chat_documents import Conversation, Delta, Message, Tool

if TYPE_CHECKING:
    from smollm import Vocabulary

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
LONGEST_ARGUMENT = 24
"""Tokens of an argument of a tool."""

Talk = Generator["list[int] | Delta", np.ndarray, None]
"""Gives tokens for the model to read, to be sent the logits after the last of them; or a piece of the answer."""


def prompt(chat: Conversation) -> str:
    """The conversation in the form that the model was trained with."""
    parts = list(chat.messages)
    if not parts or parts[0].role != "system":
        parts.insert(0, Message(role="system", content=SYSTEM))
    if calls(chat):
        known = "\n".join(f"{tool.name}({', '.join(tool.arguments)}): {tool.description}" for tool in chat.tools)
        parts[0] = Message(role="system", content=f"{parts[0].content}\nCall one of these functions:\n{known}")
    written = [f"<|im_start|>{_role(one)}\n{_content(one)}<|im_end|>\n" for one in parts]
    return "".join(written) + "<|im_start|>assistant\n"


def calls(chat: Conversation) -> bool:
    """Whether the answer is a call: there are tools, and none has been called for the last question."""
    return bool(chat.tools) and (not chat.messages or chat.messages[-1].role != "tool")


def _role(message: Message) -> str:
    return "user" if message.role == "tool" else message.role


def _content(message: Message) -> str:
    if message.role == "tool":
        return f"Answer my question in one sentence from this:\n{message.content}"
    return message.content


def answer(chat: Conversation, vocabulary: Vocabulary) -> Talk:
    """Answer by text, or by a call where there are tools and none has been called.

    A model of this size cannot tell whether a tool helps, so it is not asked that: it chooses which one, and writes
    the arguments; whatever else stands in a call is given, so that each is one of the tools with all its arguments.
    """
    logits = yield vocabulary.encode(prompt(chat))
    assert isinstance(logits, np.ndarray)
    if calls(chat):
        yield from _call(chat.tools, vocabulary, logits)
        return
    tokens: list[int] = []
    said = ""
    while len(tokens) < chat.max_tokens:
        token = int(logits.argmax())
        if token == vocabulary.end:
            return
        tokens.append(token)
        text = vocabulary.decode(tokens)
        if len(text) > len(said):
            yield Delta(text=text[len(said) :])
            said = text
        logits = yield [token]


def _call(tools: Sequence[Tool], vocabulary: Vocabulary, logits: np.ndarray) -> Talk:
    logits = yield vocabulary.encode("Function: ")
    names = {tool.name: vocabulary.encode(f"{tool.name}\n") for tool in tools}
    chosen: list[int] = []
    while len(left := [name for name, tokens in names.items() if tokens[: len(chosen)] == chosen]) > 1:
        able = sorted({names[name][len(chosen)] for name in left})
        token = able[int(logits[able].argmax())]
        chosen.append(token)
        logits = yield [token]
    (name,) = left
    rest = names[name][len(chosen) :]
    if rest:
        logits = yield rest
    arguments: dict[str, str] = {}
    for argument in next(tool for tool in tools if tool.name == name).arguments:
        logits = yield vocabulary.encode(f'{argument}: "')
        tokens: list[int] = []
        while len(tokens) < LONGEST_ARGUMENT:
            token = int(logits.argmax())
            text = vocabulary.decode([token])
            if token == vocabulary.end or '"' in text or "\n" in text:
                break
            tokens.append(token)
            logits = yield [token]
        arguments[argument] = vocabulary.decode(tokens).strip()
        logits = yield vocabulary.encode('"\n')
    yield Delta(tool=name, arguments=json.dumps(arguments, ensure_ascii=False))
