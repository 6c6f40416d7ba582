"""An Executor that takes its time."""

import os
import time

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
