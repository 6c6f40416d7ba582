"""A step without state: it says which pod of which version answered, and notes its end where the test looks."""

import os
import time
from pathlib import Path

from jina import Document, DocumentArray, Executor, requests

NOTES = Path("/notes")
TAG = Path(__file__).with_name("tag.txt")  # of a later version of the image


class Encoder(Executor):
    """Gives each text a short embedding."""

    @requests(on="/encode")
    def encode(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.embedding = [float(len(doc.text)), float(sum(doc.text.encode()) % 97)]
            doc.tags = {**doc.tags, "pod": os.environ["K8S_POD_NAME"], "tag": TAG.read_text() if TAG.exists() else "1"}

    @requests(on="/stream")
    def stream(self, doc: Document, parameters: dict, **kwargs):
        for number in range(int(parameters["count"])):
            time.sleep(float(parameters["seconds"]))
            yield Document(text=f"{doc.text} {number}", tags={"pod": os.environ["K8S_POD_NAME"]})

    def close(self):
        if NOTES.is_dir():
            (NOTES / f"{os.environ['K8S_POD_NAME']}.closed").touch()
