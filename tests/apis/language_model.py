"""An Executor that clients of OpenAI's API ask: what it answers follows from the last message of the user."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from pydantic import BaseModel

from jina import (
    Chat,
    Delta,
    Executor,
    File,
    Finish,
    Reasoning,
    Slot,
    ToolCall,
    Usage,
    continuous_batching,
    prompt,
    requests,
    resource,
)


class Text(BaseDoc):
    text: str


class Embedded(Text):
    embedding: NdArray | None = None


class Ranking(BaseDoc):
    query: str
    documents: list[str]
    scores: list[float] = []


class Sound(File):
    accepts = ("audio/*",)


class Segment(BaseModel):
    start: float
    end: float
    text: str


class Transcript(BaseModel):
    text: str
    language: str
    duration: float
    segments: list[Segment]


def pieces(chat: Chat) -> Iterator[Delta | None]:
    """The answer; None for as long as nothing follows."""
    asked, words = chat.prompt, ["Hello", " there", ", ", chat.prompt]
    match asked:
        case "fail":
            raise ValueError("no such luck")
        case "think":
            yield Reasoning("hm")
        case "schema":
            assert chat.json_schema is not None
            words = ['{"city":', '"', chat.json_schema["properties"]["city"]["title"], '"}']
        case "tools":
            assert [tool["function"]["name"] for tool in chat.tools] == ["weather", "time"]
            yield ToolCall("weather", '{"city":')
            yield ToolCall(arguments=' "Berlin"}')
            yield ToolCall("time", {"zone": 1}, "call_1")
            words = []
        case "wait":
            words = ["one"]
    if chat.messages[-1].role == "tool":
        words = [chat.messages[-1].tool_call_id, "=", chat.messages[-1].content]
    yield from words
    if asked == "late":
        raise ValueError("too late")
    while asked == "wait":
        yield None
    if asked == "long":
        yield Finish("length")
    yield Usage(prompt_tokens=3, completion_tokens=4, cached_tokens=1, reasoning_tokens=2)


def left() -> None:
    """Tell that nobody waits for the answer any more."""
    Path(os.environ["CLOSED_FILE"]).write_text(f"{time.monotonic()}\n", encoding="utf-8")


class LanguageModel(Executor):
    """Speaks, calls tools, thinks and fails as it is told. A sound is the text of what is said in it."""

    @requests(on="/chat")
    async def chat(self, chat: Chat) -> AsyncIterator[Delta]:
        """Continue a conversation."""
        for piece in pieces(chat):
            if piece is not None:
                yield piece
                continue
            try:
                await asyncio.Event().wait()
            finally:
                left()

    @requests(on="/whole")
    def whole(self, chat: Chat) -> str:
        """The whole answer at once, from a thread."""
        return chat.messages[0].content + "|" + chat.prompt

    @requests(on="/embed")
    def embed(self, docs: DocList[Text], **kwargs) -> DocList[Embedded]:
        """Vectors of three numbers."""
        return DocList[Embedded](Embedded(text=doc.text, embedding=[float(len(doc.text)), 1.0, 2.0]) for doc in docs)

    @requests(on="/listen")
    def listen(self, audio: Sound, language: str = "en", temperature: float = 0.0) -> Transcript:
        """What was said, word by word."""
        words = audio.read().decode()[:1000].split()
        segments = [Segment(start=at, end=at + 1.5, text=word) for at, word in enumerate(words)]
        duration = len(words) + temperature
        return Transcript(text=" ".join(words), language=language, duration=duration, segments=segments)

    @requests(on="/hear")
    async def hear(self, audio: Sound, prompt: str = "") -> AsyncIterator[str]:
        """What was said, as it is heard."""
        if prompt == "fail":
            raise ValueError("cannot hear")
        for word in (prompt + audio.read().decode()).split():
            yield word + " "
        if prompt == "late":
            raise ValueError("too late")

    @requests(on="/say")
    def say(self, text: str, voice: str = "", speed: float = 1.0) -> Sound:
        """Say it at once."""
        data = f"{voice}:{text}:{speed}".encode()
        return Sound(data=data * (100_000 if text == "long" else 1), media_type="audio/wav")

    @requests(on="/speak")
    async def speak(self, text: str, response_format: str = "mp3") -> AsyncIterator[Sound]:
        """Say it word by word."""
        kind = {"mp3": "audio/mpeg"}.get(response_format, f"audio/{response_format}")
        for word in text.split():
            if word == "fail":
                raise ValueError("no voice")
            yield Sound(data=word.encode(), media_type=kind)

    @requests(on="/rank")
    def rank(self, doc: Ranking, **kwargs) -> Ranking:
        """Scores by common letters."""
        doc.scores = [float(len({*doc.query} & {*text})) for text in doc.documents]
        return doc

    @resource(uri="rules://house")
    def rules(self) -> str:
        """What agents read is no model."""
        return "Be kind."

    @prompt
    def greeting(self, name: str) -> str:
        """Nor is what people choose."""
        return f"Greet {name}"


class SteppingModel(LanguageModel):
    """The same, where the conversations that run share each step."""

    pause = threading.Event()

    @requests(on="/chat")
    @continuous_batching(slots=4)
    def chat(self, slots: list[Slot[Chat, Delta]]) -> None:
        """Continue a conversation."""
        self.pause.wait(0.002)  # what a step of a model takes
        for slot in slots:
            if slot.state is None:
                slot.state = pieces(slot.doc)
                if slot.doc.prompt == "wait":
                    slot.on_leave(left)
            try:
                piece = next(slot.state)
            except StopIteration:
                slot.finish()
            except ValueError as error:
                slot.fail(error)
            else:
                if piece is not None:
                    slot.emit(piece)
