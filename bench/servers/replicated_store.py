"""The stateful Executor that is measured, the same source for ours and for Jina 3."""

import json

from docarray import DocList
from executors import Text
from jina.serve.executors.decorators import write

from jina import Executor, requests


class Store(Executor):
    """Its state does not grow, so that what is measured does not either."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.count = self.size = 0

    @write
    @requests(on="/add")
    def add(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        self.count += len(docs)
        self.size += sum(len(doc.text) for doc in docs)
        return DocList[Text]([Text(id="a", text=f"stored {self.count}")])

    @requests(on="/count")
    def listing(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        return DocList[Text]([Text(id="a", text=f"holds {self.count}")])

    def snapshot(self, snapshot_file: str):
        with open(snapshot_file, "w") as file:
            json.dump([self.count, self.size], file)

    def restore(self, snapshot_file: str):
        with open(snapshot_file) as file:
            self.count, self.size = json.load(file)
