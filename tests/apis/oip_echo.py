"""An Executor with tensors, for tests of the Open Inference Protocol."""

from docarray import BaseDoc, DocList
from docarray.typing import NdArray
from pydantic import Field

from jina import Executor, requests


class Values(BaseDoc):
    """One of each."""

    x: NdArray | None = None
    text: str | None = None
    data: bytes | None = None
    number: int | None = None
    share: float | None = None
    flag: bool | None = None


class Vector(BaseDoc):
    vector: NdArray[3] = Field(json_schema_extra={"datatype": "FP32"})


class Norm(BaseDoc):
    norm: float
    label: str


class Echo(Executor):
    @requests(on="/echo")
    def echo(self, docs: DocList[Values], **kwargs) -> DocList[Values]:
        return docs

    @requests(on="/norm")
    def norm(self, docs: DocList[Vector], parameters: dict, **kwargs) -> DocList[Norm]:
        label = str(parameters.get("label", ""))
        return DocList[Norm]([Norm(norm=float((doc.vector**2).sum() ** 0.5), label=label) for doc in docs])

    @requests(on="/fail")
    def fail(self, docs: DocList[Values], **kwargs) -> DocList[Values]:
        raise ValueError("no")

    @requests(on="/ragged")
    def ragged(self, docs: DocList[Values], **kwargs) -> DocList[Values]:
        for number, doc in enumerate(docs):
            doc.x = doc.x[: number + 1]
        return docs
