"""Serve what `executors.py` holds with the `jina` of this Python, until standard input ends.

    python serve.py '{"direct": {"ports": [1, 2]}, ...}'

The keys are names of functions below. One JSON line on standard output says that all is ready.
"""

import contextlib
import json
import os
import sys

from executors import Before, Interop, Loose

from jina import Deployment, Flow

HOST = "127.0.0.1"
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # whatever a library prints belongs to the log


def direct(ports):
    """The worker itself, on gRPC and HTTP."""
    return Deployment(
        name="direct", uses=Interop, protocol=["grpc", "http"], port=ports, host=HOST, include_gateway=False,
        uses_with={"prefix": "~"},
    )  # fmt: skip


def all_protocols(ports):
    """A worker on all three protocols; only ours can."""
    return Deployment(
        name="direct", uses=Interop, protocol=["grpc", "http", "websocket"], port=ports, host=HOST,
        uses_with={"prefix": "~"},
    )  # fmt: skip


def loose(ports):
    """Schemaless documents."""
    return Deployment(name="loose", uses=Loose, protocol=["grpc", "http"], port=ports, host=HOST, include_gateway=False)


def http(ports):
    """A Deployment on HTTP as most users have it, with the gateway that Jina 3 puts before it."""
    return Deployment(uses=Interop, protocol="http", port=ports[0], host=HOST)


def flow(ports):
    """A gateway on all protocols before one Executor."""
    return Flow(protocol=["grpc", "http", "websocket"], port=ports, host=HOST).add(
        name="direct", uses=Interop, uses_with={"prefix": "~"}
    )


def front(ports, external):
    """A gateway whose Executor runs elsewhere: at `external`, a port."""
    return Flow(port=ports[0], host=HOST).add(name="direct", external=True, host=HOST, port=external)


def chain(ports, external):
    """One Executor of this process, then one that runs elsewhere."""
    return (
        Flow(port=ports[0], host=HOST)
        .add(name="first", uses=Before)
        .add(name="second", external=True, host=f"grpc://{HOST}:{external}")
    )


def flow_front(ports, external):
    """A gateway before a whole Flow that runs elsewhere."""
    return front(ports, external)


def loose_front(ports, external):
    """A gateway before a schemaless Executor that runs elsewhere."""
    return front(ports, external)


def loose_chain(ports, external):
    """Schemaless here, then schemaless elsewhere."""
    flow = Flow(port=ports[0], host=HOST)
    return flow.add(name="first", uses=Loose).add(name="second", external=True, host=HOST, port=external)


def tls(ports, certificate, key):
    """With a certificate, on gRPC and HTTP."""
    return Deployment(
        uses=Interop, protocol=["grpc", "http"], port=ports, host=HOST, ssl_certfile=certificate, ssl_keyfile=key
    )


def main():
    """Start all that is asked for, tell, wait."""
    with contextlib.ExitStack() as stack:
        for kind, arguments in json.loads(sys.argv[1]).items():
            stack.enter_context(globals()[kind](**arguments))
        answers.write("ready\n")
        sys.stdin.read()


if __name__ == "__main__":
    main()
