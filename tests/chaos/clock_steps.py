"""Serves while the clock of its processes is set: `clock_steps.py FILE`, run under libfaketime, which reads FILE."""

import sys
import time
from pathlib import Path

from jina import Document, DocumentArray, Executor, Flow, requests
from tests.acceptance.flow_asking import until
from tests.chaos.services import Keeping

STEPS = ("+1h", "-1h", "+365d", "-365d", "+0")


class Telling(Executor):
    @requests(on="/now")
    def tell(self, docs: DocumentArray, **kwargs):
        docs.texts = [str(time.time())]


def serve(file):
    served = Flow(host="127.0.0.1", protocol="http").add(uses=Telling, name="telling", replicas=2)
    served = served.add(
        uses=Keeping, name="keeping", stateful=True, replicas=1, workspace=str(Path(file).parent / "ws")
    )
    with served:
        real = time_of(served)
        for number, step in enumerate(STEPS, 1):
            before = time.monotonic()
            Path(file).write_text(f"{step}\n")
            until(lambda step=step, real=real: abs(time_of(served) - real - seconds(step)) < 300, 30)
            for _ in range(20):
                time_of(served)
            count = served.post("/add", Document(), timeout=10).texts[0]
            states = {process.state for process in served.status().processes}
            restarts = sum(process.restarts for process in served.status().processes)
            sys.stdout.write(f"{step} {count == str(number)} {states} {restarts} {time.monotonic() - before < 60}\n")


def time_of(served):
    return float(served.post("/now", Document(), timeout=10).texts[0])


def seconds(step):
    return int(step.strip("+hd")) * {"h": 3600, "d": 86400, "0": 0}[step[-1]]


if __name__ == "__main__":
    serve(sys.argv[1])
