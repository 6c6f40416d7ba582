"""The Executor of runs with session reads: the list of a shard, which tells whose it is."""

import asyncio
import json

from jina import Document, DocumentArray, requests, write
from tests.nemesis.state import NemesisState


class ShardState(NemesisState):
    """A list of lines; each answer tells the shard, and how many lines it has."""

    @write
    @requests(on="/append")
    def append(self, docs: DocumentArray, **kwargs):
        super().append(docs)
        return self._count()

    @requests(on="/read")
    async def read(self, docs: DocumentArray, **kwargs):
        await asyncio.sleep(0.003)  # writes are applied meanwhile
        return self._count()

    def _count(self):
        return DocumentArray(
            [Document(text=json.dumps({"shard": self.runtime_args.shard_id, "count": len(self.lines)}))]
        )


def read(text):
    """Shard and count of an answer."""
    found = json.loads(text)
    return found["shard"], found["count"]
