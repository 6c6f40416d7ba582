"""What watching costs a gateway: the CPU of its loop while the pods of a large Service come and go."""

import asyncio
import random
import threading
import time

import pytest
from tests.gateway.api_server import ApiServer, endpoint

from jina.gateway.resolvers import Cluster, KubernetesResolver
from jina.routing.addresses import Service

PODS = 200
SECONDS = 20
EVENTS_PER_SECOND = 1.0
"""A rolling update that replaces 200 pods, each with three changes (ready, terminating, gone), in ten minutes."""
MOST = 0.005
"""Of a core."""


class Elsewhere:
    """The stand-in on a thread of its own, whose CPU does not count."""

    def __init__(self):
        self.server = ApiServer()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        self.run(self.server.start())
        return self

    def __exit__(self, *_):
        self.run(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)


def pods(dice):
    """Two slices, as full as Kubernetes makes them; now and then one of the pods is about to go."""
    made = [endpoint(f"10.1.{n // 100}.{n % 100}", f"encoder-7d4b9c6f5-{n:05}", uid=f"{n:036}") for n in range(PODS)]
    number = dice.randrange(PODS)
    made[number] = endpoint(f"10.1.9.{number}", f"encoder-7d4b9c6f5-x{number}", terminating=dice.random() < 0.5)
    return made[:100], made[100:]


def measured(folder):
    """The share of a core, and the number of changes that were told."""
    dice = random.Random(1)
    with Elsewhere() as elsewhere:
        first, second = pods(dice)
        elsewhere.run(elsewhere.server.put("a", *first))
        elsewhere.run(elsewhere.server.put("b", *second))
        told = []

        async def main():
            cluster = Cluster("127.0.0.1", elsewhere.server.port, folder, tls=False)
            resolver = KubernetesResolver(cluster, Service("echo", "shop"), 8080, told.append)
            resolver.start()
            end = time.monotonic() + 20
            while not (told and elsewhere.server.watches):
                assert time.monotonic() < end, "never: a watch"
                await asyncio.sleep(0.05)
            began, cpu = time.monotonic(), time.thread_time()
            changing = threading.Thread(target=change, args=(elsewhere, dice))
            changing.start()
            await asyncio.to_thread(changing.join)
            share = (time.thread_time() - cpu) / (time.monotonic() - began)
            await resolver.close()
            return share

        return asyncio.run(main()), len(told)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_watching_200_pods_takes_half_a_percent_of_a_core_at_most(tmp_path):
    share, changes = measured(tmp_path)
    assert changes > SECONDS * EVENTS_PER_SECOND / 2
    assert share <= MOST


def change(elsewhere, dice):
    for _ in range(int(SECONDS * EVENTS_PER_SECOND)):
        first, second = pods(dice)
        name, made = ("a", first) if dice.random() < 0.5 else ("b", second)
        elsewhere.run(elsewhere.server.put(name, *made))
        time.sleep(1 / EVENTS_PER_SECOND)
