"""The page of metrics of the reference."""

from __future__ import annotations

from typing import Any


def metric_families() -> list[Any]:
    """Those of a worker, then those that only a gateway has."""
    from jina.observe.counters import BatchMetrics, ConsensusMetrics, SlotMetrics
    from jina.observe.metrics import Metrics, StepLoad
    from jina.observe.prometheus import families

    worker, gateway = Metrics("executor/rep-0", "MyExecutor"), Metrics("gateway")
    endpoint = worker.endpoint("/index")
    endpoint.ended(0.1, "ExecutorError")
    endpoint.batches = BatchMetrics(lambda: 0)
    endpoint.slots = SlotMetrics(8, waiting=lambda: 0, in_use=lambda: 0, paused=lambda: 0)
    worker.consensus = ConsensusMetrics()
    worker.consensus.agent_status = {"role": "Leader", "lag": {"1": 0}}
    gateway.upstream("executor").up = lambda: {"executor/rep-0": True}
    gateway.loads = lambda: {"executor": StepLoad(waiting=0, wait=0.0, replicas=1, wanted=1)}
    measured = {f"jina_{name}" for name, *_ in worker.timed()}  # by users, and so by tests
    found: dict[str, Any] = {}
    for one in (worker, gateway):
        for family in families(one):
            found.setdefault(family.name, family)
    return [family for name, family in found.items() if name not in measured]


def metrics() -> str:
    """Every metric of a worker and of a gateway."""
    texts = []
    for family in metric_families():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        shown = ", ".join(f"`{label}`" for label in labels)
        texts.append(f"### `{name}`\n\n{family.type}; labels: {shown}\n\n{family.documentation}.\n")
    return "\n".join(texts)
