"""An exact index of embeddings that keeps itself in the Executor's workspace."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from docarray import DocList

from documents import DIMENSIONS, Answer, Hit, Passage
from jina import Client, Executor, requests


class Index(Executor):
    """Stores passages with their embeddings; finds the nearest by cosine similarity.

    Queries without an embedding are sent to the encoder service first.
    """

    def __init__(self, encoder: str, **kwargs) -> None:
        """`encoder` is the address of the encoder service, such as `grpc://localhost:12345`."""
        super().__init__(**kwargs)
        self.encoder = Client(host=encoder, asyncio=True)
        self.passages: list[dict[str, str]] = []
        self.vectors = np.empty((0, DIMENSIONS), dtype=np.float32)
        self.changed = False
        self.files = Path(self.workspace) / "passages.json", Path(self.workspace) / "vectors.npy"
        if all(file.exists() for file in self.files):
            self.passages = json.loads(self.files[0].read_text())
            self.vectors = np.load(self.files[1])

    @requests(on="/index")
    async def index(self, docs: DocList[Passage], **kwargs) -> DocList[Passage]:
        """Add passages; those without an embedding are encoded first. The answer leaves the embeddings out."""
        encoded = await self._encoded(docs)
        self.vectors = np.vstack([self.vectors, *(doc.embedding for doc in encoded)])
        self.passages += [{"text": doc.text, "synset": doc.synset} for doc in encoded]
        self.changed = True
        return DocList[Passage](Passage(id=doc.id, text=doc.text, synset=doc.synset) for doc in docs)

    @requests(on="/search")
    async def search(self, docs: DocList[Passage], parameters: dict, **kwargs) -> DocList[Answer]:
        """The `limit` (10) nearest passages of each query, best first."""
        limit = min(int(parameters.get("limit", 10)), len(self.passages))
        answers = DocList[Answer]()
        for query in await self._encoded(docs):
            scores = self.vectors @ np.asarray(query.embedding)
            best = np.argsort(-scores)[:limit]
            hits = DocList[Hit](Hit(**self.passages[i], score=float(scores[i])) for i in best)
            answers.append(Answer(id=query.id, text=query.text, hits=hits))
        return answers

    @requests(on="/count")
    async def count(self, **kwargs) -> dict:
        """How many passages are indexed."""
        return {"passages": len(self.passages)}

    async def _encoded(self, docs: DocList[Passage]) -> DocList[Passage]:
        if all(doc.embedding is not None for doc in docs):
            return docs
        encoded = DocList[Passage]()
        async for part in self.encoder.post(
            "/encode", docs, return_type=DocList[Passage], request_size=64, results_in_order=True
        ):
            encoded.extend(part)
        return encoded

    def close(self) -> None:
        """Keep the index for the next start."""
        if self.changed:
            self.files[0].write_text(json.dumps(self.passages))
            np.save(self.files[1], self.vectors)
