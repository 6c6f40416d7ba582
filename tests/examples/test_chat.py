"""The parts of examples/chat that need neither its model nor its tokenizer; `make demo` runs the whole."""

from __future__ import annotations

import struct
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from docarray import DocList

from jina import Chat, Finish, Message, Usage

EXAMPLE = Path(__file__).parents[2] / "examples" / "chat"


@pytest.fixture
def example(monkeypatch):
    """Imports a module of the example, which is forgotten after the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield import_module
    for name in set(sys.modules) - before:
        if str(EXAMPLE) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


class Bytes:
    """A vocabulary of one token for each byte."""

    end = 0

    def encode(self, text):
        return list(text.encode())

    def decode(self, tokens):
        return bytes(tokens).decode()


def talked(talk, says):
    """What a conversation is to read, and the pieces of the answer of a model that always wants to say a text."""
    reads, deltas, said, wanted = [], [], 0, says.encode() + b"\0"
    given = next(talk)
    try:
        while True:
            if isinstance(given, list):
                reads.append(bytes(given).decode())
                logits = np.zeros(256)
                logits[wanted[min(said, len(wanted) - 1)]] = 1
                said += len(given) if len(reads) > 1 else 0
                logits[wanted[min(said, len(wanted) - 1)]] = 2
                given = talk.send(logits)
            else:
                deltas.append(given)
                given = next(talk)
    except StopIteration:
        return reads, deltas


def conversation(*, tools=(), content="When?", role="user", **options):
    return Chat(messages=DocList[Message]([Message(role=role, content=content)]), tools=list(tools), **options)


def tool(name, *arguments):
    """A function as OpenAI's clients tell of it."""
    parameters = {"type": "object", "properties": {argument: {"type": "string"} for argument in arguments}}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


def text_of(deltas):
    return "".join(delta for delta in deltas if isinstance(delta, str))


def test_text_until_the_end_token_or_the_limit(example):
    answering = example("answering")
    reads, deltas = talked(answering.answer(conversation(), Bytes()), "At nine.")
    assert text_of(deltas) == "At nine."
    assert deltas[-1] == Usage(prompt_tokens=len(reads[0].encode()), completion_tokens=8)
    assert reads[0].endswith("<|im_start|>user\nWhen?<|im_end|>\n<|im_start|>assistant\n")
    _, deltas = talked(answering.answer(conversation(max_tokens=3), Bytes()), "At nine.")
    assert (text_of(deltas), deltas[-2]) == ("At ", Finish("length"))


def test_a_call_is_one_of_the_tools_with_all_its_arguments(example):
    tools = [tool("search", "query"), tool("send", "to", "text")]
    reads, (delta,) = talked(example("answering").answer(conversation(tools=tools), Bytes()), "zzzzzzzz")
    assert delta.name in {"search", "send"}
    assert set(delta.arguments) == {"search": {"query"}, "send": {"to", "text"}}[delta.name]
    assert "send(to, text): send" in reads[0]


def test_what_a_tool_gave_is_answered_by_text(example):
    chat = conversation(tools=[tool("search", "query")], role="tool", content="It opens at nine.")
    chat.messages.insert(0, Message(role="assistant", tool_calls=[{"id": "a", "function": {"name": "search"}}]))
    reads, deltas = talked(example("answering").answer(chat, Bytes()), "Nine.")
    assert text_of(deltas) == "Nine."
    assert reads[0].count("assistant") == 2  # the system's text names one, the end of the prompt the other


def test_a_model_file_is_read(example, tmp_path):
    gguf = example("gguf")

    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()

    plain = np.arange(4, dtype=np.float32)
    scale, codes = np.float16(0.5), np.arange(-16, 16, dtype=np.int8)
    q8 = scale.tobytes() + codes.tobytes()
    low, high = np.arange(16, dtype=np.uint8) % 16, (15 - np.arange(16, dtype=np.uint8)) % 16
    q4 = np.float16(2).tobytes() + np.float16(-1).tobytes() + (low | high << 4).astype(np.uint8).tobytes()
    head = struct.pack("<4sIQQ", b"GGUF", 3, 3, 2)
    head += text("a.list") + struct.pack("<IIQ", 9, 8, 2) + text("x") + text("yz")
    head += text("a.number") + struct.pack("<If", 6, 0.25)
    parts, offset = b"", 0
    for name, shape, kind, data in (("f", (2, 2), 0, plain.tobytes()), ("e", (32, 1), 8, q8), ("q", (32, 1), 3, q4)):
        head += text(name) + struct.pack("<I2QIQ", 2, *shape, kind, offset)
        parts += data + b"\0" * (-len(data) % 32)
        offset = len(parts)
    path = tmp_path / "small.gguf"
    path.write_bytes(head + b"\0" * (-len(head) % 32) + parts)
    file = gguf.Gguf(path)
    assert file.metadata == {"a.list": ["x", "yz"], "a.number": 0.25}
    assert file.tensor("f").tolist() == [[0, 1], [2, 3]]
    assert file.tensor("e").tolist() == [(0.5 * codes).tolist()]
    assert file.tensor("q").tolist() == [(2.0 * np.concatenate([low, high]) - 1).tolist()]
    path.write_bytes(b"GGML" + head)
    with pytest.raises(ValueError, match="no GGUF"):
        gguf.Gguf(path)


@pytest.mark.demo
def test_conversations_in_one_step_are_as_alone(example):
    model = example("smollm").SmolLM(rows=2, context=64)
    first, second = (model.vocabulary.encode(text) for text in ("The capital of France is", "One, two, three,"))
    alone = model.forward([0], [first])[0]
    model.free(0)
    model.forward([1], [second[:2]])
    together = model.forward([0, 1], [first, second[2:]])
    assert np.allclose(alone, together[0], atol=1e-2)
    model.free(1)
    assert np.allclose(model.forward([1], [second])[0], together[1], atol=1e-2)
    assert model.vocabulary.decode([int(alone.argmax())]).strip() == "Paris"
