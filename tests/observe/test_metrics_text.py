"""Which format is given, and the text of several processes as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus

from jina.observe import metrics as m
from jina.observe.counters import SIZES, BatchMetrics
from jina.observe.metrics import merged, wants_openmetrics
from jina.observe.prometheus import exposition, registry_of


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", True),
        ("*/*", True),
        ("text/html", True),
        ("text/plain", False),
        ("text/plain; version=0.0.4; charset=utf-8", False),
        ("application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
        ("Text/Plain;q=0.5, */*", False),
    ],
)
def test_openmetrics_unless_only_the_older_format_is_named(accept, openmetrics):
    assert wants_openmetrics(accept) is openmetrics


def counted(name, executor="Exec", requests=1):
    metrics = m.Metrics(name, executor)
    one = metrics.endpoint("/x")
    for _ in range(requests):
        one.ended(0.02)
    one.queue_seconds.observe(0.01)
    one.batches = BatchMetrics(lambda: 2)
    one.batches.observe(3, [0.01, 0.02])
    return metrics


def values(text, *, openmetrics):
    read = read_openmetrics if openmetrics else read_prometheus
    families = list(read(text.decode()))
    assert len({family.name for family in families}) == len(families), "a family came twice"
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


@pytest.mark.parametrize("openmetrics", [True, False])
def test_several_processes_are_one_text_with_each_family_once(openmetrics):
    processes = [counted("gateway", ""), counted("a/rep-0", requests=2), counted("a/rep-1", requests=3)]
    texts = [(one.process_name, exposition(one, openmetrics=openmetrics)) for one in processes]
    got = values(merged(texts, openmetrics=openmetrics), openmetrics=openmetrics)
    apart = {}
    for _, text in texts:
        apart |= values(text, openmetrics=openmetrics)
    moving = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}
    assert {key: value for key, value in got.items() if key[0] not in moving} == {
        key: value for key, value in apart.items() if key[0] not in moving
    }
    assert got["jina_successful_requests_total", (("runtime_name", "a/rep-1"),)] == 3


def test_samples_of_the_users_own_collectors_are_kept_apart_by_the_process():
    texts = []
    for name, value in (("a/rep-0", 2), ("a/rep-1", 5)):
        metrics = m.Metrics(name, "Exec")
        Counter("mine", "Mine", registry=registry_of(metrics)).inc(value)
        Counter("yours", "Yours", ["kind"], registry=registry_of(metrics)).labels('a"b} c').inc(value)
        texts.append((name, exposition(metrics)))
    got = values(merged(texts, openmetrics=True), openmetrics=True)
    assert got["mine_total", (("runtime_name", "a/rep-0"),)] == 2
    assert got["mine_total", (("runtime_name", "a/rep-1"),)] == 5
    assert got["yours_total", (("kind", 'a"b} c'), ("runtime_name", "a/rep-1"))] == 5


@given(st.lists(st.floats(0, 2000), max_size=50), st.lists(st.floats(0, 2000), max_size=50))
def test_added_histograms_are_that_of_all_samples(first, second):
    histograms = [m.Histogram(SIZES) for _ in range(3)]
    for histogram, samples in zip(histograms, (first, second, [*first, *second]), strict=True):
        for sample in samples:
            histogram.observe(sample)
    histograms[0].add(histograms[1])
    assert histograms[0].cumulative() == histograms[2].cumulative()
    assert histograms[0].total == pytest.approx(histograms[2].total)


def test_batches_and_waiting_have_their_families():
    got = values(exposition(counted("w")), openmetrics=True)
    labels = (("executor", "Exec"), ("executor_endpoint", "/x"), ("runtime_name", "w"))
    assert got["jina_batch_size_bucket", (*labels[:2], ("le", "4.0"), labels[2])] == 1
    assert got["jina_batch_size_bucket", (*labels[:2], ("le", "2.0"), labels[2])] == 0
    assert got["jina_queue_seconds_count", labels] == 1
    assert got["jina_batch_queue_depth", labels] == 2


def test_the_process_is_measured():
    got = values(exposition(m.Metrics("w")), openmetrics=True)
    label = (("runtime_name", "w"),)
    assert got["process_cpu_seconds_total", label] > 0
    assert got["process_resident_memory_bytes", label] > 10_000_000
    assert got["process_open_fds", label] > 2


def test_parts_of_jina_add_gauges():
    metrics = m.Metrics("w")
    metrics.gauge("term", "Term of the log", lambda: 7)
    assert values(exposition(metrics), openmetrics=True)["jina_term", (("runtime_name", "w"),)] == 7


def test_the_names_of_jina_3_are_there():
    worker, gateway = counted("a/rep-0"), counted("gateway", "")
    gateway.upstream("a").seconds.observe(0.1)
    with m.timer("mine_seconds", "Mine"):
        pass
    both = {name for one in (worker, gateway) for name, _ in values(exposition(one), openmetrics=True)}
    for name in (
        "jina_receiving_request_seconds", "jina_sending_request_seconds", "jina_received_response_bytes",
        "jina_sent_request_bytes", "jina_received_request_bytes", "jina_sent_response_bytes",
        "jina_process_request_seconds", "jina_mine_seconds",
    ):  # fmt: skip
        assert {f"{name}_count", f"{name}_sum"} <= both
    assert {
        "jina_number_of_pending_requests", "jina_successful_requests_total", "jina_failed_requests_total",
        "jina_document_processed_total",
    } <= both  # fmt: skip
