"""A stateful service with secrets, in a folder that others may enter; prints where it is, and ends with its stdin."""

import json
import os
import sys
from pathlib import Path

from jina import Client, Deployment, Document, Executor, requests, write
from jina.cli.main import main
from tests.processes import descendants

KEY = "key-of-the-callers-0123456789"
VARIABLE = "value-of-a-variable"


class Keeping(Executor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.count = 0

    @write
    @requests(on="/add")
    def add(self, docs, **kwargs):
        self.count += 1
        Path(self.workspace, "file").write_text("what the Executor keeps")

    def snapshot(self, snapshot_dir):
        Path(snapshot_dir, "count").write_text(str(self.count))

    def restore(self, snapshot_dir):
        self.count = int(Path(snapshot_dir, "count").read_text())


def serve(folder):
    options = {"stateful": True, "workspace": f"{folder}/ws", "log_dir": f"{folder}/logs", "env": {"TOKEN": VARIABLE}}
    with Deployment(uses=Keeping, name="it", host="127.0.0.1", api_keys=[KEY], **options) as served:
        with Client(port=served.port, api_key=KEY) as client:
            for _ in range(3):
                client.post("/add", Document())
        assert main(["raft", "snapshot", "it", "--workspace", f"{folder}/ws"]) == 0
        assert main(["raft", "backup", f"{folder}/backup", "--workspace", f"{folder}/ws"]) == 0
        result = {"port": served.port, "pids": [os.getpid(), *descendants()]}
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1])
