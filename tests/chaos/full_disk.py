"""Serves while the disk for logs, or that for its log of operations, is full: `full_disk.py logs|workspace FOLDER`."""

import os
import sys
from pathlib import Path

from jina import Deployment, Document, DocumentArray, Executor, requests
from jina.errors import JinaError
from tests.acceptance.flow_asking import until
from tests.chaos.services import Keeping

LINE = "x" * 1000
LONG = "x" * 500_000


class Telling(Executor):
    @requests(on="/tell")
    def tell(self, docs: DocumentArray, **kwargs):
        self.logger.warning("%s %s", docs[0].text, LINE)
        docs.texts = [str(os.getpid())]


def logs(folder):
    with Deployment(uses=Telling, host="127.0.0.1", log_dir=folder) as served:
        pids = {asked(served, "/tell", str(number)) for number in range(300)}
        report("answered by", len(pids))
        filled = sum(path.stat().st_size for path in Path(folder).iterdir())
        for path in Path(folder).iterdir():
            os.truncate(path, 0)
        asked(served, "/tell", "last")
        asked(served, "/tell", "after all")
        report("full at", filled)
        report("written again", any("after all" in path.read_text() for path in Path(folder).iterdir()))


def workspace(folder):
    filler = Path(folder, "filler")
    with Deployment(uses=Keeping, stateful=True, host="127.0.0.1", workspace=folder) as served:
        acknowledged = int(asked(served, "/add"))
        try:
            with filler.open("wb") as file:
                while True:
                    file.write(b"x" * 4096)
                    file.flush()
        except OSError:
            report("full")
        try:
            for _ in range(5000):
                acknowledged = int(asked(served, "/add", LONG))
        except JinaError as error:
            report("refused", type(error).__name__, " ".join(str(error).split()))
        report("read", int(asked(served, "/count")) >= acknowledged)
        filler.unlink()
        until(lambda: adds(served), 120)
        report("kept", int(asked(served, "/count")) > acknowledged)


def adds(served):
    try:
        return asked(served, "/add")
    except JinaError:
        return False


def asked(served, endpoint, text=""):
    return served.post(endpoint, Document(text=text), timeout=30).texts[0]


def report(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"logs": logs, "workspace": workspace}[sys.argv[1]](sys.argv[2])
