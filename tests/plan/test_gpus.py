"""Which GPUs workers see, on machines that are made up."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jina.config import DeploymentSpec, parse
from jina.errors import ConfigError
from jina.plan.deployment import plan_deployment
from jina.plan.flow import plan_flow
from jina.plan.plans import ExecutorPlan
from tests.plan.flows import CountingPorts, executors, flow

ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


class Machine:
    """`count` GPUs; `variable` is CUDA_VISIBLE_DEVICES of the program."""

    def __init__(self, count, variable="", first=0):
        self.variable = variable
        self.asked = 0
        self._gpus = [{"index": str(n), "uuid": f"GPU-{n}0{n}0"} for n in range(first, first + count)]

    def gpus(self):
        self.asked += 1
        return self._gpus


def environments(count=4, machine=None, **options):
    spec = parse(DeploymentSpec, options)
    around = {f"{spec.name}/{part}": ExecutorPlan() for part in ("uses_before", "uses_after")}
    machine = machine or Machine(count)
    return [worker.env for worker in plan_deployment(spec, ExecutorPlan(), CountingPorts(), around, machine).workers]


def seen(*args, **options):
    found = environments(*args, **options)
    for env in found:
        assert {**env, **ORDER} == env, "numbers must mean what nvidia-smi shows"
    return [env["CUDA_VISIBLE_DEVICES"] for env in found]


def in_turn(wish, replicas, count=3, **options):
    found = environments(count, env={"CUDA_VISIBLE_DEVICES": wish}, replicas=replicas, **options)
    return [env["CUDA_VISIBLE_DEVICES"] for env in found]


def problem(*args, **options):
    with pytest.raises(ConfigError) as caught:
        environments(*args, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"gpus": 1}, ["0"]),
        ({"gpus": 1, "replicas": 4}, ["0", "1", "2", "3"]),
        ({"gpus": 2, "replicas": 2}, ["0,1", "2,3"]),
        ({"gpus": 1, "shards": 2, "replicas": 2}, ["0", "1", "2", "3"]),
        ({"gpus": "2"}, ["0,1"]),
        ({"gpus": 0}, [""]),
        ({"gpus": 0.5, "replicas": 8}, ["0", "1", "2", "3", "0", "1", "2", "3"]),
        ({"gpus": "0.25", "replicas": 2}, ["0", "1"]),
        ({"gpus": "all", "replicas": 2}, ["0,1,2,3"] * 2),
        ({"gpus": [1, 3]}, ["1,3"]),
        ({"gpus": [1, 3], "replicas": 2}, ["1", "3"]),
        ({"gpus": "1,3", "replicas": 4}, ["1", "3", "1", "3"]),
        ({"gpus": [3, 2, 1, 0], "replicas": 2}, ["3,2", "1,0"]),
        ({"gpus": ["GPU-2020", "MIG-1/2"]}, ["GPU-2020,MIG-1/2"]),
        ({"gpus": "device=0,device=2"}, ["0,2"]),
        # around the shards nothing computes on GPUs
        ({"gpus": 1, "shards": 2, "uses_before": "B", "uses_after": "A"}, ["0", "1"]),
    ],
)
def test_what_is_asked_for(options, expected):
    if "uses_before" in options:
        assert [env["CUDA_VISIBLE_DEVICES"] for env in environments(**options)] == [*expected, "", ""]
    else:
        assert seen(**options) == expected


@pytest.mark.parametrize(
    ("wish", "replicas", "expected"),
    [
        # Jina 3's own examples: three GPUs, five replicas
        ("RR", 5, ["0", "1", "2", "0", "1"]),
        ("RR1:3", 5, ["1", "2", "1", "2", "1"]),
        ("RR0:2", 3, ["0", "1", "0"]),
        ("RR0,2", 5, ["0", "2", "0", "2", "0"]),
        ("RR1,3", 2, None),
        ("RR:", 3, ["0", "1", "2"]),
        ("RR::2", 3, ["0", "2", "0"]),
        ("RR-1:", 2, ["2", "2"]),
        ("RRGPU-0aaaaaaa,GPU-0bbbbbbb", 3, ["GPU-0aaaaaaa", "GPU-0bbbbbbb", "GPU-0aaaaaaa"]),
    ],
)
def test_turns_as_in_jina_3(wish, replicas, expected):
    if expected is None:
        text = problem(3, env={"CUDA_VISIBLE_DEVICES": wish}, replicas=replicas)
        assert "'RR1,3' on a machine with 3 GPU(s): there is no GPU 3" in text
    else:
        assert in_turn(wish, replicas) == expected


def test_turns_go_on_from_shard_to_shard():
    assert in_turn("RR", 1, shards=3) == ["0", "1", "2"]


def test_turns_that_the_environment_of_the_program_asks_for():
    found = environments(machine=Machine(2, variable="RR"), replicas=3)
    assert found == [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in ("0", "1", "0")]


def test_the_machine_is_asked_only_when_it_matters():
    machine = Machine(2)
    assert environments(machine=machine, replicas=2) == [{}, {}]
    assert environments(machine=machine, env={"CUDA_VISIBLE_DEVICES": "RRGPU-a"}) == [{"CUDA_VISIBLE_DEVICES": "GPU-a"}]
    assert environments(machine=machine, env={"CUDA_VISIBLE_DEVICES": "1"}) == [{"CUDA_VISIBLE_DEVICES": "1"}]
    assert machine.asked == 0


def test_all_gpus_of_a_machine_without_any_are_none():
    assert environments(machine=Machine(0), gpus="all", replicas=2)[1]["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize("wish", ["RR", "RR0:2"])
def test_turns_on_a_machine_without_any_gpu_are_none(wish):
    found = environments(machine=Machine(0), env={"CUDA_VISIBLE_DEVICES": wish}, replicas=2)
    assert found == [{"CUDA_VISIBLE_DEVICES": ""}] * 2


def test_a_program_that_may_use_some_gpus_hands_on_no_others():
    machine = Machine(2, variable="2,3", first=2)
    assert environments(machine=machine, gpus=1, replicas=2) == [
        {"CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "3"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("count", "options", "words"),
    [
        (0, {"gpus": 1}, "gpus: no GPU was found on this machine"),
        (0, {"env": {"CUDA_VISIBLE_DEVICES": "RR0,1"}}, "'RR0,1' on a machine with 0 GPU(s): there is no GPU 0"),
        (2, {"gpus": 3}, "a worker needs 3 GPU(s), but only 2 of 2 can be given"),
        (2, {"gpus": 0.6, "replicas": 3}, "a worker needs 0.6 GPU(s), but only 0 of 2 can be given (0 is used to 60%"),
        (2, {"gpus": [0, 7]}, "there is no GPU '7'; there are 0 (GPU-0000), 1 (GPU-1010)"),
        (4, {"gpus": [0, 1, 2], "replicas": 2}, "3 GPUs cannot be shared out evenly among 2 workers"),
        (4, {"gpus": -1}, "-1 is not a number of GPUs"),
        (4, {"gpus": 1.5}, "1.5 is not a number of GPUs"),
        (4, {"gpus": True}, "True is not a number of GPUs"),
        (4, {"gpus": [0, 0]}, "is not a list of different GPUs"),
        (4, {"gpus": "first"}, "is not a list of different GPUs"),
    ],
)
def test_what_cannot_be_had(count, options, words):
    assert words in problem(count, **options)


def test_deployments_of_a_flow_do_not_get_the_same_gpu():
    wishes = {"a": {"gpus": 1, "replicas": 2}, "b": {"gpus": 0.5}, "c": {}, "d": {"gpus": 1}}
    spec = flow(*({"name": name, **options} for name, options in wishes.items()))
    plan = plan_flow(spec, executors(spec), None, CountingPorts(), Machine(4))
    assert [[worker.env.get("CUDA_VISIBLE_DEVICES") for worker in one.workers] for one in plan.deployments] == [
        ["0", "1"], ["2"], [None], ["3"],
    ]  # fmt: skip
    assert plan.gateway.env == {}


def test_a_problem_says_at_which_step():
    spec = flow({"name": "a", "gpus": 5})
    with pytest.raises(ConfigError, match="Flow: a: gpus: a worker needs 5"):
        plan_flow(spec, executors(spec), None, CountingPorts(), Machine(4))


FRACTIONS = st.sampled_from([0.1, 0.2, 0.25, 0.3, 0.5, 0.7])


@given(st.integers(1, 8), st.integers(1, 12), st.one_of(st.integers(1, 4), FRACTIONS))
def test_no_gpu_is_given_more_often_than_it_is_there(count, replicas, gpus):
    share = Fraction(str(gpus))
    try:
        found = seen(count, gpus=gpus, replicas=replicas)
    except ConfigError:
        room = count // share if share >= 1 else int(1 // share) * count
        assert replicas > room
        return
    used = [name for env in found for name in env.split(",")]
    for name in set(used):
        assert used.count(name) * min(share, 1) <= 1
        assert 0 <= int(name) < count
    assert all(len(env.split(",")) == max(int(share), 1) for env in found)
