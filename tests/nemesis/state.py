"""The Executor under test: a list whose pages are files, and registers. Workers import it, with planted mistakes."""

import faulthandler
import hashlib
import json
import os
import shutil
import signal

from jina import Document, DocumentArray, Executor, requests, write
from tests.nemesis import planted

planted.plant()
faulthandler.register(signal.SIGUSR2, all_threads=True)  # a run asks where one hangs
PAGE = 20


def link(chain, line):
    """The hash of a list that has grown by a line."""
    return hashlib.blake2b(chain.encode() + line.encode(), digest_size=8).hexdigest()


class NemesisState(Executor):
    """A list of lines, which tells their places, and registers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lines, self.chain, self.registers = [], "", {}

    # --- writes -------------------------------------------------------------------------------------------

    @write
    @requests(on="/append")
    def append(self, docs: DocumentArray, **kwargs):
        line = docs[0].text.partition(" ")[0]  # what follows makes the request large
        with open(self._page(len(self.lines)), "a") as page:
            page.write(f"{line}\n")
        self._add(line)
        return _told(len(self.lines) - 1)

    @write
    @requests(on="/set")
    def set(self, docs: DocumentArray, **kwargs):
        key, value = json.loads(docs[0].text)
        self.registers[key] = value
        return _told(1)

    @write
    @requests(on="/swap")
    def swap(self, docs: DocumentArray, **kwargs):
        key, expected, value = json.loads(docs[0].text)
        if self.registers.get(key) != expected:
            return _told(0)
        self.registers[key] = value
        return _told(1)

    # --- reads --------------------------------------------------------------------------------------------

    @requests(on="/read")
    def read(self, docs: DocumentArray, **kwargs):
        return _told({"count": len(self.lines), "chain": self.chain, "process": self.process()})

    @requests(on="/get")
    def get(self, docs: DocumentArray, **kwargs):
        return _told(self.registers.get(docs[0].text))

    @requests(on="/all")
    def all(self, docs: DocumentArray, **kwargs):
        written, number = [], 0
        while os.path.exists(self._page(number)):
            with open(self._page(number)) as page:
                written += page.read().splitlines()
            number += PAGE
        result = {"lines": self.lines, "written": written, "registers": self.registers, "process": self.process()}
        return _told({**result, "hash": str(self.state_hash()), "replica": self.runtime_args.replica_id})

    def process(self):
        """What tells this process from all others that had the state, before it too."""
        return os.getpid()

    # --- what replication asks of it ----------------------------------------------------------------------

    def state_hash(self):
        registers = json.dumps(self.registers, sort_keys=True)
        return hashlib.blake2b((self.chain + registers).encode(), digest_size=8).hexdigest()

    def snapshot(self, snapshot_dir):
        for number in range(0, len(self.lines), PAGE):
            shutil.copy(self._page(number), snapshot_dir)
        with open(os.path.join(snapshot_dir, "registers.json"), "w") as file:
            json.dump({"count": len(self.lines), "registers": self.registers}, file)

    def restore(self, snapshot_dir):
        with open(os.path.join(snapshot_dir, "registers.json")) as file:
            saved = json.load(file)
        self.registers, self.lines, self.chain = saved["registers"], [], ""
        for number in range(0, saved["count"], PAGE):
            shutil.copy(os.path.join(snapshot_dir, os.path.basename(self._page(number))), self.workspace)
            with open(self._page(number)) as page:
                for line in page.read().splitlines():
                    self._add(line)

    def _add(self, line):
        self.lines.append(line)
        self.chain = link(self.chain, line)

    def _page(self, place):
        return os.path.join(self.workspace, f"{place // PAGE}.page")


def _told(value):
    return DocumentArray([Document(text=json.dumps(value))])
