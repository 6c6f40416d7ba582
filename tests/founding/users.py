"""Executors as readers of the founding text write them; imported by the tests and by the workers."""

import asyncio
import json
import os

from jina import Document, DocumentArray, Executor, requests, write


class WithState(Executor):
    def __init__(self, foo: str, bar: int, **kwargs):
        super().__init__(**kwargs)
        self.bar = bar
        self.foo = foo


class Undecorated(Executor):
    def foo(self, docs: DocumentArray, **kwargs):
        pass


class Inspect(Executor):
    """Tells what it was given, before and after the constructor of its base class."""

    def __init__(self, foo: str = "none", bar: int = 0, **kwargs):
        self.at_first = seen(self)
        self.injected = {key: dict(kwargs.get(key, {})) for key in ("metas", "requests", "runtime_args")}
        kwargs["metas"] = {**kwargs.get("metas", {}), "note": "changed"}
        super().__init__(**kwargs)
        self.foo = foo
        self.bar = bar

    @requests(on="/inspect")
    def inspect(self, **kwargs) -> dict:
        return {
            "first": self.at_first,
            "injected": self.injected,
            "later": seen(self),
            "foo": self.foo,
            "bar": self.bar,
            "home": os.path.expanduser("~"),
        }

    @requests(on="/plain")
    def plain(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.text += f" {type(docs).__name__}"

    @requests(on="/coroutine")
    async def coroutine(self, docs: DocumentArray, **kwargs) -> DocumentArray:
        await asyncio.sleep(0)
        return DocumentArray([type(doc)(text=doc.text.upper()) for doc in docs])

    @write
    @requests(on="/index")
    def index(self, docs: DocumentArray, **kwargs):
        self.foo += "".join(doc.text for doc in docs)

    def unbound(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.text = "bound by configuration"


def seen(executor):
    """What can be read from `self`, as plain values."""
    return {
        "workspace": executor.workspace,
        "is folder": os.path.isdir(executor.workspace),
        "requests": {path: method.__name__ for path, method in executor.requests.items()},
        "callable": all(callable(method) for method in executor.requests.values()),
        "metas": dict(vars(executor.metas)),
        "runtime_args": dict(vars(executor.runtime_args)),
        "types": [
            type(value).__name__
            for value in (executor.workspace, executor.requests, executor.metas, executor.runtime_args)
        ],
    }


class Searcher(Executor):
    """An index of documents in memory."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.documents = DocumentArray()

    @write
    @requests(on="/index")
    def index(self, docs: DocumentArray, **kwargs):
        self.documents.extend(docs)

    @requests(on="/search")
    def search(self, docs: DocumentArray, **kwargs):
        docs.match(self.documents, metric="euclidean", limit=1)


class Keeper(Executor):
    """Keeps lines in memory and writes them to disk in `close`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lines = ["made"]

    @requests(on="/keep")
    def keep(self, docs: DocumentArray, **kwargs):
        self.lines += docs.texts

    @requests(on="/fail")
    def fail(self, **kwargs):
        raise LookupError("a handler that fails")

    @requests(on="/leave")
    def leave(self, **kwargs):
        raise SystemExit(3)

    def close(self):
        with open(os.path.join(self.workspace, "lines.txt"), "a") as file:
            file.writelines(f"{line}\n" for line in [*self.lines, "closed"])


class Index(Executor):
    """An index that is searched for words."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.texts = []
        self.restored = False

    @write
    @requests(on="/index")
    def index(self, docs: DocumentArray, **kwargs):
        self.texts.extend(doc.text for doc in docs)

    @requests(on="/search")
    def search(self, docs: DocumentArray, **kwargs):
        found = [text for text in self.texts if docs[0].text in text]
        answer = {"found": found, "restored": self.restored, "process": os.getpid()}
        return DocumentArray([Document(text=json.dumps(answer))])

    def snapshot(self, snapshot_dir):
        with open(os.path.join(snapshot_dir, "texts.json"), "w") as file:
            json.dump(self.texts, file)

    def restore(self, snapshot_dir):
        with open(os.path.join(snapshot_dir, "texts.json")) as file:
            self.texts = json.load(file)
        self.restored = True
