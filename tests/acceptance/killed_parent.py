"""Serves `Counting`, keeps one handler busy in C code, prints the worker's process id, waits to be killed."""

import os
import sys
import threading
import time
from pathlib import Path

from jina import Deployment
from tests.acceptance.services import Counting

with Deployment(uses=Counting, host="127.0.0.1", quiet=True) as served:
    threading.Thread(target=served.post, args=("/gil",), daemon=True).start()
    record = Path(os.environ["RECORD"])
    while not record.exists():
        time.sleep(0.01)
    sys.stdout.write(f"{served._processes[0].workers[0].pid}\n")
    sys.stdout.flush()
    time.sleep(600)
