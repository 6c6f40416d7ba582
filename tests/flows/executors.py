"""The Executors of the scenario table: one source, run by us and by Jina 3."""

import asyncio
import json
import time
import typing

from docarray import BaseDoc, DocList
from pydantic import BaseModel

from jina import Executor, requests


class Doc(BaseDoc):
    """What most scenarios send."""

    text: str = ""
    n: int = 0
    left: typing.Optional[str] = None  # noqa: UP045 - as users of Jina 3 wrote it
    right: typing.Optional[str] = None  # noqa: UP045
    tags: typing.Dict[str, typing.Any] = {}  # noqa: UP006
    names: typing.List[str] = []  # noqa: UP006


class Count(BaseDoc):
    """What a step of another class gives."""

    length: int = 0
    source: str = ""


class Options(BaseModel):
    """Typed parameters."""

    times: int
    word: str = "x"


class Mark(Executor):
    """Appends `mark` to the text."""

    def __init__(self, mark: str = "?", **kwargs):
        super().__init__(**kwargs)
        self.mark = mark

    @requests
    def default(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        for doc in docs:
            doc.text += self.mark

    @requests(on="/other")
    def other(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        for doc in docs:
            doc.text += self.mark.upper() * 2


class AsyncMark(Mark):
    """The same, in a coroutine."""

    @requests
    async def default(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        await asyncio.sleep(0)
        for doc in docs:
            doc.text += self.mark


class Field(Executor):
    """Sets one field, so that branches do not collide."""

    def __init__(self, field: str = "left", value: str = "v", **kwargs):
        super().__init__(**kwargs)
        self.field, self.value = field, value

    @requests
    def default(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        for doc in docs:
            setattr(doc, self.field, f"{self.value}{doc.text}")


class Tag(Executor):
    """Sets a tag."""

    @requests
    def default(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        for doc in docs:
            doc.tags["n"] = 1


class Pass(Executor):
    """Leaves documents as they are."""

    @requests
    def default(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        return docs


class Only(Executor):
    """Knows one endpoint and has no default."""

    @requests(on="/only")
    def only(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        for doc in docs:
            doc.text += "o"


class Twice(Executor):
    """More documents than came."""

    @requests
    def default(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        return DocList[Doc]([Doc(text=f"{doc.text}{i}") for doc in docs for i in range(2)])


class Drop(Executor):
    """Fewer documents than came."""

    @requests
    def default(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        return DocList[Doc](doc for doc in docs if doc.n % 2)


class Single(Executor):
    """One document at a time."""

    @requests
    def default(self, doc: Doc, **kwargs) -> Doc:
        doc.text += "1"
        return doc


class Measure(Executor):
    """Another class out than in."""

    @requests
    def default(self, docs: DocList[Doc], **kwargs) -> DocList[Count]:
        return DocList[Count]([Count(length=len(doc.text), source=doc.text) for doc in docs])


class Double(Executor):
    """Follows Measure."""

    @requests
    def default(self, docs: DocList[Count], **kwargs) -> DocList[Count]:
        for doc in docs:
            doc.length *= 2


class Results(Executor):
    """Returns a dict."""

    @requests
    def default(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        return {"count": len(docs), "texts": [doc.text for doc in docs]}


class Parameters(Executor):
    """Shows the parameters that it was given."""

    @requests
    def default(self, docs: DocList[Doc], parameters: dict, **kwargs) -> DocList[Doc]:
        shown = {key: value for key, value in parameters.items() if key != "__results__"}
        for doc in docs:
            doc.names.append(json.dumps(shown, sort_keys=True))


class Typed(Executor):
    """Takes a model of parameters."""

    @requests
    def default(self, docs: DocList[Doc], parameters: Options, **kwargs) -> DocList[Doc]:
        for doc in docs:
            doc.text += parameters.word * parameters.times


class Matrix(Executor):
    """A join that sees each branch by itself."""

    @requests
    def default(self, docs: DocList[Doc], docs_matrix=None, docs_map=None, **kwargs) -> DocList[Doc]:
        seen = {name: [doc.text for doc in branch] for name, branch in (docs_map or {}).items()}
        return DocList[Doc]([Doc(text=json.dumps(seen, sort_keys=True), n=len(docs_matrix or []))])


class Fail(Executor):
    """Raises for documents that say so."""

    @requests
    def default(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        if any("bad" in doc.text for doc in docs):
            raise ValueError("a bad document", 3)
        return docs


class Slow(Executor):
    """Takes its time: `seconds` a call, or less for later documents."""

    def __init__(self, seconds: float = 0.2, **kwargs):
        super().__init__(**kwargs)
        self.seconds = seconds

    @requests
    async def default(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        await asyncio.sleep(max(0.0, self.seconds - 0.02 * max((doc.n for doc in docs), default=0)))
        for doc in docs:
            doc.text += "s"


class Leave(Executor):
    """Leaves a file behind, for steps whose documents are not returned."""

    def __init__(self, file: str = "", wait: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.file, self.wait = file, wait

    @requests
    def default(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        time.sleep(self.wait)
        with open(self.file, "a") as file:
            file.write("".join(f"{doc.text}\n" for doc in docs))
        for doc in docs:
            doc.text += "never seen"


class Stream(Executor):
    """Yields."""

    @requests(on="/stream")
    async def stream(self, doc: Doc, parameters: dict, **kwargs) -> Doc:
        for i in range(int(parameters.get("count", 3))):
            yield Doc(text=f"{doc.text}{i}")

    @requests(on="/fail_stream")
    async def fail_stream(self, doc: Doc, **kwargs) -> Doc:
        yield Doc(text="first")
        raise ValueError("in the middle")


class OnStream(Executor):
    """Follows Stream."""

    @requests(on="/stream")
    def stream(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        for doc in docs:
            doc.text += "+"


class Bound(Executor):
    """Its endpoints are bound by `uses_requests`; shows its name."""

    @requests(on="/bound")
    def handle(self, docs: DocList[Doc], **kwargs) -> DocList[Doc]:
        for doc in docs:
            doc.text += f"[{self.metas.name}]"


class Loose(Executor):
    """Without annotations."""

    @requests
    def default(self, docs, **kwargs):
        for doc in docs:
            doc.text = (doc.text or "") + "~"


class Match(BaseDoc):
    """What a shard finds."""

    text: str = ""
    score: float = 0.0


class Query(BaseDoc):
    """What shards are asked."""

    text: str = ""
    names: typing.List[str] = []  # noqa: UP006
    tags: typing.Dict[str, str] = {}  # noqa: UP006
    matches: DocList[Match] = DocList[Match]()


class Divided(Executor):
    """One shard; tells its number in many ways."""

    @requests(on=["/search", "/ask"])
    def search(self, docs: DocList[Query], **kwargs) -> DocList[Query]:
        number = self.runtime_args.shard_id
        for doc in docs:
            doc.tags[f"shard {number}"] = "found"
            doc.matches = DocList[Match]([Match(id=f"m{number}", text=str(number)), Match(id="everywhere")])

    @requests(on="/scored")
    def scored(self, docs: DocList[Query], **kwargs) -> DocList[Query]:
        number = self.runtime_args.shard_id
        for doc in docs:
            scores = {f"{number}0": 0.9 - number / 10, f"{number}1": 0.5 - number / 10}
            found = [Match(id=name, text=name, score=score) for name, score in scores.items()]
            doc.matches = DocList[Match](found)

    @requests(on="/lists")
    def lists(self, docs: DocList[Query], **kwargs) -> DocList[Query]:
        for doc in docs:
            doc.names = [*doc.names, "same", f"s{self.runtime_args.shard_id}"]

    @requests(on="/new")
    def new(self, docs: DocList[Query], **kwargs) -> DocList[Query]:
        return DocList[Query]([Query(id=f"n{self.runtime_args.shard_id}", text=f"n{self.runtime_args.shard_id}")])

    @requests(on=["/index", "/one"])
    def one(self, docs: DocList[Query], **kwargs) -> DocList[Query]:
        for doc in docs:
            doc.text += str(self.runtime_args.shard_id)

    @requests(on="/fail")
    def fail(self, docs: DocList[Query], **kwargs) -> DocList[Query]:
        if self.runtime_args.shard_id == 1:
            raise ValueError("one is broken")


class Before(Executor):
    """Stands before shards."""

    @requests(on=["/index", "/search"])
    def before(self, docs: DocList[Query], **kwargs) -> DocList[Query]:
        for doc in docs:
            doc.text += "before "


class After(Executor):
    """Stands after shards."""

    @requests(on=["/index", "/search"])
    def after(self, docs: DocList[Query], docs_matrix=None, **kwargs) -> DocList[Query]:
        for doc in docs:
            doc.text += f" {len(docs)} of {len(docs_matrix)}"
