"""Executors that die, hang and change; imported by workers."""

import contextlib
import os
import signal
import time

from jina import DocumentArray, Executor, requests


class Mortal(Executor):
    def __init__(self, word="one", **kwargs):
        super().__init__(**kwargs)
        if word == "bad":
            raise ValueError("no such word")
        self.word = word

    @requests(on="/who")
    def who(self, docs: DocumentArray, **kwargs):
        docs.texts = [f"{self.word} {os.getpid()} {os.environ.get('MOOD', '')}"] * len(docs)

    @requests(on="/update")
    def updated(self, docs: DocumentArray, **kwargs):
        docs.texts = ["updated"] * len(docs)

    @requests(on="/exit")
    def exit(self, **kwargs):
        os._exit(3)

    @requests(on="/raise")
    def end_of_process(self, **kwargs):
        # To this thread: one sent to the process waits for its main thread, and the answer may be out before that.
        signal.raise_signal(signal.SIGSEGV)

    @requests(on="/stop")
    def stop(self, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)

    @requests(on="/sleep")
    def sleep(self, **kwargs):
        time.sleep(60)

    @requests(on="/block")
    async def block(self, **kwargs):
        time.sleep(60)

    @requests(on="/spin")
    def spin(self, **kwargs):
        sum(range(10**12))  # C code that never lets another thread run


class Fatal(Mortal):
    """Starts as often as there are files in its folder that it may remove."""

    def __init__(self, lives, **kwargs):
        super().__init__(**kwargs)
        for left in os.listdir(lives):
            with contextlib.suppress(FileNotFoundError):  # another replica was faster
                os.remove(os.path.join(lives, left))
                return
        raise OSError("the disk is gone")


class Grown(Mortal):
    """Has one more endpoint."""

    @requests(on="/new")
    def new(self, docs: DocumentArray, **kwargs):
        docs.texts = ["new"] * len(docs)
