"""Ours: a Deployment with the options given as `name=value` before the port."""

import sys

from executors import Bench

from jina import Deployment

if __name__ == "__main__":
    options = dict(argument.split("=", 1) for argument in sys.argv[1:-1])
    with Deployment(uses=Bench, port=int(sys.argv[-1]), max_message_size=256 * 2**20, **options) as service:
        service.block()
