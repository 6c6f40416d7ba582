"""Serves a Flow of a hub package, a git package, an image where one is given, and a class of this file.

Prints its ports, then waits for its end.
"""

import json
import sys

import numpy as np

from jina import DocumentArray, Executor, Flow, requests


class Ours(Executor):
    """Of this program, in whose environment it runs."""

    @requests
    def say(self, docs: DocumentArray, **kwargs):
        for doc in docs:
            doc.tags = {**doc.tags, "ours": np.__version__}


if __name__ == "__main__":
    flow = Flow(host="127.0.0.1", quiet=True, restart_limit=0, protocol=["grpc", "http"])
    flow = flow.add(name="hub", uses="jinahub://numbers", install_requirements=True, replicas=2)
    flow = flow.add(name="git", uses=sys.argv[1], install_requirements=True)
    for image in sys.argv[2:]:
        flow = flow.add(name="image", uses=image, restart_limit=3, restart_backoff=0.1)
    flow = flow.add(name="ours", uses=Ours)
    with flow:
        processes = {process.name: process.pid for process in flow._processes[0].processes}
        sys.stdout.write(json.dumps({"ports": flow.port, "processes": processes}) + "\n")
        sys.stdout.flush()
        flow.block()
