"""The port for metrics and probes alone."""

import asyncio
import json

import aiohttp
import pytest

from jina.errors import PortAlreadyUsed
from jina.plan.plans import ListenerPlan
from jina.server.monitoring import monitoring_server
from tests.server.sample_service import SampleService


def listener(port=0):
    return ListenerPlan(protocol="http", host="127.0.0.1", port=port)


def asked(service, *calls, observe=None, key="", **headers):
    """Status, type and text of each `(method, path)`."""

    async def main():
        server = monitoring_server(listener(), service, observe, key)
        await server.start()
        found = []
        try:
            async with aiohttp.ClientSession(server.addresses[0]) as session:
                for method, path in calls:
                    async with session.request(method, path, headers=headers) as answer:
                        found.append((answer.status, answer.content_type, await answer.text()))
        finally:
            await server.stop(0)
        return found

    return asyncio.run(main())


def test_metrics_and_probes_are_there_and_nothing_else():
    service = SampleService()
    service.checks = {"first": True}
    top, metrics, ready, posted, other, head = asked(
        service,
        ("GET", "/"),
        ("GET", "/metrics"),
        ("GET", "/readyz?verbose"),
        ("POST", "/metrics"),
        ("POST", "/echo"),
        ("HEAD", "/livez"),
    )
    assert metrics[:2] == (200, "application/openmetrics-text")
    assert "sample_total 1" in metrics[2]
    assert top == metrics
    assert (ready[0], "[+]first ok" in ready[2]) == (200, True)
    assert posted[0] == 405
    assert (other[0], "/metrics, /livez" in other[2]) == (404, True)
    assert head == (200, "text/plain", "")


def test_what_the_console_is_told_is_told_to_who_shows_the_key():
    def observe(question):
        return {"seen": dict(question)}

    calls = [("GET", "/observation"), ("GET", "/observation?logs=7"), ("GET", "/observation?logs=x"),
             ("POST", "/observation")]  # fmt: skip
    shown = {"x-observe-key": "secret"}
    none, some, odd, posted = asked(SampleService(), *calls, observe=observe, key="secret", **shown)
    assert [json.loads(one[2])["seen"]["logs"] for one in (none, some, odd)] == [None, 7, None]
    assert posted[0] == 405
    for headers in ({}, {"x-observe-key": ""}, {"x-observe-key": "secreT"}, {"x-observe-key": "s\u00e9"}):
        assert {one[0] for one in asked(SampleService(), *calls, observe=observe, key="secret", **headers)} == {404}
    # Where no key is set, none opens it.
    assert asked(SampleService(), calls[0], observe=observe, **{"x-observe-key": ""})[0][0] == 404


def test_probes_follow_the_service():
    service = SampleService()
    service.up = False
    assert [status for status, _, _ in asked(service, ("GET", "/readyz"), ("GET", "/livez"))] == [503, 200]


def test_a_taken_port_is_named():
    async def main():
        first = monitoring_server(listener(), SampleService())
        await first.start()
        port = int(first.addresses[0].rpartition(":")[2])
        try:
            with pytest.raises(PortAlreadyUsed, match=str(port)):
                await monitoring_server(listener(port), SampleService()).start()
        finally:
            await first.stop(0)

    asyncio.run(main())
