"""A Flow of `steps` times the same Executor, ours or Jina 3's by the Python that runs it.

Options are given as `name=value` before the port.
"""

import sys

from executors import Bench

from jina import Flow

if __name__ == "__main__":
    options = dict(argument.split("=", 1) for argument in sys.argv[1:-1])
    steps = int(options.pop("steps", "2"))
    if options.pop("ours", ""):
        options["max_message_size"] = 256 * 2**20
    flow = Flow(port=int(sys.argv[-1]), timeout_ready=120000, **options)
    for _ in range(steps):
        flow = flow.add(uses=Bench)
    with flow:
        flow.block()
