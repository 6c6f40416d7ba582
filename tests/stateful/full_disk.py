"""A program that fills the disk of one replica, in a mount namespace of its own; prints the outcome as JSON."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from jina import Document
from jina.cli.main import main as run_command
from jina.errors import JinaError
from tests.stateful.conftest import FAST, PATIENCE, group
from tests.stateful.users import Blob

SIZE = "40M"


def main():
    workspace = Path(sys.argv[1])
    disk = workspace / "raft" / "executor" / "rep-0"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", disk], check=True)
    acknowledged, errors = [], []

    def put(running, name, size):
        try:
            running.post("/put", Document(text="x" * size), parameters={"name": name})
            acknowledged.append(name)
        except JinaError as error:
            errors.append(str(error))

    with group(Blob, workspace, raft_configuration=FAST) as running:
        for number in range(50):
            put(running, str(number), 1_000_000)
        full = os.statvfs(disk).f_bavail
        deadline = time.monotonic() + PATIENCE
        while not running.status()[0].get("disk") and time.monotonic() < deadline:
            put(running, "more", 1_000_000)
        status_when_full = status_table(workspace)
        subprocess.run(["mount", "-o", "remount,size=400M", disk], check=True)
        deadline = time.monotonic() + PATIENCE
        while not all(one.get("serving") for one in running.status()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for number in range(60, 70):
            put(running, str(number), 10)
        fresh = {"headers": {"jina-consistency": "linearizable"}}
        sums = [one["sums"] for one in running.everywhere("/sums", **fresh)]
        status_after = status_table(workspace)
    outcome = {"acknowledged": acknowledged, "errors": errors, "sums": sums, "free": full}
    sys.stdout.write(json.dumps({**outcome, "full": status_when_full, "after": status_after}))


def status_table(workspace):
    """What `jina raft status` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        run_command(["raft", "status", "--workspace", str(workspace)])
    return output.getvalue()


if __name__ == "__main__":
    main()
