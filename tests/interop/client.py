"""Run `calls.py` with the `jina` of this Python: a JSON line in, a JSON line out, until standard input ends."""

import json
import os
import sys

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # whatever a library prints belongs to the log

import calls  # noqa: E402 - standard output is ours from here on

for line in sys.stdin:
    asked = json.loads(line)
    answers.write(json.dumps(calls.run(asked["call"], asked["url"], **asked["arguments"])) + "\n")
