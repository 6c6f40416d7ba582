"""Starts two workers from a nursery, prints process ids, and waits to be killed.

`nursery`: that of the nursery, at once. `workers`: those of the workers, when one of them holds the GIL.
"""

import sys
import time

from test_nursery import plan_of

from jina.launch import running

started = running.start(plan_of("Spinning"))
nursery = started._supervisor._nursery
if sys.argv[1] == "nursery":
    while not nursery.pid:
        time.sleep(0.001)
    pids = [nursery.pid]
else:
    while any(process.phase in {"starting", "importing"} for process in started.processes):
        time.sleep(0.01)
    pids = [process.pid for process in started.processes]
sys.stdout.write(" ".join(map(str, pids)) + "\n")
sys.stdout.flush()
time.sleep(600)
