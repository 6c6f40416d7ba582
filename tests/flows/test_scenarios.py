"""Every scenario, in process and with processes, beside what Jina 3.34 gives."""

from __future__ import annotations

import functools
import json
import random

import pytest

from jina import Flow
from tests.flows.table import ask, load, recorded
from tests.interop.differences import KNOWN
from tests.interop.programs import free_ports

scenarios = load()
ROWS = scenarios.rows()
QUICK = {
    ("two_steps", "grpc"), ("two_steps", "http"), ("two_steps", "websocket"), ("two_branches_joined", "http"),
    ("documents_part_ways", "grpc"), ("floating_at_the_end", "grpc"), ("a_stream_goes_on", "grpc"),
    ("the_first_step_fails", "grpc"), ("a_step_is_too_slow", "grpc"), ("from_yaml", "http"),
}  # fmt: skip
"""Rows that run with processes in the quick tier; the others are slow."""
LIVE = random.Random(7).sample([row for row in ROWS if scenarios.TABLE[row[0]].jina3 is None], 12)
"""Rows that are asked of Jina 3.34 again in the interop tier: the recording must be true."""


def plain(value):
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("name", [name for name, one in scenarios.TABLE.items() if not one.sockets])
def test_in_process(name, tmp_path):
    scenario = scenarios.TABLE[name]
    flow, asked = scenario.make(functools.partial(Flow, protocol="grpc", port=free_ports(1)[0]), str(tmp_path))
    with flow.in_process() as running:
        assert plain(asked(running)) == plain(scenario.expected)


@pytest.mark.parametrize(
    ("name", "protocol"), [pytest.param(*row, marks=() if row in QUICK else pytest.mark.slow) for row in ROWS]
)
def test_with_processes(name, protocol, tmp_path):
    scenario = scenarios.TABLE[name]
    flow, asked = scenario.make(functools.partial(Flow, protocol=protocol, port=free_ports(1)[0]), str(tmp_path))
    with flow:
        assert plain(asked(flow)) == plain(scenario.expected)


@pytest.mark.parametrize(("name", "protocol"), ROWS)
def test_jina_3_gives_the_same_or_the_difference_is_known(name, protocol):
    scenario = scenarios.TABLE[name]
    if scenario.jina3 is None:
        assert recorded()[f"{name}.{protocol}"] == {"value": plain(scenario.expected)}
    else:
        assert scenario.jina3 in KNOWN
        assert f"{name}.{protocol}" in recorded()


@pytest.mark.interop
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "protocol"), LIVE)
def test_the_recording_is_true(name, protocol, tmp_path):
    assert ask("theirs", name, protocol, tmp_path) == recorded()[f"{name}.{protocol}"]


def test_the_table_is_large_enough():
    assert len(scenarios.TABLE) >= 60
