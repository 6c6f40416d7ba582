"""Starts two workers, prints their process ids when one of them holds the GIL, and waits to be killed."""

import os
import sys
import time
from pathlib import Path

import test_processes

from jina.supervisor.group import start

started = [start(test_processes._plan(name)) for name in ("Recording", "Spinning")]
for deployment in started:
    deployment.wait_ready()
log = os.environ["RECORD"]
Path(log + ".go").touch()
test_processes._until(lambda: "spins" in Path(log).read_text())
sys.stdout.write(" ".join(str(deployment.workers[0].pid) for deployment in started) + "\n")
sys.stdout.flush()
time.sleep(600)
