"""What is known of a worker or gateway that ended, and of the one in its place."""

import msgspec

from jina.errors import CrashLoop, Unavailable
from jina.plan.plans import ExecutorPlan, GatewayPlan, GraphPlan, RestartPlan, WorkerPlan
from jina.supervisor.status import status_of
from jina.supervisor.supervisor import ProcessSlot


def slot(**restart):
    plan = WorkerPlan(
        name="a/rep-0",
        deployment="a",
        executor=ExecutorPlan(),
        listeners=[],
        replicas=2,
        restart=RestartPlan(**restart),
    )
    return ProcessSlot(plan)


def end(one, status=-9, cause=""):
    one.process.exit_status, one.process.cause = status, cause
    one.crashed(0.0)


def test_a_place_whose_process_ends():
    one = slot(limit=2)
    assert (one.state, one.down()) == ("starting", None)
    end(one, cause="out of memory")
    assert one.state == "restarting"
    assert "was killed by signal 9 (SIGKILL): out of memory; it is started again: in" in str(one.down())
    assert one.down().help == Unavailable.advice
    one.renew()
    assert one.state == "restarting"
    assert "it is started again: starting" in str(one.down())
    assert one.plan.restart.count == 1
    one.process.phase, one.process.ready = "ready", True
    assert (one.state, one.down()) == ("ready", None)


def test_a_place_that_is_given_up():
    one = slot(limit=1)
    end(one)
    one.renew()
    end(one, status=3)
    assert one.state == "failed"
    down = one.down()
    assert type(down) is CrashLoop
    assert "exited with code 3; given up after 1 restarts" in str(down)
    assert down.help == CrashLoop.advice  # asking again would be of no use


def test_a_place_that_is_never_started_again():
    one = slot(limit=0)
    end(one, status=139)
    assert type(one.down()) is Unavailable
    assert "exited with code 139 (that of SIGSEGV)" in str(one.down())
    assert one.down().help == CrashLoop.advice


def test_a_successor():
    one = slot(limit=1)
    end(one)
    successor = one.prepare(one.plan, b"")
    assert one.processes == [one.process, successor]
    old = one.take()
    assert old.exit_status == -9
    assert (one.process, one.successor, one.restart_at, one.down()) == (successor, None, None, None)


def test_what_may_hang_is_watched_where_that_is_asked_for():
    restart = RestartPlan(timeout_hang=1)
    assert slot(timeout_hang=1).hang is not None
    assert ProcessSlot(GatewayPlan(listeners=[], graph=GraphPlan(nodes=[], ends=[]), restart=restart)).hang is not None
    assert slot().hang is None


def test_a_service_that_lacks_a_whole_shard_is_down():
    slots = []
    for shard in range(2):
        for replica in range(2):
            plan = msgspec.structs.replace(
                slot(limit=0).plan, name=f"a/shard-{shard}/rep-{replica}", shard_id=shard, shards=2
            )
            slots.append(ProcessSlot(plan))
    for one in slots:
        one.process.phase, one.process.ready = "ready", True
    assert status_of("a", 1, slots).state == "ready"
    end(slots[0])
    assert status_of("a", 1, slots).state == "degraded"
    end(slots[2])
    assert status_of("a", 1, slots).state == "degraded"
    end(slots[3])
    assert status_of("a", 1, slots).state == "down"
    assert [one.part for one in slots] == [("a", "", 0)] * 2 + [("a", "", 1)] * 2
