"""A gateway from start to end, with workers over real links."""

import asyncio
import importlib
import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from docarray import BaseDoc, DocList
from tests.gateway.gateways import http_face, plan_of

from jina import Executor, requests
from jina.errors import ConfigError, PortAlreadyUsed, RuntimeFailToStart
from jina.gateway.process import run_gateway
from jina.plan.plans import ExecutorPlan, UpstreamPlan, WorkerPlan
from jina.runtime.process import LinkInbox, LoopThread, Parent, Stop
from jina.worker.process import WorkerLinks
from jina.worker.service import WorkerService

for late in ("server.grpc", "server.app", "ipc.client", "ipc.server", "server.websocket"):
    # Imported by several threads at once they are compiled by pytest, which Python 3.11 may answer by a SystemError.
    importlib.import_module(f"jina.{late}")


class Text(BaseDoc):
    text: str = ""


class Number(BaseDoc):
    text: int = 0


class Echo(Executor):
    def __init__(self, letter="e", **kwargs):
        super().__init__(**kwargs)
        self.letter = letter
        self.began = threading.Event()
        self.seen = 0

    @requests(on="/go")
    async def go(self, docs: DocList[Text], parameters: dict, **kwargs) -> DocList[Text]:
        self.began.set()
        await asyncio.sleep(parameters.get("seconds", 0))
        self.seen += 1
        for doc in docs:
            doc.text += self.letter


class Strict(Executor):
    @requests(on="/go")
    async def go(self, docs: DocList[Number], **kwargs) -> DocList[Number]: ...


class Site:
    """Workers on a thread of their own, linked to a gateway on the main thread."""

    def __init__(self):
        self.links = LinkInbox()
        self.stop = Stop()
        self.reports = []
        self.failures = []
        self._thread = LoopThread("workers")
        self._workers = {}
        self._clients = []

    def call(self, work, seconds=10):
        return asyncio.run_coroutine_threadsafe(work, self._thread.loop).result(seconds)

    def start(self, name, executor):
        """Start or restart a worker and link it; gives its executor."""

        async def make():
            loop = asyncio.get_running_loop()
            plan = WorkerPlan(name=f"{name}/rep-0", deployment=name, executor=ExecutorPlan(), listeners=[])
            service = WorkerService(executor, plan, protocol_loop=loop, user_loop=loop)
            service.watchdog.start()
            service.state = "ready"
            source = LinkInbox()
            links = WorkerLinks(source, service, 2**20, loop)
            links.open()
            return service, source, links

        service, source, _ = self._workers[name] = self.call(make())
        ours, theirs = socket.socketpair()
        source.add("gateway", theirs)
        self.links.add(service.name, ours)
        return executor

    def end(self, name):
        """The worker is gone."""

        async def drop():
            service, _, links = self._workers.pop(name)
            await links.stop(0)
            service.watchdog.stop()
            service.dispatcher.stop()

        self.call(drop())

    def run(self, plan, client=None):
        """Run the gateway here; `client(address)` on a thread, as soon as it is ready. Then it is stopped."""

        def work(address):
            try:
                client(address)
            except BaseException as error:
                self.failures.append(error)
            finally:
                self.stop.request_stop("done")

        def report(result):
            self.reports.append(result)
            if result["phase"] == "ready" and client is not None:
                thread = threading.Thread(target=work, args=(result["addresses"][0],))
                self._clients.append(thread)
                thread.start()

        code = run_gateway(plan, Parent(report, self.stop, self.links))
        for thread in self._clients:
            thread.join(10)
        for failure in self.failures:
            raise failure
        return code

    def close(self):
        for name in list(self._workers):
            self.end(name)
        self._thread.stop()


@pytest.fixture
def site():
    made = Site()
    yield made
    made.close()


def post(address, path, **body):
    """Status and answer."""
    data = json.dumps({"data": [{"text": "x"}], **body}).encode()
    asked = urllib.request.Request(address + path, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def get(address, path):
    try:
        with urllib.request.urlopen(address + path, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


CHAIN = {"a": ["gateway"], "b": ["a"]}


def chain(**options):
    return plan_of(CHAIN, listeners=[http_face()], **{"grace": 5.0, **options})


@contextmanager
def deadline(seconds=10):
    """For loops that wait for something to become true."""
    over = threading.Event()
    timer = threading.Timer(seconds, over.set)
    timer.start()
    try:
        yield over
    finally:
        timer.cancel()
        timer.join()


def test_it_is_ready_when_all_workers_are_and_ends_when_told(site):
    site.start("a", Echo())
    later = threading.Timer(0.2, lambda: site.start("b", Echo("f")))
    later.start()

    def client(address):
        assert post(address, "/go")[1]["data"][0]["text"] == "xef"
        assert get(address, "/readyz") == 200
        assert get(address, "/dry_run") == 200
        assert get(address, "/metrics") == 200

    assert site.run(chain(), client) == 0
    later.join()
    assert [result["phase"] for result in site.reports] == ["waiting", "waiting", "ready", "draining"]
    assert [result["for"] for result in site.reports[:2]] == ["a/rep-0, b/rep-0", "b/rep-0"]


def test_what_is_in_flight_is_answered_before_the_end(site):
    first = site.start("a", Echo())
    site.start("b", Echo("f"))
    answers = []

    def client(address):
        asking = threading.Thread(target=lambda: answers.append(post(address, "/go", parameters={"a__seconds": 0.3})))
        asking.start()
        assert first.began.wait(5)
        site.stop.request_stop("asked while a request is in flight")
        asking.join(10)

    assert site.run(chain(), client) == 0
    assert answers[0][0] == 200


def test_floating_branches_are_finished_before_the_end(site):
    site.start("a", Echo())
    side = site.start("b", Echo())
    nodes = {"a": ["gateway"], "b": {"needs": ["gateway"], "floating": True}}

    def client(address):
        assert post(address, "/go", parameters={"b__seconds": 0.3})[0] == 200

    assert site.run(plan_of(nodes, listeners=[http_face()], grace=5.0), client) == 0
    assert side.seen == 1


def test_a_restarted_worker_takes_the_place_of_the_one_before(site):
    site.start("a", Echo())
    site.start("b", Echo("f"))

    def client(address):
        assert post(address, "/go")[1]["data"][0]["text"] == "xef"
        site.end("b")
        with deadline() as over:
            while get(address, "/readyz") != 503 and not over.is_set():
                pass
        status, body = post(address, "/go")
        assert (status, "b" in body["detail"]) == (503, True)
        site.start("b", Echo("g"))
        with deadline() as over:
            while get(address, "/readyz") != 200 and not over.is_set():
                pass
        assert post(address, "/go")[1]["data"][0]["text"] == "xeg"

    assert site.run(chain(), client) == 0


def test_a_worker_that_is_restarted_while_the_gateway_starts(site):
    site.start("a", Echo())
    site.end("a")

    def late():
        site.start("a", Echo())
        site.start("b", Echo("f"))

    later = threading.Timer(0.1, late)
    later.start()

    def client(address):
        assert post(address, "/go")[1]["data"][0]["text"] == "xef"

    assert site.run(chain(), client) == 0
    later.join()


def test_workers_that_stay_silent_fail_the_start(site):
    site.start("a", Echo())
    with pytest.raises(RuntimeFailToStart, match=r"^no answer from b/rep-0 within the 0.2 s of timeout_ready"):
        site.run(chain(timeout_ready=0.2))


def test_an_address_where_nobody_is_fails_the_start(site):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        upstreams = [UpstreamPlan(kind="grpc", name="a", address=address)]
        plan = plan_of({"a": {"needs": ["gateway"], "upstreams": upstreams, "external": True}}, timeout_ready=0.3)
        with pytest.raises(RuntimeFailToStart, match="no answer from a within"):
            site.run(plan)


def test_neighbours_that_do_not_fit_fail_the_start(site):
    site.start("a", Echo())
    site.start("b", Strict())
    with pytest.raises(ConfigError, match=r"a and b do not match on /go: Text.text of a is string, Number.text of b"):
        site.run(chain())


def test_a_taken_port_fails_the_start(site):
    site.start("a", Echo())
    site.start("b", Echo())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listener = http_face()
        listener = type(listener)(protocol="http", host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(PortAlreadyUsed):
            site.run(plan_of(CHAIN, listeners=[listener]))


def test_a_stop_ends_the_start(site):
    threading.Timer(0.1, lambda: site.stop.request_stop("changed my mind")).start()
    assert site.run(chain()) == 0
    assert [result["phase"] for result in site.reports] == ["waiting"]


def test_a_signal_ends_it(site):
    site.start("a", Echo())
    site.start("b", Echo())
    before = signal.getsignal(signal.SIGTERM)

    def client(address):
        os.kill(os.getpid(), signal.SIGTERM)
        assert threading.Event().wait(0.05) is False

    assert site.run(chain(), client) == 0
    assert site.reports[-1] == {"phase": "draining", "reason": "SIGTERM"}
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_gateway_class_has_to_be_one():
    with pytest.raises(ConfigError, match=r"object is not a subclass of jina\.Gateway"):
        run_gateway(chain(), Parent(print), lambda: (object, {}))
