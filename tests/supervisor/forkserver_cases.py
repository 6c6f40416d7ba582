"""Executors that say what their process is; imported by workers that are forked, and by others."""

import json
import os
import random
import secrets
import signal
import sys
import threading

import numpy as np

from jina import Executor
from jina.net.messages import new_request_id


def tell(executor, facts):
    number = getattr(executor.runtime_args, "replica_id", "gateway")
    path = os.path.join(os.environ["RECORD"], f"{number}.json")
    with open(path + ".part", "w") as file:
        json.dump(facts, file)
    os.rename(path + ".part", path)


class Facts(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        tell(self, facts())


def facts():
    kinds = sorted(os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in _descriptors())
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "argv": sys.argv,
        "flags": list(sys.flags),
        "path": sys.path,
        "cwd": os.getcwd(),
        "warnings": sys.warnoptions,
        "stdin": os.readlink("/proc/self/fd/0"),
        "descriptors": kinds,
        "signals": [signal.getsignal(n) is signal.SIG_DFL for n in (signal.SIGHUP, signal.SIGALRM)],
        "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "main": threading.main_thread().name,
        "reached": signal.pthread_kill(threading.main_thread().ident, 0),
        "native": threading.main_thread().native_id,
    }


def _descriptors():
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]


class Drawing(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        drawn = [random.random(), np.random.random(), np.random.default_rng().random(), secrets.token_hex()]
        tell(self, [*drawn, new_request_id()])


class Multiplying(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        before = len(os.listdir("/proc/self/task"))
        matrix = np.ones((1500, 1500))
        assert float((matrix @ matrix)[0, 0]) == 1500
        tell(self, [before, len(os.listdir("/proc/self/task"))])


class Raising(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        if self.runtime_args.replica_id == 1:
            raise RuntimeError("no such file model.bin")


class Leaving(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        if self.runtime_args.replica_id == 1:
            os._exit(7)


class Spinning(Executor):
    """Holds the GIL once it is told to."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        tell(self, os.getpid())
        if self.runtime_args.replica_id == 0:
            threading.Thread(target=sum, args=[range(10**14)], daemon=True).start()
