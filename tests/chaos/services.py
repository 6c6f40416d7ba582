"""What is killed and changed under load: every request leaves a line when it begins, and one at the end."""

import asyncio
import os
import threading

from jina import DocumentArray, Executor, requests, write
from tests.acceptance.flow_asking import until


class Ledger(Executor):
    """Answers with its process id and version; `folder` holds a file for each process."""

    def __init__(self, folder, version="1", **kwargs):
        super().__init__(**kwargs)
        if version == "broken":
            raise ValueError("this version does not work")
        self.version = version
        self.file = os.open(os.path.join(folder, f"begun-{os.getpid()}"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.folder = folder

    @requests(on="/once")
    async def once(self, docs: DocumentArray, **kwargs):
        await self._work(docs)

    @requests(on="/safe", safe=True)
    async def safe(self, docs: DocumentArray, **kwargs):
        await self._work(docs)

    async def _work(self, docs):
        os.write(self.file, f"{docs[0].text}\n".encode())
        await asyncio.sleep(0.01)
        docs.texts = [f"{os.getpid()} {self.version}"]

    @requests(on="/all", safe=True)
    async def everywhere(self, docs: DocumentArray, **kwargs):
        """Tells by its parameters in which shard."""
        await self._work(docs)
        return {"shard": self.runtime_args.shard_id}

    def close(self):
        with open(os.path.join(self.folder, f"closed-{os.getpid()}"), "a") as file:
            file.write("closed\n")


class Before(Executor):
    """Stands before shards: a request that it has not seen has no mark."""

    mark = "seen "

    @requests(on=["/once", "/all"])
    async def see(self, docs: DocumentArray, **kwargs):
        docs.texts = [self.mark + text for text in docs.texts]


class Behind(Executor):
    """Stands after shards; says of how many it got answers."""

    kind = "first"

    @requests(on=["/once", "/all"])
    async def count(self, docs_matrix, **kwargs):
        docs = docs_matrix[0]
        docs.texts = [f"{text} {len(docs_matrix)} {self.kind}" for text in docs.texts]
        return docs


class Follower(Behind):
    """Takes its place."""

    kind = "second"


def hold():
    """Return once the file named by `JINA_KILL_HOLD` is there: a quick start would be over before the signal comes."""
    if place := os.environ.get("JINA_KILL_HOLD"):
        until(lambda: os.path.exists(place), 120)


class Marking(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        hold()

    @requests(on="/mark")
    async def mark(self, docs: DocumentArray, **kwargs):
        docs.texts = [f"{text}m" for text in docs.texts]

    def close(self):
        threading.Event().wait(0.1)  # so that there is a moment in which it closes


class Counting(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        hold()

    @write
    @requests(on="/mark")
    def mark(self, docs: DocumentArray, **kwargs):
        docs.texts = [f"{text}m" for text in docs.texts]


class Keeping(Executor):
    """Counts what was written, and tells the count."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.count = 0

    @write
    @requests(on="/add")
    def add(self, docs: DocumentArray, **kwargs):
        self.count += 1
        docs.texts = [str(self.count)]

    @requests(on="/count")
    def count_them(self, docs: DocumentArray, **kwargs):
        docs.texts = [str(self.count)]
