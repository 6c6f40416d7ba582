"""Executors of the tests of the feed."""

import sys

from jina import DocumentArray, Executor, requests


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
        docs[0].text = " ".join(name for name in ours if "console" in name or name.endswith("observation"))


class Second(Executor):
    """The second one, which gathers requests."""

    @requests(on="/work")
    def work(self, docs: DocumentArray, **_):
        for doc in docs:
            doc.text += "!"
