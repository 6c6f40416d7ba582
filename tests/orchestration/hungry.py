"""A program whose worker eats memory until the kernel ends it; prints what is said of its end. `hungry.py GROUP`."""

import os
import sys
import time
from pathlib import Path

from jina import Deployment, Executor, requests
from jina.errors import JinaError


class Hungry(Executor):
    @requests(on="/eat")
    def eat(self, **kwargs):
        eaten = []
        while True:
            eaten.append(b"x" * 2**24)

    @requests(on="/quick")
    def quick(self, **kwargs): ...


def main(group):
    """Serve inside the control group."""
    Path(group, "cgroup.procs").write_text(str(os.getpid()))
    with Deployment(uses="Hungry", py_modules=[__file__], host="127.0.0.1", quiet=True) as served:
        try:
            served.post("/eat")
        except JinaError as error:
            sys.stdout.write(f"{error.message}\n")
        deadline = time.monotonic() + 60
        while not (served.is_ready and served.status().processes[0].restarts) and time.monotonic() < deadline:
            time.sleep(0.05)
        served.post("/quick")
        sys.stdout.write(f"{served.status().processes[0].restarts}\n")


if __name__ == "__main__":
    main(sys.argv[1])
