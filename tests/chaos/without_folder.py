"""Serves from a working folder that is deleted: `without_folder.py before|after`, the start. Prints what goes on."""

import os
import shutil
import signal
import sys
import tempfile

from jina import Deployment, Document, DocumentArray, Executor, requests
from jina.errors import JinaError
from tests.acceptance.flow_asking import until


class Found(Executor):
    @requests(on="/where")
    def where(self, docs: DocumentArray, **kwargs):
        docs.texts = [str(os.path.exists("beside"))]

    @requests(on="/kept")
    def kept(self, docs: DocumentArray, **kwargs):
        docs.texts = [self.workspace]


def main(when):
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    with open("beside", "w"):
        pass
    if when == "before":
        shutil.rmtree(folder)
    served = Deployment(uses=Found, replicas=2, host="127.0.0.1", quiet=True, workspace=tempfile.gettempdir())
    with served:
        report("serves", asked(served, "/where"))
        if when == "after":
            shutil.rmtree(folder)
        slot = served._processes[0].slots[0]
        os.kill(slot.process.pid, signal.SIGKILL)
        until(lambda: slot.restarts.count and served.is_ready, 120)
        report("started again", asked(served, "/where"))
        served.scale(replicas=3)
        report("scaled", len(served.status().processes) - 1)
        served.roll_out()
        report("rolled out", asked(served, "/kept").startswith(tempfile.gettempdir()))
    try:
        Deployment(uses=Found, workspace="beside", stateful=True, host="127.0.0.1", quiet=True).start()
    except JinaError as error:
        report(type(error).__name__, error)


def asked(served, endpoint):
    return served.post(endpoint, Document()).texts[0]


def report(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
