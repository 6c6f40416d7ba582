"""Serves two steps on all protocols and waits for its end; prints ports and process ids, then how it ended."""

import json
import sys

from jina import Flow
from jina.errors import Unavailable
from tests.acceptance.flow_services import Counted

flow = Flow(protocol=["grpc", "http", "websocket"], host="127.0.0.1", quiet=True, restart_limit=0)
for name in ("one", "two"):
    flow = flow.add(name=name, uses=Counted, uses_with={"folder": sys.argv[1]})
with flow:
    processes = {process.name: process.pid for process in flow._processes[0].processes}
    sys.stdout.write(json.dumps({"ports": flow.port, "processes": processes}) + "\n")
    sys.stdout.flush()
    try:
        flow.block()
    except Unavailable as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(3)
