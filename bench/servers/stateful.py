"""A stateful Deployment of three replicas behind a gateway, ours or Jina 3's by the Python that runs it.

Options are given as `name=value` before the port: `workspace`, where a file `ready` appears when it is; `ports`, at
which each replica is asked itself, unless it is `plain`: as users have it, where ours listen nowhere. Who opens
`status` in the workspace reads a line there: what our agents tell.
"""

import contextlib
import json
import os
import sys
import threading
import time

from replicated_store import Store

from jina import Deployment

if hasattr(Deployment, "consensus_status"):
    import msgspec

    from jina.plan.plans import ListenerPlan

    class Stateful(Deployment):
        """Each replica listens on a port of its own, too."""

        @property
        def plan(self):
            plan = super().plan
            listeners = [[ListenerPlan(protocol="grpc", host="127.0.0.1", port=port)] for port in PORTS]
            workers = [msgspec.structs.replace(w, listeners=f) for w, f in zip(plan.workers, listeners, strict=True)]
            return msgspec.structs.replace(plan, workers=workers)

    def tell(service):
        while True:
            # Waits for a reader; one that has read its line may be gone before the next is written.
            with contextlib.suppress(BrokenPipeError), open(f"{WORKSPACE}/status", "w") as file:
                file.write(json.dumps(service.consensus_status()) + "\n")
            time.sleep(0.05)


OPTIONS = dict(argument.split("=", 1) for argument in sys.argv[1:-1])
WORKSPACE, PORTS = OPTIONS["workspace"], [int(port) for port in OPTIONS["ports"].split(",")]

if __name__ == "__main__":
    common = {"uses": Store, "stateful": True, "replicas": 3, "workspace": WORKSPACE, "port": int(sys.argv[-1])}
    if hasattr(Deployment, "consensus_status"):
        if not os.path.exists(f"{WORKSPACE}/status"):
            os.mkfifo(f"{WORKSPACE}/status")
        service = (Deployment if "plain" in OPTIONS else Stateful)(**common, host="127.0.0.1")
    else:
        service = Deployment(**common, peer_ports=PORTS, timeout_ready=120000)
    with service:
        with open(f"{WORKSPACE}/ready", "w") as file:
            file.write(str(time.monotonic()))
        if hasattr(service, "consensus_status"):
            threading.Thread(target=tell, args=(service,), daemon=True).start()
        service.block()
