"""What reading and writing a document costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from docarray import BaseDoc, DocList
from docarray.typing import NdArray

from bench.report import Check, Section
from bench.stats import interval
from jina.codec import pb
from jina.codec.codec import codec_for

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
