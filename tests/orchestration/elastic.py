"""An Executor that takes its time."""

import os
import time
from pathlib import Path

from jina import DocumentArray, Executor, requests


class Working(Executor):
    """Takes `seconds` for each request, one at a time."""

    def __init__(self, seconds: float = 0.05, **kwargs):
        super().__init__(**kwargs)
        self.seconds = seconds

    @requests(on="/work")
    def work(self, docs: DocumentArray, **kwargs):
        time.sleep(self.seconds)
        docs.texts = [str(os.getpid())] * len(docs)


class Timed(Working):
    """Answers with the seconds from the start of its process to the end of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        self.took = time.clock_gettime(time.CLOCK_BOOTTIME) - began

    @requests(on="/took")
    def tell(self, docs: DocumentArray, **kwargs):
        docs.texts = [str(self.took)] * len(docs)


class Starting(Working):
    """Notes in its workspace that it runs; all but the first need long to start."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        folder = Path(self.runtime_args.workspace)
        (folder / f"started-{os.getpid()}").touch()
        if len(list(folder.glob("started-*"))) > 1:
            time.sleep(20)
