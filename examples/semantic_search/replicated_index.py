"""The index as replicas that agree: what is indexed is on a majority of the disks, and searched on any replica."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
from docarray import DocList

from documents import DIMENSIONS, Answer, Hit, Passage
from jina import Executor, requests, write


class ReplicatedIndex(Executor):
    """Stores passages that have their embeddings already; finds the nearest by cosine similarity.

    It asks no other service, since every replica applies each write, and all must get the same.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.passages: list[dict[str, str]] = []
        self.vectors = np.empty((0, DIMENSIONS), dtype=np.float32)
        self.checksum = 0

    @write
    @requests(on="/index")
    async def index(self, docs: DocList[Passage], **kwargs) -> DocList[Passage]:
        """Add passages. The answer leaves the embeddings out."""
        if missing := [doc.synset for doc in docs if doc.embedding is None]:
            raise ValueError(f"without an embedding: {', '.join(missing)}")
        added = np.stack([np.asarray(doc.embedding, dtype=np.float32) for doc in docs])
        self.vectors = np.concatenate([self.vectors, added])
        self.passages += [{"text": doc.text, "synset": doc.synset} for doc in docs]
        self.checksum = zlib.crc32(added.tobytes(), self.checksum)
        return DocList[Passage](Passage(id=doc.id, text=doc.text, synset=doc.synset) for doc in docs)

    @requests(on="/search")
    async def search(self, docs: DocList[Passage], parameters: dict, **kwargs) -> DocList[Answer]:
        """The `limit` (10) nearest passages of each query, best first."""
        limit = min(int(parameters.get("limit", 10)), len(self.passages))
        answers = DocList[Answer]()
        for query in docs:
            scores = self.vectors @ np.asarray(query.embedding, dtype=np.float32)
            best = np.argsort(-scores, kind="stable")[:limit]
            hits = DocList[Hit](Hit(**self.passages[i], score=float(scores[i])) for i in best)
            answers.append(Answer(id=query.id, text=query.text, hits=hits))
        return answers

    @requests(on="/count")
    async def count(self, **kwargs) -> dict:
        """How many passages are indexed, and a checksum of their vectors."""
        return {"passages": len(self.passages), "checksum": self.checksum}

    def state_hash(self) -> tuple[int, int]:
        """What replicas compare after each write."""
        return len(self.passages), self.checksum

    def snapshot(self, snapshot_dir: str) -> None:
        """Write everything into an empty folder, so that the log before it can go."""
        (Path(snapshot_dir) / "passages.json").write_text(json.dumps(self.passages))
        np.save(Path(snapshot_dir) / "vectors.npy", self.vectors)

    def restore(self, snapshot_dir: str) -> None:
        """Read what `snapshot` wrote."""
        self.passages = json.loads((Path(snapshot_dir) / "passages.json").read_text())
        self.vectors = np.load(Path(snapshot_dir) / "vectors.npy")
        self.checksum = zlib.crc32(self.vectors.tobytes())
