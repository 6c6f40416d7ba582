"""Executors of the Flows of the acceptance tests; imported by the workers."""

import asyncio
import gc
import os
import time
import types
from pathlib import Path

from docarray import BaseDoc, DocList

from jina import Executor, requests
from tests.acceptance.services import Desk, Item, Token


class Stamped(BaseDoc):
    """Where it was, and when, by the clock that all processes of a machine share."""

    number: int = 0
    times: list[float] = []
    ballast: str = ""


class Receipt(BaseDoc):
    """What the last step makes of an `Item`."""

    text: str
    total: int


class Holding(Executor):
    """Counts what is inside it, and tells."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inside = 0
        self.begun = 0
        self.stopped = 0
        self.gate = asyncio.Event()

    @property
    def short(self):
        return type(self).__name__.lower()

    @requests(on="/wait")
    async def wait(self, docs: DocList[Token], parameters: dict, **kwargs) -> DocList[Token]:
        """Wait until the gate opens, where the parameter `at` names this step."""
        if parameters.get("at") == self.short:
            self.begun += 1
            self.inside += 1
            try:
                async with asyncio.timeout(50):
                    await self.gate.wait()
            except asyncio.CancelledError:
                self.stopped += 1
                raise
            finally:
                self.inside -= 1
        for doc in docs:
            doc.text += self.short[0]
        return docs

    @requests(on="/gate")
    async def open_or_shut(self, parameters: dict, **kwargs) -> dict:
        """Open the gate with `open`, shut it and count again without."""
        if parameters.get("open"):
            self.gate.set()
        else:
            self.gate.clear()
            self.begun = self.stopped = 0
        return {}

    @requests(on="/count")
    async def count(self, **kwargs) -> dict:
        return {"inside": self.inside, "begun": self.begun, "stopped": self.stopped}

    @requests(on="/left")
    async def left(self, **kwargs) -> dict:
        """Tasks that are not done and generators that are not finished, of all loops of this process."""
        gc.collect()
        found = gc.get_objects()
        return {
            "tasks": sum(isinstance(one, asyncio.Task) and not one.done() for one in found),
            "generators": sum(
                (isinstance(one, types.AsyncGeneratorType) and one.ag_frame is not None)
                or (isinstance(one, types.GeneratorType) and one.gi_frame is not None)
                for one in found
            ),
        }

    @requests(on="/headers")
    def show_headers(self, docs: DocList[Token], headers: dict, **kwargs) -> DocList[Token]:
        for doc in docs:
            doc.text += f"[{headers.get('x-colour')} {headers.get('traceparent')}]"
        return docs


class First(Desk, Holding):
    """Yields what the others work on."""

    @requests(on="/stamps")
    async def stamps(self, doc: Stamped, **kwargs) -> Stamped:
        for number in range(doc.number):
            await asyncio.sleep(0.004)
            yield Stamped(number=number, times=[time.monotonic()])

    @requests(on="/numbers")
    async def numbers(self, doc: Token, **kwargs) -> Token:
        for number in range(5):
            await asyncio.sleep(0.001)
            yield Token(text=f"{doc.text}{number}")

    @requests(on="/picky")
    def picky(self, doc: Token, **kwargs) -> Token:
        for number in range(5):
            yield Token(text=f"{number}")

    @requests(on="/echo")
    def echo(self, docs: DocList[Token], **kwargs) -> DocList[Token]:
        return docs


class Middle(Holding):
    """Adds its letter to what passes."""

    @requests(on=["/sync-tokens", "/async-tokens", "/echo"])
    def add(self, docs: DocList[Token], **kwargs) -> DocList[Token]:
        for doc in docs:
            doc.text += f"+{self.short[0]}"
        return docs

    @requests(on="/picky")
    def refuse(self, docs: DocList[Token], **kwargs) -> DocList[Token]:
        if docs[0].text == "2" and self.short == "middle":
            raise ValueError("not this one")
        return docs

    @requests(on="/stamps")
    async def stamp(self, docs: DocList[Stamped], **kwargs) -> DocList[Stamped]:
        for doc in docs:
            doc.times.append(time.monotonic())
        return docs

    @requests(on="/parameters")
    def show(self, docs: DocList[Token], parameters: dict, **kwargs) -> DocList[Token]:
        shown = {key: value for key, value in sorted(parameters.items()) if key != "__results__"}
        for doc in docs:
            doc.text += f"|{shown!r}"
        return docs


class Last(Middle):
    """Gives other documents than the first takes."""

    @requests(on="/typed")
    def typed(self, docs: DocList[Item], **kwargs) -> DocList[Receipt]:
        return DocList[Receipt]([Receipt(text=doc.text, total=2 * doc.number) for doc in docs])


class Word(BaseDoc):
    text: str = ""
    left: str = ""
    right: str = ""
    after: str = ""


class Words(Executor):
    """A stream of words."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.next = asyncio.Event()

    @requests(on="/words")
    async def words(self, doc: Word, parameters: dict, **kwargs) -> Word:
        """After the first word it waits for `/next`."""
        for number in range(parameters["count"]):
            yield Word(text=f"{doc.text}{number}")
            async with asyncio.timeout(30):
                await self.next.wait()

    @requests(on="/next")
    async def resume(self, parameters: dict, **kwargs):
        if parameters["go"]:
            self.next.set()
        else:
            self.next.clear()


class SetField(Executor):
    """Sets the field that it is told."""

    def __init__(self, field: str = "left", seconds: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.field = field
        self.seconds = seconds

    @requests(on=["/words", "/word"])
    async def mark(self, docs: DocList[Word], **kwargs) -> DocList[Word]:
        if self.seconds:
            await asyncio.sleep(self.seconds)
        for doc in docs:
            setattr(doc, self.field, f"{self.field[0]}{doc.text}")
        return docs


class Sluggish(Executor):
    """Takes as long as the parameter `seconds` says, and notes what was cancelled."""

    @requests(on="/slow")
    async def slow(self, docs: DocList[Token], parameters: dict, **kwargs) -> DocList[Token]:
        await asyncio.sleep(parameters.get("seconds", 0))
        return docs


class OneByOne(Executor):
    """A `def` handler, which takes one request at a time; waits for a file, notes what it has begun."""

    def __init__(self, folder: str = "", **kwargs):
        super().__init__(**kwargs)
        self.folder = Path(folder)

    @requests(on="/one")
    def one(self, docs: DocList[Token], **kwargs) -> DocList[Token]:
        with (self.folder / f"begun-{os.getpid()}").open("a") as file:
            file.write(f"{docs[0].text}\n")
        deadline = time.monotonic() + 40
        while not (self.folder / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return docs


class Counted(Executor):
    """Writes how much it answered into the folder when it is closed."""

    def __init__(self, folder: str | None = None, **kwargs):
        super().__init__(**kwargs)
        self.folder = folder
        self.count = 0

    @requests(on="/count")
    async def counted(self, docs: DocList[Token], **kwargs) -> DocList[Token]:
        await asyncio.sleep(0.01)
        self.count += len(docs)
        return docs

    def close(self):
        if self.folder is not None:
            Path(self.folder, f"closed-{os.getpid()}").write_text(str(self.count))


class Delayed(Executor):
    """Its constructor takes as long as it is told."""

    def __init__(self, seconds: float = 0.0, file: str = "", **kwargs):
        super().__init__(**kwargs)
        if file:
            Path(file).write_text(str(os.getpid()))
        time.sleep(seconds)


class Failing(Executor):
    """Never there."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        raise OSError("no model here")


class Flood(Executor):
    """More documents than fit into memory, and how many of them it has made."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.made = 0

    @requests(on="/flood")
    def flood(self, doc: Stamped, **kwargs) -> Stamped:
        self.made = 0
        for number in range(doc.number):
            self.made += 1
            yield Stamped(number=number, ballast=doc.ballast)

    @requests(on="/bulk")
    async def bulk(self, docs: DocList[Token], **kwargs) -> DocList[Token]:
        return docs

    @requests(on="/made")
    async def tell(self, **kwargs) -> dict:
        return {"made": self.made}


class Sink(Executor):
    """The slow step behind a flood."""

    @requests(on="/flood")
    async def swallow(self, docs: DocList[Stamped], **kwargs) -> DocList[Stamped]:
        await asyncio.sleep(0.01)
        return docs

    @requests(on="/bulk")
    def swallow_many(self, docs: DocList[Token], **kwargs) -> DocList[Token]:
        time.sleep(0.01)
        return docs
