"""Flows for the tests, and what planning them needs."""

from itertools import count

from jina.config import FlowSpec, parse
from jina.config.changes import with_step
from jina.plan.plans import ExecutorPlan


class CountingPorts:
    def __init__(self, start=50000):
        self.numbers = count(start)

    def port(self):
        return next(self.numbers)


def flow(*steps, **options):
    """A Flow of these steps: a name, (name, needs) or a mapping of options with the method of adding."""
    spec = parse(FlowSpec, options)
    for step in steps:
        if isinstance(step, str):
            step = {"name": step}  # noqa: PLW2901 - the short forms
        elif isinstance(step, tuple):
            step = {"name": step[0], "needs": step[1]}  # noqa: PLW2901 - the short forms
        given = {"uses": "Any", **step} if step.get("method", "add") == "add" else dict(step)
        spec = with_step(spec, given.pop("method", "add"), **given)
    return spec


def executors(spec):
    """An importable class for each step, named as the step."""
    return {step.name: ExecutorPlan(module="shop", qualname=step.name) for step in spec.executors}
