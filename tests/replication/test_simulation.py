"""Replicas keep their promises whatever happens between them, their agents and their clients, in virtual time."""

import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .mistakes import MISTAKES
from .simulated_clients import KINDS
from .simulation import FAULTS, Fault, Plan, plan_of, simulate

RUNS = int(os.environ.get("JINA_SIMULATION_RUNS", "100"))
SEED = int(os.environ.get("JINA_SIMULATION_SEED", "1"))
ATTEMPTS = 100

faults = st.builds(
    Fault,
    kind=st.sampled_from(FAULTS),
    at=st.integers(0, 40).map(lambda tenths: tenths / 10),
    replica=st.integers(0, 4),
    seconds=st.sampled_from((0.05, 0.3, 1.0, 3.0)),
)
plans = st.builds(
    Plan,
    seed=st.integers(0, 10_000),
    replicas=st.integers(1, 5),
    clients=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5).map(tuple),
    each=st.integers(1, 10),
    trouble=st.sampled_from((0.0, 0.1, 0.4)),
    sessions=st.sampled_from((1, 2, 100)),
    faults=st.lists(faults, max_size=10).map(tuple),
)


@given(plans)
@settings(max_examples=30)
def test_promises_are_kept(plan):
    simulate(plan)


@pytest.mark.slow
@pytest.mark.timeout(max(60, RUNS))
def test_promises_are_kept_at_length():
    for seed in range(SEED, SEED + RUNS):
        try:
            simulate(plan_of(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}: {plan_of(seed)}")
            raise


def test_the_same_plan_does_the_same():
    plan = plan_of(3, trouble=0.4)
    trace = simulate(plan)
    assert len(trace) > 30
    assert simulate(plan) == trace
    assert simulate(replace(plan, seed=4)) != trace


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: one.__name__)
def test_it_finds_what_is_wrong_and_nothing_without(mistake):
    for seed in range(ATTEMPTS):
        plan = plan_of(seed, **MISTAKES[mistake])
        try:
            with mistake():
                simulate(plan)
        except AssertionError:
            simulate(plan)
            return
    pytest.fail(f"{ATTEMPTS} runs with the mistake look well")
