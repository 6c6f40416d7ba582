"""Serves a Flow of two Executors until a signal comes; prints its port."""

import sys

from jina import Flow
from tests.chaos.services import Ledger

flow = Flow(host="127.0.0.1", quiet=True, restart_limit=-1)
for name, folder, replicas in (("one", sys.argv[1], 3), ("two", sys.argv[2], 2)):
    flow = flow.add(name=name, uses=Ledger, uses_with={"folder": folder}, replicas=replicas)
with flow:
    sys.stdout.write(f"{flow.port}\n")
    sys.stdout.flush()
    flow.block()
