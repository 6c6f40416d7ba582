"""Executors that the tests of processes start; imported by the workers."""

import os
import signal
import subprocess
import sys
import time

from jina import Executor, requests


def record(word):
    if path := os.environ.get("RECORD"):
        with open(path, "a") as file:
            file.write(f"{word}\n")


class Plain(Executor):
    pass


class Recording(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        record("init")

    def close(self):
        record("closed")


class Failing(Executor):
    def __init__(self, **kwargs):
        raise RuntimeError("no such file model.bin")


class Dying(Executor):
    def __init__(self, **kwargs):
        os._exit(7)


class Sleeping(Executor):
    def __init__(self, **kwargs):
        time.sleep(600)


class Parent(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        record(child.pid)


class Stubborn(Executor):
    def close(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)


class Spinning(Executor):
    """Holds the GIL from the moment that it is ready, in a thread of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        import threading

        threading.Thread(target=self.spin, daemon=True).start()

    def spin(self):
        while not os.path.exists(os.environ["RECORD"] + ".go"):
            time.sleep(0.01)
        record("spins")
        sum(range(10**14))


if __name__ != "__main__":
    record("imported")


class Refused(Executor):
    @requests
    def foo(self, docs: str, **kwargs):
        """Takes no documents."""
