"""What reading and writing a document, or an object of a plain class, costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from pydantic import BaseModel, Field

from bench.report import Check, Section
from bench.stats import interval, ratio
from jina.codec import pb
from jina.codec.codec import codec_for, codec_of
from jina.codec.payloads import JsonPayload

COUNT = 100
REPEATS = 50


class Text(BaseDoc):
    """`id` and a short text."""

    text: str = ""


class Vector(BaseDoc):
    """`id` and 768 float32."""

    embedding: NdArray | None = None


def codec(rounds: int) -> Section:
    """100 documents at a time, message -> documents and back, serialising included."""
    rows: list[list[Any]] = []
    checks, raw, bars = [], {}, {}
    texts = DocList[Text]([Text(text=f"hello world {i}") for i in range(COUNT)])
    arrays = np.random.default_rng(0).random((COUNT, 768), dtype=np.float32)
    vectors = DocList[Vector]([Vector(embedding=row) for row in arrays])
    for name, docs, kind, bound in (("text", texts, Text, 6.0), ("768 float32", vectors, Vector, 12.0)):
        made = codec_for(kind)
        data = made.to_bytes(docs)
        if made.to_bytes(made.from_bytes(data)) != data or len(pb.DocListProto.FromString(data).docs) != COUNT:
            raise RuntimeError("codec: the documents changed")
        work: dict[str, Callable[[], Any]] = {
            "decode": lambda made=made, data=data: made.from_bytes(data),
            "encode": lambda made=made, docs=docs: made.to_bytes(docs),
        }
        for what, function in work.items():
            values = [_microseconds(function) for _ in range(rounds + 1)][1:]
            found = interval(values)
            rows.append([f"{what}, id and {name}", found.median])
            checks.append(Check(f"{what}, id and {name} (us)", found, bound))
            bars[rows[-1][0]] = found.median
            raw[rows[-1][0]] = values
    note = f"{COUNT} documents at a time; CPU time of the thread."
    title = "Codec, for each document"
    return Section(title, ["what", "CPU (us)"], rows, checks, note, "us of CPU", bars, raw)


def _microseconds(function: Callable[[], Any]) -> float:
    began = time.thread_time_ns()
    for _ in range(REPEATS):
        function()
    return (time.thread_time_ns() - began) / 1000 / REPEATS / COUNT


class Document(BaseDoc):
    """The fields of a search's input, as a document."""

    text: str = ""
    k: int = 3
    tags: list[str] = Field(default_factory=list)
    score: float | None = None


class Model(BaseModel):
    """The same as a plain model."""

    id: str
    text: str = ""
    k: int = 3
    tags: list[str] = Field(default_factory=list)
    score: float | None = None


def plain(rounds: int) -> Section:
    """The same fields as documents and as plain models, in turns: decoding and encoding, on each wire."""
    docs = DocList[Document]([Document(text=f"hello {i}", tags=["a", "b"], score=0.5) for i in range(COUNT)])
    models = [Model(**dict(doc)) for doc in docs]
    rows: list[list[Any]] = []
    checks, raw, bars = [], {}, {}
    for wire in ("protobuf", "JSON"):
        found: dict[str, list[float]] = {}
        work = {"documents": _round_trip(Document, docs, wire), "plain models": _round_trip(Model, models, wire)}
        for _ in range(rounds + 1):
            for name, function in work.items():
                found.setdefault(name, []).append(_microseconds(function))
        for name, values in found.items():
            raw[f"{wire}, {name}"] = values[1:]
            bars[f"{wire}, {name}"] = interval(values[1:]).median
            rows.append([f"{wire}, {name}", bars[f"{wire}, {name}"]])
        pairs = ratio(found["plain models"][1:], found["documents"][1:])
        checks.append(Check(f"{wire}: plain models / documents", pairs, 1.1))
    note = f"{COUNT} at a time, decoded and encoded; CPU time of the thread."
    return Section("Plain types, for each object", ["what", "CPU (us)"], rows, checks, note, "us of CPU", bars, raw)


def _round_trip(kind: type, objects: Any, wire: str) -> Callable[[], Any]:
    made: Any = codec_of(kind)
    if wire == "JSON":
        text = made.encode_json(objects)
        return lambda: made.encode_json(JsonPayload(text).decode(made))
    data = made.to_bytes(objects)
    return lambda: made.to_bytes(made.from_bytes(data))
