"""The Executors of the interop tests: one source, served by Jina 3 and by us."""

import asyncio
import json
import typing

import numpy as np
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from pydantic import BaseModel

from jina import Executor, requests


class Part(BaseDoc):
    """What is nested."""

    name: str = ""
    size: int = 0


class Rich(BaseDoc):
    """A field of each kind."""

    text: str = ""
    maybe: typing.Optional[str] = None  # noqa: UP045 - as users of Jina 3 wrote it
    count: int = 0
    price: float = 0.0
    flag: bool = False
    blob: bytes = b""
    tags: typing.Dict[str, typing.Any] = {}  # noqa: UP006
    names: typing.List[str] = []  # noqa: UP006
    vector: typing.Optional[NdArray] = None  # noqa: UP045
    matrix: typing.Optional[NdArray] = None  # noqa: UP045
    part: typing.Optional[Part] = None  # noqa: UP045
    parts: DocList[Part] = DocList[Part]()


class Note(BaseDoc):
    """Text only."""

    text: str = ""


class Limits(BaseModel):
    """Typed parameters."""

    limit: int
    factor: float = 1.0


class Interop(Executor):
    """An endpoint for each thing that crosses the wire."""

    def __init__(self, prefix: str = "", **kwargs):
        super().__init__(**kwargs)
        self.prefix = prefix

    @requests(on="/echo")
    def echo(self, docs: DocList[Rich], **kwargs) -> DocList[Rich]:
        return docs

    @requests(on="/change")
    def change(self, docs: DocList[Rich], **kwargs) -> DocList[Rich]:
        """Works on what arrived, so that a wrong type or a read-only view would show."""
        for doc in docs:
            doc.text = self.prefix + doc.text.upper()
            doc.count += 1
            doc.tags["seen"] = True
            if doc.vector is not None:
                doc.vector *= 2
            if doc.part is not None:
                doc.parts.append(Part(name=doc.part.name, size=doc.part.size + 1))
        return docs

    @requests(on="/in_place")
    def in_place(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        for doc in docs:
            doc.text += "!"

    @requests(on="/twice")
    def twice(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        return DocList[Note]([Note(text=f"{doc.text}{i}") for doc in docs for i in range(2)])

    @requests(on="/nothing")
    def nothing(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        return DocList[Note]()

    @requests(on="/measure")
    def measure(self, docs: DocList[Rich], **kwargs) -> DocList[Note]:
        """Another class out than in."""
        return DocList[Note]([Note(text=f"{d.text}:{0.0 if d.vector is None else np.sum(d.vector)}") for d in docs])

    @requests(on="/results")
    def results(self, docs: DocList[Note], parameters: dict, **kwargs):
        return {"count": len(docs), "nested": {"names": ["a", "b"], "none": None}}

    @requests(on="/parameters")
    def parameters(self, docs: DocList[Note], parameters: dict, **kwargs) -> DocList[Note]:
        return DocList[Note]([Note(text=json.dumps(parameters, sort_keys=True))])

    @requests(on="/model")
    def model(self, docs: DocList[Note], parameters: Limits, **kwargs) -> DocList[Note]:
        return DocList[Note]([Note(text=f"{parameters.limit * parameters.factor:g}")])

    @requests(on="/single")
    def single(self, doc: Note, **kwargs) -> Note:
        return Note(text=f"one {doc.text}")

    @requests(on="/slow")
    async def slow(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        """The earlier documents take longer, so that order shows."""
        await asyncio.sleep(max(0.0, 0.12 - 0.02 * int(docs[0].text)))
        return docs

    @requests(on="/fail")
    def fail(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        raise ValueError("no good", 7)

    @requests(on="/fail_some")
    def fail_some(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        if any(doc.text == "bad" for doc in docs):
            raise KeyError("bad")
        return docs

    @requests(on="/wrong_return")
    def wrong_return(self, docs: DocList[Note], **kwargs):
        return 5

    @requests(on="/stream")
    async def stream(self, doc: Note, parameters: dict, **kwargs) -> Note:
        for i in range(3):
            yield Note(text=f"{doc.text} {i}")

    @requests(on="/stream_fail")
    async def stream_fail(self, doc: Note, **kwargs) -> Note:
        yield Note(text="first")
        raise ValueError("in the middle")


class Before(Executor):
    """Stands before `Interop` in a Flow; leaves a mark on each document."""

    @requests(on=["/in_place", "/twice", "/fail"])
    def mark(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        for doc in docs:
            doc.text = f"<{doc.text}"


class Loose(Executor):
    """Without annotations: schemaless documents."""

    @requests(on="/loose")
    def loose(self, docs, **kwargs):
        for doc in docs:
            doc.text = (doc.text or "") + " seen"
            doc.tags["n"] = len(doc.tags)
            if doc.embedding is not None:
                doc.embedding = doc.embedding * 2

    @requests
    def anything(self, docs, parameters, **kwargs):
        for doc in docs:
            doc.text = "default"
