"""Starts two workers behind a gateway, prints process ids, and waits to be killed.

`forkserver`: that of the fork server, at once. `gateway`: those of the fork server and the gateway that it forked,
before there are workers. `workers`: those of the workers and their gateway, when one of them holds the GIL.
"""

import sys
import time

from forkservers import plan_of

from jina.supervisor.group import start

started = start(plan_of("Spinning", behind={}))
fork_server = started._supervisor._fork_server
gateway = started.front[0]


def wait_while(condition):
    while condition():
        time.sleep(0.001)


if sys.argv[1] == "forkserver":
    wait_while(lambda: not fork_server.pid)
    pids = [fork_server.pid]
elif sys.argv[1] == "gateway":
    wait_while(lambda: not gateway.pid)
    pids = [fork_server.pid, gateway.pid]
else:
    wait_while(lambda: any(process.phase in {"starting", "importing"} for process in started.processes))
    pids = [process.pid for process in started.processes]
sys.stdout.write(" ".join(map(str, pids)) + "\n")
sys.stdout.flush()
time.sleep(600)
