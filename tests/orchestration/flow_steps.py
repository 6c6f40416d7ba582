"""Importable Executors for the tests of Flows."""

import os
import signal
import time

from docarray import BaseDoc, DocList

from jina import Executor, requests


class Note(BaseDoc):
    text: str = ""
    left: str | None = None
    right: str | None = None


class Add(Executor):
    """Appends a letter to texts."""

    def __init__(self, letter="a", **kwargs):
        super().__init__(**kwargs)
        self.letter = letter

    @requests(on=["/add", "/index"])
    def add(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        for doc in docs:
            doc.text += self.letter
        return docs

    @requests(on="/env")
    def env(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        for doc in docs:
            doc.text += os.environ.get("COLOUR", "none")
        return docs

    @requests(on="/pid")
    def pid(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        for doc in docs:
            doc.text += f"{os.getpid()} "
        return docs

    @requests(on="/slow")
    def slow(self, docs: DocList[Note], parameters, **kwargs) -> DocList[Note]:
        open(parameters["begun"], "w").close()
        deadline = time.monotonic() + 30
        while not os.path.exists(parameters["go"]) and time.monotonic() < deadline:
            time.sleep(0.01)
        return docs

    @requests(on="/die")
    def die(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
        return docs


class Left(Executor):
    @requests(on="/add")
    def add(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        for doc in docs:
            doc.left = doc.text
        return docs


class Right(Executor):
    @requests(on="/add")
    def add(self, docs: DocList[Note], **kwargs) -> DocList[Note]:
        for doc in docs:
            doc.right = doc.text
        return docs


class Count(Executor):
    @requests(on="/count")
    async def count(self, doc: Note, **kwargs) -> Note:
        for number in range(3):
            yield Note(text=f"{doc.text}{number}")


class Failing(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        raise RuntimeError("no such file model.bin")


class Recording(Executor):
    """Writes what happens to it to the file that RECORD names."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.record("init")

    def record(self, word):
        with open(os.environ["RECORD"], "a") as file:
            file.write(f"{word}\n")

    def close(self):
        self.record("closed")


class Sleeping(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with open(os.environ["RECORD"] + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(os.environ["RECORD"] + ".new", os.environ["RECORD"])
        time.sleep(600)
