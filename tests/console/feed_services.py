"""Executors of the tests of the feed."""

import sys

from jina import Document, DocumentArray, Executor, requests, write


class First(Executor):
    """The first step."""

    @requests(on="/work")
    def work(self, docs: DocumentArray, **_):
        self.logger.warning("worked on <b>%s</b>", docs[0].text)
        if docs[0].text == "fail":
            raise ValueError("it was asked to")

    @requests(on="/modules")
    def modules(self, docs: DocumentArray, **_):
        ours = [name for name in sys.modules if name.startswith("jina.")]
        known = [name for name in ours if "console" in name or name.endswith((".observation", ".server.apis"))]
        docs[0].text = " ".join(sorted(known))


class Second(Executor):
    """The second one, which gathers requests."""

    @requests(on="/work")
    def work(self, docs: DocumentArray, **_):
        for doc in docs:
            doc.text += "!"


class Ledger(Executor):
    """Keeps lines."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lines = []

    @write
    @requests(on="/add")
    def add(self, docs: DocumentArray, **_):
        self.lines.extend(docs.texts)
        return DocumentArray([Document(text=str(len(self.lines)))])

    def snapshot(self, snapshot_dir):
        with open(f"{snapshot_dir}/lines", "w", encoding="utf-8") as file:
            file.write("\n".join(self.lines))

    def restore(self, snapshot_dir):
        with open(f"{snapshot_dir}/lines", encoding="utf-8") as file:
            self.lines = file.read().splitlines()
