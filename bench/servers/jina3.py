"""Jina 3.34 with the options given as `name=value` before the port."""

import sys

from executors import Bench

from jina import Deployment

if __name__ == "__main__":
    options = dict(argument.split("=", 1) for argument in sys.argv[1:-1])
    options["include_gateway"] = options.get("include_gateway", "true") == "true"
    with Deployment(uses=Bench, port=int(sys.argv[-1]), timeout_ready=120000, **options) as service:
        service.block()
