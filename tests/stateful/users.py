"""Stateful Executors of the tests; imported by the workers."""

import asyncio
import json
import os
import random
import sys
import time
import zlib

from docarray import BaseDoc, DocList
from pydantic import BaseModel

from jina import Document, DocumentArray, Executor, dynamic_batching, requests, write


class Ledger(Executor):
    """Keeps a list, and tells what it was asked."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lines = []

    @write
    @requests(on="/add")
    def add(self, docs: DocumentArray, **kwargs):
        self.lines.extend(doc.text for doc in docs)
        return DocumentArray([Document(text=str(len(self.lines) - 1)) for _ in docs])

    @write
    @requests(on="/strike")
    def strike(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            del self.lines[{line: place for place, line in enumerate(self.lines)}[doc.text]]
        return docs

    @requests(on="/list")
    def list(self, docs: DocumentArray, **kwargs):
        return DocumentArray([Document(text=json.dumps({"lines": self.lines, "process": os.getpid()}))])


class Fatal(Ledger):
    """Has a write that ends its process, until it is mended."""

    def __init__(self, mended, **kwargs):
        super().__init__(**kwargs)
        self.mended = mended

    @write
    @requests(on="/fatal")
    def fatal(self, docs: DocumentArray, **kwargs):
        if not os.path.exists(self.mended):
            os._exit(9)
        raise RuntimeError("mended")


class FolderLedger(Ledger):
    """With snapshots as the founding text has them, and files of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.found = os.listdir(self.workspace)

    @write
    @requests(on="/keep")
    def keep(self, docs: DocumentArray, **kwargs):
        with open(os.path.join(self.workspace, "kept.txt"), "a") as file:
            file.writelines(f"{doc.text}\n" for doc in docs)

    @requests(on="/kept")
    def kept(self, docs: DocumentArray, **kwargs):
        path = os.path.join(self.workspace, "kept.txt")
        lines = []
        if os.path.exists(path):
            with open(path) as file:
                lines = file.read().splitlines()
        return DocumentArray([Document(text=json.dumps({"kept": lines, "found": self.found, "process": os.getpid()}))])

    def snapshot(self, snapshot_dir):
        with open(os.path.join(snapshot_dir, "lines.json"), "w") as file:
            json.dump(self.lines, file)

    def restore(self, snapshot_dir):
        with open(os.path.join(snapshot_dir, "lines.json")) as file:
            self.lines = json.load(file)


class PatientLedger(FolderLedger):
    """Has a read that waits for a write, one that answers with a stream, and a write that shows before it ends."""

    @write
    @requests(on="/add_slowly")
    async def add_slowly(self, docs: DocumentArray, **kwargs):
        self.lines.append(docs[0].text)
        await asyncio.sleep(0.3)

    @requests(on="/until")
    async def until(self, docs: DocumentArray, **kwargs):
        while docs[0].text not in self.lines:
            await asyncio.sleep(0.001)
        return DocumentArray([Document(text=json.dumps(self.lines))])

    @requests(on="/each")
    async def each(self, doc: Document, **kwargs) -> Document:
        for line in list(self.lines):
            yield Document(text=line)


class FileLedger(Ledger):
    """With snapshots as Jina 3 has them."""

    def snapshot(self, snapshot_file: str):
        with open(snapshot_file, "w") as file:
            json.dump(self.lines, file)

    def restore(self, snapshot_file: str):
        with open(snapshot_file) as file:
            self.lines = json.load(file)


class SlowSnapshots(FolderLedger):
    def snapshot(self, snapshot_dir):
        time.sleep(1.0)
        super().snapshot(snapshot_dir)


class UnableToRestore(FolderLedger):
    def restore(self, snapshot_dir):
        raise ValueError("this state cannot be read")


class Item(BaseDoc):
    text: str = ""


class Gathering(Executor):
    """Writes that are gathered before they are logged."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.batches = []

    @write
    @dynamic_batching(preferred_batch_size=8, timeout=300)
    @requests(on="/add")
    def add(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        self.batches.append([doc.text for doc in docs])
        return DocList[Item]([Item(id=doc.id, text=f"{len(self.batches) - 1}:{doc.text}") for doc in docs])

    @dynamic_batching(preferred_batch_size=4, timeout=300, isolate_errors=True)
    @write
    @requests(on="/check")
    async def check(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        if any(doc.text == "bad" for doc in docs):
            raise ValueError("a bad one")
        self.batches.append([doc.text for doc in docs])
        return docs

    @requests(on="/list")
    def listing(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        return DocList[Item]([Item(text=json.dumps({"batches": self.batches, "process": os.getpid()}))])


class ManyWays(Executor):
    """Writes of all kinds."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = []

    @requests(on="/async")
    @write
    async def asynchronous(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        await asyncio.sleep(0)
        self.calls += [doc.id for doc in docs]
        return docs

    @write
    @requests(on="/raise")
    def raising(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        self.calls.append("raised")
        raise ValueError("on purpose")

    @write
    @requests(on="/leave")
    def leaving(self, docs: DocList[Item], **kwargs):
        self.calls.append("left")
        sys.exit(3)

    @write
    @requests(on="/leave-async")
    async def leaving_async(self, docs: DocList[Item], **kwargs):
        self.calls.append("left")
        raise KeyboardInterrupt

    @write
    @requests(on="/parameters")
    def with_parameters(self, docs: DocList[Item], parameters: dict, **kwargs):
        self.calls.append(parameters["name"])

    @write
    @requests(on="/slow")
    def slow(self, docs: DocList[Item], parameters: dict, **kwargs):
        time.sleep(parameters["seconds"])
        self.calls.append("slow")

    @write
    @requests(on="/large")
    def large(self, docs: DocList[Item], **kwargs):
        self.calls += [str(len(doc.text)) for doc in docs]

    @write
    @requests(on="/moment")
    def at_a_moment(self, docs: DocList[Item], now, seed: int, **kwargs) -> DocList[Item]:
        chosen = random.Random(seed).choice("abcdefghijklmnop")
        self.calls.append(f"{now} {chosen}")
        return DocList[Item]([Item(id=docs[0].id, text=self.calls[-1])])

    @requests(on="/calls")
    def listing(self, docs: DocList[Item], **kwargs) -> DocList[Item]:
        return DocList[Item]([Item(text=json.dumps({"calls": self.calls, "process": os.getpid()}))])


class Forgetful(Ledger):
    """What it does depends on which replica it is: a mistake."""

    @write
    @requests(on="/add")
    def add(self, docs: DocumentArray, **kwargs):
        if self.runtime_args.replica_id != 1 or docs[0].text != "odd":
            self.lines.extend(doc.text for doc in docs)

    def state_hash(self):
        return len(self.lines)


class Marking(Executor):
    """Stands before the shards."""

    @requests(on="/add")
    def mark(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.text = f"marked {doc.text}"


class Counted(Executor):
    """Stands after the shards."""

    @requests(on="/add")
    def count(self, docs_matrix, **kwargs):
        return DocumentArray([Document(text=f"{len(docs_matrix)} shards answered")])


class TracedLedger(Ledger):
    """Writes its spans into a file."""

    def __init__(self, spans, **kwargs):
        super().__init__(**kwargs)
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

        class File(SpanExporter):
            def export(self, some):
                lines = [
                    {
                        "name": one.name,
                        "trace": f"{one.context.trace_id:032x}",
                        "id": f"{one.context.span_id:016x}",
                        "parent": f"{one.parent.span_id:016x}" if one.parent else "",
                        "about": dict(one.attributes),
                    }
                    for one in some
                ]
                with open(spans, "a") as file:
                    file.write("".join(f"{json.dumps(one)}\n" for one in lines))
                return SpanExportResult.SUCCESS

        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(File()))
        trace.set_tracer_provider(provider)


class Blob(Executor):
    """Keeps large texts by name."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.texts = {}

    @write
    @requests(on="/put")
    def put(self, docs: DocumentArray, parameters, **kwargs):
        self.texts[parameters["name"]] = docs[0].text
        return DocumentArray()

    @requests(on="/sums")
    def sums(self, docs: DocumentArray, **kwargs):
        sums = {name: zlib.crc32(text.encode()) for name, text in self.texts.items()}
        return DocumentArray([Document(text=json.dumps({"sums": sums, "process": os.getpid()}))])

    def snapshot(self, snapshot_dir):
        for name, text in self.texts.items():
            with open(os.path.join(snapshot_dir, name), "w") as file:
                file.write(text)

    def restore(self, snapshot_dir):
        for name in os.listdir(snapshot_dir):
            with open(os.path.join(snapshot_dir, name)) as file:
                self.texts[name] = file.read()


class Archive(FolderLedger, Blob):
    """A ledger beside large texts."""

    def snapshot(self, snapshot_dir):
        texts = os.path.join(snapshot_dir, "texts")
        os.mkdir(texts)
        Blob.snapshot(self, texts)
        FolderLedger.snapshot(self, snapshot_dir)

    def restore(self, snapshot_dir):
        Blob.restore(self, os.path.join(snapshot_dir, "texts"))
        FolderLedger.restore(self, snapshot_dir)


class Line(BaseModel):
    """A line of a plain type."""

    text: str


class PlainLedger(Executor):
    """A ledger of plain types."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lines: list[str] = []

    @write
    @requests(on="/add")
    def add(self, line: Line) -> int:
        self.lines.append(line.text)
        return len(self.lines) - 1

    @write
    @dynamic_batching(preferred_batch_size=4, timeout=20)
    @requests(on="/add_many")
    def add_many(self, docs: list[Line]) -> list[int]:
        return [self.add(doc) for doc in docs]

    @requests(on="/find")
    def find(self, text: str = "") -> list[Line]:
        return [Line(text=line) for line in self.lines if text in line]
