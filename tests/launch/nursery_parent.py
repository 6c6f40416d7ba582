"""Starts two workers from a nursery, prints all process ids when one of them holds the GIL, waits to be killed."""

import sys
import time

from test_nursery import plan_of

from jina.launch import running

started = running.start(plan_of("Spinning"))
while any(process.phase == "starting" for process in started.processes):
    time.sleep(0.01)
pids = [process.pid for process in started.processes] + [started._supervisor._nursery.pid]
sys.stdout.write(" ".join(map(str, pids)) + "\n")
sys.stdout.flush()
time.sleep(600)
