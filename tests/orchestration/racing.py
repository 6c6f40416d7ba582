"""Starts services when it is told to, at the same time as another one of its kind that wants the same port.

Standard input has a line `<kind> <port> <folder>`, answered with `armed` once all is ready for the start; a line `go`,
answered with `won` or the error as JSON; and a line `end`, answered with `ended` and how many processes are left.
"""

import json
import sys
from pathlib import Path

import grpc.aio
import psutil

from jina import Deployment, DocumentArray, Executor, Flow, Gateway, requests, write

LOCAL = {"host": "127.0.0.1", "quiet": True}


class Racing(Executor):
    @requests
    def same(self, docs: DocumentArray, **kwargs):
        pass


class Kept(Executor):
    @write
    @requests(on="/kept")
    def kept(self, docs: DocumentArray, **kwargs):
        pass


class Shared(Gateway):
    """Runs a server that shares its port (SO_REUSEPORT), as gRPC's does by default."""

    async def setup_server(self):
        self.server = grpc.aio.server()
        self.server.add_insecure_port(f"127.0.0.1:{self.port}")

    async def run_server(self):
        await self.server.start()
        await self.server.wait_for_termination()

    async def shutdown(self):
        await self.server.stop(0)


def made(kind, port, folder):
    if kind in {"grpc", "http", "websocket"}:
        return Deployment(uses=Racing, protocol=kind, port=port, **LOCAL)
    if kind == "several":
        return Deployment(uses=Racing, protocol=["grpc", "http"], port=[port, port + 1], **LOCAL)
    if kind == "replicas":
        return Deployment(uses=Racing, replicas=2, port=port, **LOCAL)
    if kind == "flow":
        return Flow(protocol="grpc", port=port, **LOCAL).add(uses=Racing)
    if kind == "probes":
        return Deployment(uses=Racing, port_probes=port, **LOCAL)
    if kind == "monitoring":
        return Deployment(uses=Racing, monitoring=True, port_monitoring=port, **LOCAL)
    if kind == "gateway":
        return Flow(port=port, protocol="grpc", **LOCAL).config_gateway(uses=Shared).add(uses=Racing)
    assert kind == "peers"
    return Deployment(uses=Kept, stateful=True, peer_ports=port, workspace=folder, **LOCAL)


def report(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main():
    for line in sys.stdin:
        kind, port, folder = line.rstrip("\n").split(" ", 2)  # folders may have spaces
        Path(folder).mkdir(exist_ok=True)
        service = made(kind, int(port), folder)
        report("armed")
        sys.stdin.readline()
        try:
            service.start()
            report("won")
        except Exception as error:
            report({"error": type(error).__name__, "says": str(error)})
        sys.stdin.readline()
        service.close()
        report(["ended", len(psutil.Process().children(recursive=True))])


if __name__ == "__main__":
    main()
