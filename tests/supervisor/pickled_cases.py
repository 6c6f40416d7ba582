# ruff: noqa: UP006, UP007, UP035, UP037, UP045 - annotations as users write them
"""Run as a script: defines Executors as users do in scripts and writes what `pickling.dumps` makes of them.

python pickled_cases.py FOLDER
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Dict, List, Optional, Union

import helper_beside
import numpy as np
from docarray import BaseDoc, DocList, DocVec
from docarray.typing import AnyTensor, NdArray
from pydantic import BaseModel, Field, field_validator

from jina import DocumentArray, Executor, requests
from jina.errors import ConfigError
from jina.supervisor import pickling

FACTOR = 3


class Inner(BaseDoc):
    tensor: NdArray[3]
    shaped: Optional[NdArray["n", 2]] = None
    n: int = 3


class Outer(BaseDoc):
    text: str = "x"
    inner: Optional[Inner] = None
    many: DocList[Inner] = DocList[Inner]()
    maybe: Optional[DocList[Inner]] = None
    union: Union[int, str, None] = None
    tensor: Optional[AnyTensor] = None
    tags: Dict[str, int] = Field(default_factory=dict)
    names: List[str] = []

    @field_validator("text")
    @classmethod
    def upper(cls, value):
        return value.upper()

    def shout(self):
        return self.text + "!" * FACTOR


class Node(BaseDoc):
    name: str = ""
    children: Optional[DocList[Node]] = None
    next: Optional[Node] = None


class Extended(Outer):
    more: int = 1


class Parameters(BaseModel):
    k: int = 3


def triple(value):
    return helper_beside.double(value) + value


class Script(Executor):
    """Everything that a script's Executor may refer to."""

    label = "class attribute"

    def __init__(self, start=1, **kwargs):
        super().__init__(**kwargs)
        self.start = triple(start)

    @requests(on="/list")
    def on_list(self, docs: DocList[Outer], parameters: Parameters, **kwargs) -> DocList[Extended]:
        return DocList[Extended]([Extended(text=doc.shout()) for doc in docs])

    @requests(on="/vec")
    def on_vec(self, docs: DocList[Inner], **kwargs) -> DocList[Node]:
        return DocList[Node]([Node(name="root", children=DocList[Node]([Node(name="leaf")]))])

    @requests(on="/legacy")
    def on_legacy(self, docs: DocumentArray, **kwargs) -> DocumentArray:
        docs.texts = [f"{text} {self.label}" for text in docs.texts]
        return docs

    @requests(on="/single")
    async def on_single(self, doc: Node, **kwargs) -> Node:
        return doc

    def stacked(self, docs: DocVec[Inner]) -> DocVec[Inner]:
        return DocVec[Inner](docs)


class Derived(Script):
    def __init__(self, **kwargs):
        super().__init__(start=10, **kwargs)


def local_class():
    class LocalDoc(BaseDoc):
        value: int = 0

    offset = 5

    class Local(Executor):
        @requests
        def add(self, docs: DocList[LocalDoc], **kwargs) -> DocList[LocalDoc]:
            for doc in docs:
                doc.value += offset
            return docs

    return Local


class Opaque:
    def __init__(self, value):
        self.value = value


class NoDocs(Executor):
    pass


LOCK = threading.Lock()


def guarded():
    return [LOCK.locked() for _ in range(2)]


class Unpicklable(Executor):
    @requests
    def foo(self, docs, **kwargs):
        guarded()


def message(executor_class, arguments):
    try:
        pickling.dumps(executor_class, arguments)
    except ConfigError as error:
        return str(error)
    return "was pickled"


def main(folder: Path) -> None:
    arguments = {"array": np.arange(3), "function": lambda x: x + FACTOR, "object": Opaque(4)}
    arguments["docs"] = DocList[Outer]([Outer(text="A")])
    cases = {
        "script": (Script, {}),
        "derived": (Derived, {}),
        "local": (local_class(), {}),
        "arguments": (None, arguments),
        "empty": (None, {}),
    }
    for name, case in cases.items():
        (folder / name).write_bytes(pickling.dumps(*case))
    (folder / "unpicklable").write_text(message(Unpicklable, {}))
    (folder / "lock").write_text(message(NoDocs, {"good": 1, "lock": LOCK}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
