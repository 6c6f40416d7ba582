"""Run rows of the scenario table with the `jina` of this Python: a JSON line in, a JSON line out.

in:  {"scenario": "two_steps", "protocol": "grpc", "port": 1234, "folder": "/tmp/..."}
out: {"value": ...} or {"failure": "..."}
"""

import contextlib
import functools
import json
import os
import sys
import traceback

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # whatever a library prints belongs to the log

import scenarios  # noqa: E402 - standard output is ours from here on

from jina import Flow  # noqa: E402


def run(asked):
    """What the scenario saw."""
    flow_of = functools.partial(Flow, protocol=asked["protocol"], port=asked["port"])
    flow, ask = scenarios.TABLE[asked["scenario"]].make(flow_of, asked["folder"])
    with flow:
        return ask(flow)


def main():
    for line in sys.stdin:
        try:
            answer = {"value": run(json.loads(line))}
        except BaseException as error:  # the observation, whatever it is
            traceback.print_exc()
            answer = {"failure": f"{type(error).__name__}: {error}"[:300]}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
