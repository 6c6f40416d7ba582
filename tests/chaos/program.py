"""Serves three replicas until a signal comes; prints the port and the process ids of the replicas."""

import sys

from jina import Deployment
from tests.chaos.services import Ledger

served = Deployment(uses=Ledger, uses_with={"folder": sys.argv[1]}, replicas=3, host="127.0.0.1", quiet=True)
with served:
    pids = [process.pid for process in served._processes[0].workers]
    sys.stdout.write(" ".join(map(str, [served.port, *pids])) + "\n")
    sys.stdout.flush()
    served.block()
