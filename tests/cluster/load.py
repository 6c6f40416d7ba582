"""Requests at a rate, over gRPC and HTTP in turn, each with an answer of its own that is checked.

python -m tests.cluster.load GRPC HTTP --rate 200 --least 20000     until its standard input ends, and at least so many;
                                                               what came of them is its last line, as JSON
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, TextIO

import httpx

from jina import Client, Document
from tests.cluster.cluster import Cluster

PATIENCE = 20.0
"""Seconds after which a request without an answer has failed."""
HTTP_CONNECTIONS = 16
"""That are kept; more are opened while requests wait for answers on these."""


class Sender:
    """Sends, and counts what came back."""

    def __init__(self, grpc: str, http: str, rate: float) -> None:
        self._rate = rate
        self._grpc = Client(host=grpc, port=8080, protocol="grpc", asyncio=True)
        limits = httpx.Limits(max_connections=8 * HTTP_CONNECTIONS, max_keepalive_connections=HTTP_CONNECTIONS)
        # Behind the address of a Service there may be a machine that is gone: another connection may lead elsewhere.
        ways = httpx.AsyncHTTPTransport(retries=5, limits=limits, trust_env=False)
        timeout = httpx.Timeout(PATIENCE, connect=1.0)
        self._http = httpx.AsyncClient(base_url=f"http://{http}:8081", timeout=timeout, transport=ways, trust_env=False)
        self.answered, self.failed = 0, []
        self.pods: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()
        self.took: list[float] = []

    async def send(self, ended: asyncio.Event, least: int) -> None:
        """One after another at the rate, whether or not the ones before were answered."""
        began, number, open_ones = time.monotonic(), 0, set()
        while number < least or not ended.is_set():
            number += 1
            await asyncio.sleep(max(0.0, began + number / self._rate - time.monotonic()))
            task = asyncio.create_task(self._one(number))
            open_ones.add(task)
            task.add_done_callback(open_ones.discard)
            if number % 500 == 0:
                sys.stderr.write(f"load: {number} sent, {self.answered} answered, {len(self.failed)} failed\n")
        await asyncio.gather(*open_ones)

    async def _one(self, number: int) -> None:
        protocol, text = "grpc" if number % 2 else "http", "x" * (number % 50) + str(number)
        began, at = time.monotonic(), time.time()
        try:
            async with asyncio.timeout(PATIENCE):
                tags, embedding = await (self._over_grpc(text) if protocol == "grpc" else self._over_http(text))
            if embedding[0] != len(text):
                raise ValueError(f"an answer for another request: {embedding}")
        except Exception as error:
            self.failed.append({
                "number": number, "protocol": protocol, "at": at, "after": round(time.monotonic() - began, 3),
                "error": f"{type(error).__name__}: {error}"[:300],
            })  # fmt: skip
            return
        self.answered += 1
        if self.answered == 1:
            sys.stdout.write("begun\n")
            sys.stdout.flush()
        self.pods[tags["pod"]] += 1
        self.tags[tags["tag"]] += 1
        self.took.append(time.monotonic() - began)

    async def _over_grpc(self, text: str) -> tuple[dict[str, str], list[float]]:
        found = [doc async for docs in self._grpc.post("/encode", Document(text=text)) for doc in docs]
        return found[0].tags, list(found[0].embedding)

    async def _over_http(self, text: str) -> tuple[dict[str, str], list[float]]:
        reply = await self._http.post("/encode", json={"data": [{"text": text}]})
        reply.raise_for_status()
        doc = reply.json()["data"][0]
        return doc["tags"], doc["embedding"]

    def report(self) -> dict[str, Any]:
        """What came of all of them."""
        took = sorted(self.took) or [0.0]
        return {
            "answered": self.answered,
            "failed": self.failed,
            "pods": self.pods,
            "tags": self.tags,
            "milliseconds": {
                name: round(took[min(int(part * len(took)), len(took) - 1)] * 1000, 1)
                for name, part in (("50 %", 0.5), ("99 %", 0.99), ("most", 1.0))
            },
        }

    async def close(self) -> None:
        await self._http.aclose()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grpc", help="the host of the Service for gRPC")
    parser.add_argument("http")
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--least", type=int, default=0)
    given = parser.parse_args()
    ended, sender = asyncio.Event(), Sender(given.grpc, given.http, given.rate)
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await sender.send(ended, given.least)
    await sender.close()
    sys.stdout.write(json.dumps(sender.report()) + "\n")


class Load:
    """A load that runs beside the test, inside the cluster's network; `report` is there after its end."""

    def __init__(self, process: subprocess.Popen[str], said: TextIO) -> None:
        self._process, self._said = process, said
        self.report: dict[str, Any] = {}

    def finish(self, limit: float) -> dict[str, Any]:
        """Let it end, and give its report."""
        output, _ = self._process.communicate(timeout=limit)
        self._said.seek(0)
        assert self._process.returncode == 0, self._said.read()[-3000:]
        self.report = json.loads(output.splitlines()[-1])
        return self.report


@contextlib.contextmanager
def under_load(cluster: Cluster, hosts: tuple[str, str], rate: float, least: int = 0) -> Iterator[Load]:
    """Requests meanwhile; fails where one of them failed, unless the test looked at the report itself."""
    command = [
        *cluster.inside,
        sys.executable,
        "-m",
        "tests.cluster.load",
        *hosts,
        f"--rate={rate}",
        f"--least={least}",
    ]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [*cluster.inside, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
            env=cluster.environment,
        )  # fmt: skip
        assert process.stdout is not None
        load = Load(process, said)
        try:
            assert select.select([process.stdout], [], [], PATIENCE * 3)[0], "no answer to the first request"
            yield load
            if not load.report:
                assert not load.finish(least / rate * 2 + 120)["failed"], load.report
        finally:
            process.kill()
            process.communicate()


if __name__ == "__main__":
    asyncio.run(main())
