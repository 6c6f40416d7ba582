"""The metrics' names, sums and exposition."""

import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from jina.observe import metrics as m
from jina.observe.prometheus import exposition, registry_of


def samples(metrics):
    families = text_string_to_metric_families(exposition(metrics).decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def test_names_and_labels_of_jina_3_with_our_sums():
    metrics = m.Metrics("executor/rep-0", "MyExec")
    one = metrics.endpoint("/foo")
    assert metrics.endpoint("/foo") is one
    one.documents += 3
    one.handler_seconds.observe(0.2)
    one.received.observe(100)
    one.sent.observe(50)
    one.in_flight = 2
    one.ended(0.25)
    one.ended(0.5, "ExecutorError")
    metrics.queued = lambda: 4
    got = samples(metrics)
    run = (("runtime_name", "executor/rep-0"),)
    own = (("executor", "MyExec"), ("executor_endpoint", "/foo"), *run)
    assert got["jina_successful_requests_total", run] == 1
    assert got["jina_failed_requests_total", run] == 1
    assert got["jina_receiving_request_seconds_count", run] == 2
    assert got["jina_receiving_request_seconds_sum", run] == 0.75
    assert got["jina_number_of_pending_requests", run] == 2
    assert got["jina_number_of_queued_requests", run] == 4
    assert got["jina_process_request_seconds_count", own] == 1
    assert got["jina_process_request_seconds_sum", own] == 0.2
    assert got["jina_document_processed_total", own] == 3
    assert got["jina_received_request_bytes_sum", own] == 100
    assert got["jina_sent_response_bytes_count", own] == 1
    assert got["jina_errors_total", (("error", "ExecutorError"), *own)] == 1


@given(st.lists(st.floats(0, 120), max_size=50))
def test_buckets_count_what_is_not_above_their_bound(values):
    histogram = m.Histogram()
    for value in values:
        histogram.observe(value)
    for bound, count in histogram.cumulative():
        assert count == sum(value <= float(bound) for value in values)
    assert histogram.count == len(values)
    assert histogram.total == pytest.approx(sum(values))


def test_blocks_are_timed_from_many_threads():
    def work():
        for _ in range(50):
            with m.timer("crunch_seconds"):
                pass
            with m.timer("block_seconds", "A block"):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = samples(m.Metrics("w"))
    run = (("runtime_name", "w"),)
    assert got["jina_crunch_seconds_count", run] == 200
    assert got["jina_block_seconds_count", run] == 200


def test_registry_takes_collectors_of_users():
    from prometheus_client import Counter

    metrics = m.Metrics("w")
    Counter("mine", "Mine", registry=registry_of(metrics)).inc(2)
    assert samples(metrics)["mine_total", ()] == 2


def test_counting_loads_no_prometheus_and_no_opentelemetry():
    code = (
        "import sys\n"
        "from jina.observe import metrics, traces\n"
        "metrics.Metrics('w').endpoint('/').ended(1.0)\n"
        "assert traces.begin('x', {}, {}) is None\n"
        "assert not {'prometheus_client', 'opentelemetry'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
