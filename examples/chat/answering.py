"""From a conversation to an answer, one token of the model after the other."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jina import Chat, Delta, Finish, Message, ToolCall, Usage

if TYPE_CHECKING:
    from smollm import Vocabulary

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
MAX_TOKENS = 48
"""Tokens of an answer, where the client does not say."""
LONGEST_ARGUMENT = 24
"""Tokens of an argument of a function."""

Talk = Generator["list[int] | Delta", np.ndarray, None]
"""Gives tokens for the model to read, to be sent the logits after the last of them; or a piece of the answer."""


class Function(NamedTuple):
    """A function that the model may call with texts as its arguments."""

    name: str
    description: str
    arguments: list[str]


def functions(chat: Chat) -> list[Function]:
    """Those that may be called now: none where one has been called for the last question."""
    if chat.messages and chat.messages[-1].role == "tool":
        return []
    described = [tool["function"] for tool in chat.tools]
    return [
        Function(one["name"], one.get("description") or "", list((one.get("parameters") or {}).get("properties", {})))
        for one in described
    ]


def prompt(chat: Chat) -> str:
    """The conversation in the form that the model was trained with."""
    parts = [one for one in chat.messages if one.content]  # a call that the model has made is no text
    if not parts or parts[0].role != "system":
        parts.insert(0, Message(role="system", content=SYSTEM))
    if able := functions(chat):
        known = "\n".join(f"{one.name}({', '.join(one.arguments)}): {one.description}" for one in able)
        parts[0] = Message(role="system", content=f"{parts[0].content}\nCall one of these functions:\n{known}")
    written = [f"<|im_start|>{_role(one)}\n{_content(one)}<|im_end|>\n" for one in parts]
    return "".join(written) + "<|im_start|>assistant\n"


def _role(message: Message) -> str:
    return "user" if message.role == "tool" else message.role


def _content(message: Message) -> str:
    if message.role == "tool":
        return f"Answer my question in one sentence from this:\n{message.content}"
    return message.content


def answer(chat: Chat, vocabulary: Vocabulary) -> Talk:
    """Answer by text, or by a call where there are functions and none has been called.

    A model of this size cannot tell whether a function helps, so it is not asked that: it chooses which one, and writes
    the arguments; whatever else stands in a call is given, so that each is one of the functions with all its arguments.
    """
    asked = vocabulary.encode(prompt(chat))
    logits = yield asked
    assert isinstance(logits, np.ndarray)
    if able := functions(chat):
        yield from _call(able, vocabulary, logits)
        return
    tokens: list[int] = []
    said = ""
    while (token := int(logits.argmax())) != vocabulary.end:
        tokens.append(token)
        text = vocabulary.decode(tokens)
        if len(text) > len(said):
            yield text[len(said) :]
            said = text
        if len(tokens) == (chat.max_tokens or MAX_TOKENS):
            yield Finish("length")
            break
        logits = yield [token]
    yield Usage(prompt_tokens=len(asked), completion_tokens=len(tokens))


def _call(able: Sequence[Function], vocabulary: Vocabulary, logits: np.ndarray) -> Talk:
    logits = yield vocabulary.encode("Function: ")
    names = {function.name: vocabulary.encode(f"{function.name}\n") for function in able}
    chosen: list[int] = []
    while len(left := [name for name, tokens in names.items() if tokens[: len(chosen)] == chosen]) > 1:
        next_ones = sorted({names[name][len(chosen)] for name in left})
        token = next_ones[int(logits[next_ones].argmax())]
        chosen.append(token)
        logits = yield [token]
    (name,) = left
    rest = names[name][len(chosen) :]
    if rest:
        logits = yield rest
    arguments: dict[str, str] = {}
    for argument in next(function for function in able if function.name == name).arguments:
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
    yield ToolCall(name, arguments)
