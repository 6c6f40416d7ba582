"""Executors whose data is divided: an index of lines in a file, and what may stand around its shards."""

import json
import os
from pathlib import Path

from docarray import BaseDoc, DocList

from jina import DocumentArray, Executor, requests, write


class Hit(BaseDoc):
    text: str = ""
    score: float = 0.0


class Line(BaseDoc):
    text: str = ""
    number: float = 0.0
    hits: DocList[Hit] = DocList[Hit]()
    tags: dict[str, str] = {}


class Shelf(Executor):
    """Keeps its lines in its workspace; finds those whose numbers are near."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.file = Path(self.workspace) / "lines"
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.lines = [Line.parse_raw(line) for line in lines]

    @requests(on="/index")
    def index(self, docs: DocList[Line], **kwargs) -> DocList[Line]:
        with self.file.open("a") as file:
            file.writelines(json.dumps({"id": doc.id, "text": doc.text, "number": doc.number}) + "\n" for doc in docs)
        self.lines.extend(docs)

    @requests(on="/search")
    def search(self, docs: DocList[Line], parameters: dict, **kwargs) -> DocList[Line]:
        for doc in docs:
            near = sorted(self.lines, key=lambda line, doc=doc: (abs(line.number - doc.number), line.text))
            hits = [Hit(id=line.id, text=line.text, score=-abs(line.number - doc.number)) for line in near]
            doc.hits = DocList[Hit](hits[: parameters.get("limit")])

    @write
    @requests(on="/rename")
    def rename(self, docs: DocList[Line], **kwargs) -> DocList[Line]:
        lines = {line.id: line for line in self.lines}
        for doc in docs:
            lines[doc.id].text = doc.text
        return docs

    @requests(on="/count")
    def count(self, **kwargs):
        return {"lines": len(self.lines)}

    @requests(on="/where")
    async def where(self, docs: DocList[Line], **kwargs) -> DocList[Line]:
        for doc in docs:
            doc.text = f"{self.runtime_args.shard_id} of {self.runtime_args.shards} in {self.workspace}"
            doc.tags[str(self.runtime_args.shard_id)] = f"{self.runtime_args.name} {os.getpid()}"

    @requests(on="/break")
    def fail(self, docs: DocList[Line], parameters: dict, **kwargs) -> DocList[Line]:
        if self.runtime_args.shard_id == parameters["shard"]:
            raise ValueError(f"shelf {self.runtime_args.shard_id} is broken")

    @requests(on="/letters")
    async def letters(self, doc: Line, **kwargs) -> Line:
        for number in range(3):
            yield Line(text=f"{self.runtime_args.shard_id}{doc.text}{number}")


class LooseShelf(Executor):
    """The same with schemaless documents, kept in memory only."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.docs = DocumentArray()

    @requests(on="/index")
    def index(self, docs, **kwargs):
        self.docs.extend(docs)

    @requests(on="/search")
    def search(self, docs, parameters, **kwargs):
        docs.match(self.docs, metric="euclidean", limit=parameters.get("limit"))


class Shout(Executor):
    """Stands before shelves."""

    @requests(on=["/index", "/where", "/letters"])
    def shout(self, docs: DocList[Line], **kwargs) -> DocList[Line]:
        for doc in docs:
            doc.text = doc.text.upper()


class Best(Executor):
    """Stands after shelves: keeps the best hits of all."""

    @requests(on="/search")
    def best(self, docs: DocList[Line], docs_matrix, docs_map, parameters: dict, **kwargs) -> DocList[Line]:
        assert len(docs) == sum(map(len, docs_matrix))
        queries = docs_matrix[0]
        for place, query in enumerate(queries):
            hits = [hit for part in docs_matrix for hit in part[place].hits]
            query.tags = {name.rpartition("/")[2]: str(len(part[place].hits)) for name, part in docs_map.items()}
            query.hits = DocList[Hit](sorted(hits, key=lambda hit: -hit.score)[: parameters.get("limit")])
        return queries

    @requests(on="/letters")
    def letters(self, docs: DocList[Line], **kwargs) -> DocList[Line]: ...
