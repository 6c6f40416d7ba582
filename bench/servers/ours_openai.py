"""Ours: a language model and an embedding that compute nothing, for clients of OpenAI's API; the port comes last."""

import sys
from collections.abc import AsyncIterator

import numpy as np
from docarray import BaseDoc, DocList
from docarray.typing import NdArray

from jina import Chat, Deployment, Executor, requests

VECTOR = np.random.default_rng(0).random(768, dtype=np.float32)


class Text(BaseDoc):
    text: str = ""


class Embedded(BaseDoc):
    embedding: NdArray | None = None


class Model(Executor):
    @requests(on="/chat")
    async def chat(self, chat: Chat) -> AsyncIterator[str]:
        for i in range(1000):
            yield f"token {i}"

    @requests(on="/embed")
    async def embed(self, docs: DocList[Text], **kwargs) -> DocList[Embedded]:
        return DocList[Embedded](Embedded(embedding=VECTOR) for _ in docs)


if __name__ == "__main__":
    with Deployment(uses=Model, port=int(sys.argv[-1]), protocol="http", apis="openai") as service:
        service.block()
