"""Dynamic batching as clients see it: on each protocol, behind gateways, in this process, and when all ends."""

import contextlib
import http.client
import threading
import time
import urllib.request

import pytest
from docarray import DocList
from jina.serve.executors.decorators import dynamic_batching as legacy

from jina import Client, Deployment, Executor, Flow
from jina.errors import DeadlineExceeded, ExecutorError
from jina.executor.decorators import dynamic_batching as documented
from tests.acceptance.batch_services import Bakery, Loaf, PlainBakery

PROTOCOLS = ["grpc", "http", "websocket"]
QUIET = {"host": "127.0.0.1", "quiet": True}


@pytest.fixture(scope="module")
def bakery():
    with Deployment(uses=Bakery, protocol=PROTOCOLS, **QUIET) as served:
        yield served


@pytest.fixture(scope="module")
def chain():
    with Flow(protocol=PROTOCOLS, **QUIET).add(uses=Bakery, name="first").add(uses=Bakery, name="second") as served:
        yield served


def loaves(count):
    return DocList[Loaf]([Loaf(text=str(number)) for number in range(count)])


def ask(client, endpoint="/bake", count=8, **options):
    """One document a request, all in flight at once."""
    return client.post(endpoint, loaves(count), request_size=1, return_type=DocList[Loaf], **options)


@pytest.mark.parametrize("endpoint", ["/bake", "/bake_async"])
@pytest.mark.parametrize("listener", range(3), ids=PROTOCOLS)
def test_requests_of_one_client_are_gathered(bakery, listener, endpoint):
    with Client(host="127.0.0.1", port=bakery.ports[listener], protocol=PROTOCOLS[listener]) as client:
        answer = ask(client, endpoint, results_in_order=True)
    assert answer.size == [4] * 8
    assert answer.text == [f"{number}!" for number in range(8)]


def test_requests_of_several_clients_and_protocols_are_gathered(bakery):
    answers = {}

    def one(listener, number):
        with Client(host="127.0.0.1", port=bakery.ports[listener], protocol=PROTOCOLS[listener]) as client:
            loaf = Loaf(text=f"{listener} {number}")
            answers[listener, number] = client.post("/bake", loaf, return_type=DocList[Loaf])

    threads = [threading.Thread(target=one, args=(listener, number)) for listener in range(3) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {key: answer.text for key, answer in answers.items()} == {
        (listener, number): [f"{listener} {number}!"] for listener in range(3) for number in range(4)
    }
    assert {size for answer in answers.values() for size in answer.size} == {4}


def test_one_bad_request_of_a_batch_fails_alone(bakery):
    docs = loaves(4)
    docs[2].text = "burnt"
    with Client(host="127.0.0.1", port=bakery.ports[0]) as client:
        responses = client.post("/bake", docs, request_size=1, return_responses=True, continue_on_error=True,
                                results_in_order=True)  # fmt: skip
    assert [len(response.docs) for response in responses if response.status.code == response.status.SUCCESS] == [1] * 3
    failed = [response for response in responses if response.status.code == response.status.ERROR]
    assert [one.status.exception.name for one in failed] == ["ValueError"]
    with pytest.raises(ExecutorError, match="burnt"):
        bakery.post("/bake", docs, return_type=DocList[Loaf])


def test_a_client_that_leaves_takes_its_request_out_of_the_queue(bakery):
    connection = http.client.HTTPConnection("127.0.0.1", bakery.ports[1], timeout=5)
    with contextlib.closing(connection):
        connection.request("POST", "/bake", b'{"data": [{}]}', {"Content-Type": "application/json"})
        until(lambda: measured(bakery.ports[1], "jina_batch_queue_depth") == 1)
    until(lambda: measured(bakery.ports[1], "jina_batch_queue_depth") == 0)
    with Client(host="127.0.0.1", port=bakery.ports[0]) as client, pytest.raises(DeadlineExceeded):
        client.post("/bake", Loaf(), timeout=0.1)
    until(lambda: measured(bakery.ports[1], "jina_batch_queue_depth") == 0)


@pytest.mark.slow
@pytest.mark.parametrize("listener", range(3), ids=PROTOCOLS)
def test_each_step_of_a_flow_gathers(chain, listener):
    with Client(host="127.0.0.1", port=chain.ports[listener], protocol=PROTOCOLS[listener]) as client:
        answer = ask(client, results_in_order=True)
    assert answer.size == [4] * 8
    assert answer.text == [f"{number}!!" for number in range(8)]


def test_in_this_process():
    with Flow().add(uses=Bakery).add(uses=Bakery).in_process() as running:
        assert ask(running, "/bake_async").size == [4] * 8
    with Deployment(uses=Bakery).in_process() as running:
        assert ask(running).size == [4] * 8


@pytest.mark.parametrize("key", ["/bake", "knead"])
def test_configured_where_it_is_used(key):
    options = {key: {"preferred_batch_size": 2, "timeout": 600_000}}
    with Deployment(uses=PlainBakery, uses_dynamic_batching=options).in_process() as running:
        assert ask(running).size == [2] * 8
    switched_off = {"/bake": {"use_dynamic_batching": False}}
    with Deployment(uses=Bakery, uses_dynamic_batching=switched_off).in_process() as running:
        assert ask(running, count=3).size == [1] * 3


def test_configured_in_yaml(tmp_path):
    executor = tmp_path / "bakery.yml"
    executor.write_text("jtype: PlainBakery\ndynamic_batching:\n  /bake: {preferred_batch_size: 4, timeout: 600000}\n")
    flow = tmp_path / "flow.yml"
    flow.write_text(
        f"jtype: Flow\nexecutors:\n- uses: {executor}\n"
        "  uses_dynamic_batching: {/bake: {preferred_batch_size: 2}}\n"
    )
    with Deployment(uses=str(executor)).in_process() as running:
        assert ask(running).size == [4] * 8
    with Flow.load_config(str(flow)).in_process() as running:
        assert ask(running).size == [2] * 8


@pytest.mark.slow
def test_what_waits_is_answered_when_the_service_ends():
    service = Deployment(uses=Bakery, protocol=["grpc", "http"], **QUIET)
    end_with_waiting_requests(service, "jina_batch_queue_depth{", ["grpc!", "http!"])


@pytest.mark.slow
def test_what_waits_at_any_step_is_answered_when_a_flow_ends():
    service = Flow(protocol=["grpc", "http"], **QUIET).add(uses=Bakery).add(uses=Bakery)
    end_with_waiting_requests(
        service, 'jina_number_of_pending_requests{runtime_name="gateway/rep-0"', ["grpc!!", "http!!"]
    )


def end_with_waiting_requests(service, metric, expected):
    """Two requests wait for a batch to fill, as `metric` shows, when the service is stopped; they are answered soon."""
    answers = []
    with service as served:

        def wait_for_company(port, protocol):
            with Client(host="127.0.0.1", port=port, protocol=protocol) as client:
                answers.append(client.post("/bake", Loaf(text=protocol), return_type=DocList[Loaf]))

        threads = [
            threading.Thread(target=wait_for_company, args=pair)
            for pair in zip(served.ports, served.protocols, strict=True)
        ]
        for thread in threads:
            thread.start()
        until(lambda: measured(served.ports[1], metric) == 2)
        began = time.monotonic()
    for thread in threads:
        thread.join(20)
    assert time.monotonic() - began < 15
    assert sorted(doc.text for answer in answers for doc in answer) == expected


def until(holds):
    """Wait until something holds."""
    limit = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < limit


def measured(port, metric):
    """The sum of the samples that begin so."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        rows = [row for row in page.read().decode().splitlines() if row.startswith(metric)]
    return sum(float(row.rpartition(" ")[2]) for row in rows)


def test_jina_3s_path_of_the_decorator():
    from jina import dynamic_batching

    assert legacy is documented is dynamic_batching

    class LegacyBakery(Executor):
        @legacy(preferred_batch_size=2, timeout=600_000)
        def knead(self, docs: DocList[Loaf], **kwargs) -> DocList[Loaf]:
            return DocList[Loaf](Loaf(text=doc.text, size=len(docs)) for doc in docs)

    with Deployment(uses=LegacyBakery, uses_requests={"/bake": "knead"}).in_process() as running:
        assert ask(running).size == [2] * 8
