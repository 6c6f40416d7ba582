"""Processes that are killed, stopped, scaled and replaced under load. `make chaos` does all of it at length."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from jina import Deployment, Document
from jina.errors import RuntimeFailToStart, Unavailable
from jina.supervisor.status_socket import ask_all
from tests.acceptance.flow_asking import until
from tests.chaos.load import Load
from tests.chaos.services import Before, Behind, Follower, Ledger
from tests.processes import children, gone

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(600)]

AT_LENGTH = bool(os.environ.get("JINA_CHAOS"))
KILLS = 20 if AT_LENGTH else 3
RATE = 200 if AT_LENGTH else 100
"""Requests a second. Test machines are shared, so that only the long run asks for the whole rate and for speed."""
BACK_WITHIN = 5 if AT_LENGTH else 20
SOAK = float(os.environ.get("JINA_SOAK_SECONDS", "60"))
LOCAL = {"host": "127.0.0.1", "quiet": True}


def pids(served):
    return {process.name: process.pid for process in served._processes[0].processes}


def begun(folder, pid):
    """The requests that a process has begun."""
    file = folder / f"begun-{pid}"
    return set(file.read_text().split()) if file.exists() else set()


def open_files(pid="self"):
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid):
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def kill_one(served, replica, within=BACK_WITHIN):
    """Kill a replica, and wait until all are there again; gives the process and the seconds."""
    slot = served._processes[0].slots[replica]
    before, pid = slot.restarts.count, slot.process.pid
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: slot.restarts.count > before and served.is_ready, 60)
    took = time.monotonic() - killed
    assert took < within
    return pid, took


def test_kills_of_replicas(tmp_path):
    """Only requests that were inside fail, none to an endpoint that is safe; nothing is left over."""
    served = Deployment(uses=Ledger, uses_with={"folder": str(tmp_path)}, replicas=3, **LOCAL)
    with served, Load(served.port, RATE, ("/once", "/safe")) as load:
        gateway = pids(served)["gateway"]
        until(lambda: len(load.answered) > RATE)
        kill_one(served, 0)
        until(lambda: len(load.seen) >= 3)
        files, inside, threads, own = open_files(), open_files(gateway), threading.active_count(), len(children())
        killed = [kill_one(served, number % 3)[0] for number in range(KILLS)]
        load.seen.clear()
        until(lambda: len(load.seen) == 3)
        assert open_files() == files
        assert open_files(gateway) == inside
        assert (threading.active_count(), len(children())) == (threads, own)
    assert len(load.answered) + len(load.failed) == load.sent
    lost = {str(number) for number in load.failed}
    assert lost <= set().union(*(begun(tmp_path, pid) for pid in [*killed, *_killed_before(tmp_path, killed)]))
    assert {load.endpoint(number) for number in load.failed} <= {"/once"}
    assert {type(error) for error in load.failed.values()} <= {Unavailable}


def _killed_before(folder, killed):
    """Those that ended without `close()`."""
    closed = {path.name.partition("-")[2] for path in folder.glob("closed-*")}
    return {path.name.partition("-")[2] for path in folder.glob("begun-*")} - closed - set(map(str, killed))


def test_scaling_and_updates(tmp_path):
    """One without a gateway, to four, to two, and another version: no request fails."""
    served = Deployment(uses=Ledger, uses_with={"folder": str(tmp_path)}, **LOCAL)
    with served, Load(served.port, RATE) as load:

        def versions(processes, version):
            load.seen.clear()
            until(lambda: len(load.answered) > RATE and len(load.seen) == processes)
            assert {text.split()[1] for text in load.seen} == {version}

        versions(1, "1")
        served.scale(replicas=4)
        versions(4, "1")
        served.scale(replicas=2)
        versions(2, "1")
        served.update(uses_with={"folder": str(tmp_path), "version": "2"})
        versions(2, "2")
        with pytest.raises(RuntimeFailToStart, match="this version does not work"):
            served.update(uses_with={"folder": str(tmp_path), "version": "broken"})
        versions(2, "2")
        assert served.status().state == "ready"
    assert load.failed == {}
    assert len(load.answered) == load.sent
    # Each was closed once, whatever became of it.
    assert {path.read_text() for path in tmp_path.glob("closed-*")} == {"closed\n"}
    assert len(list(tmp_path.glob("closed-*"))) == len(list(tmp_path.glob("begun-*"))) == 1 + 4 + 2


def test_scaling_and_updates_of_shards(tmp_path):
    """Two shards, their replicas, and what is around them: no request fails."""
    served = Deployment(
        uses=Ledger, uses_with={"folder": str(tmp_path)}, shards=2, polling={"/all": "ALL"},
        uses_before=Before, uses_after=Behind, **LOCAL,
    )  # fmt: skip
    with served:
        with Load(served.port, RATE / 2, ("/once", "/all")) as load:

            def answers(workers, version, after):
                """Until so many workers of the first shard or of any have answered, all of them as they should."""
                load.seen.clear()
                until(lambda: len({text.split()[0] for text in load.seen}) == workers)
                load.seen.clear()
                until(lambda: sum(load.seen.values()) > RATE / 4)
                result = {tuple(text.split()[1:]) for text in load.seen}
                assert result == {(version, shards, after) for shards in ("1", "2")}
                return {process.name: process.pid for process in served.status().processes}

            first = answers(2, "1", "first")
            served.scale(replicas=2)
            second = answers(4, "1", "first")
            assert first.items() <= second.items()
            assert second.keys() - first.keys() == {f"executor/shard-{shard}/rep-1" for shard in range(2)}
            served.roll_out(uses_with={"folder": str(tmp_path), "version": "2"}, uses_after=Follower)
            third = answers(4, "2", "second")
            assert third.keys() == second.keys()
            assert {name for name in third if third[name] == second[name]} == {"gateway"}
            with pytest.raises(RuntimeFailToStart, match="this version does not work"):
                served.roll_out(uses_with={"folder": str(tmp_path), "version": "broken"})
            answers(4, "2", "second")
            served.scale(replicas=1)
            answers(2, "2", "second")
            assert served.status().state == "ready"
            assert len(served.status().processes) == 5
            lines = [line for path in tmp_path.glob("begun-*") for line in path.read_text().splitlines()]
            assert [line for line in lines if not line.startswith("seen ")] == ["warm"]
        served.scale(replicas=2)
        kill_one(served, list(pids(served)).index("gateway"), within=60)  # another one knows those that came since
        assert len({served.post("/once", Document(text="x")).texts[0].split()[0] for _ in range(40)}) == 4
    assert load.failed == {}
    assert len(load.answered) == load.sent
    assert {path.read_text() for path in tmp_path.glob("closed-*")} == {"closed\n"}


def test_sigterm_while_a_replica_is_started_again(tmp_path):
    """What was taken on is answered, all Executors close, nothing is left."""
    program = [sys.executable, "-m", "tests.chaos.program", str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as child:
        port, *workers = map(int, child.stdout.readline().split())
        with Load(port, RATE) as load:
            until(lambda: len(load.answered) > RATE)
            os.kill(workers[0], signal.SIGKILL)
            os.kill(child.pid, signal.SIGTERM)
            assert child.wait(60) == 0
    allowed = begun(tmp_path, workers[0])
    for number, error in load.failed.items():
        # Those that came after the listener had closed were never accepted.
        assert str(number) in allowed or not _taken_on(tmp_path, number), error
    assert all((tmp_path / f"closed-{pid}").read_text() == "closed\n" for pid in workers[1:])
    for pid in workers:
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="found by an abstract socket")
def test_a_kill_of_the_program_after_a_restart(tmp_path):
    """Those that were started later end with it as well."""
    program = [sys.executable, "-m", "tests.chaos.program", str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as child:
        _, *workers = map(int, child.stdout.readline().split())
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: [process["restarts"] for process in _told_by(child.pid)] == [1, 0, 0, 0])
        until(lambda: {process["state"] for process in _told_by(child.pid)} == {"ready"})
        pids = [process["pid"] for process in _told_by(child.pid)]
        child.kill()
        killed = time.monotonic()
        until(lambda: all(map(gone, pids)))
        assert time.monotonic() - killed < (2 if AT_LENGTH else 10)


def _told_by(pid):
    """What `jina status` sees of the processes of a program."""
    services = [json.loads(data) for _, data in ask_all() if data is not None]
    return next((service["processes"] for service in services if service["pid"] == pid), [])


def _taken_on(folder, number):
    return any(str(number) in path.read_text().split() for path in folder.glob("begun-*"))


@pytest.mark.skipif(not AT_LENGTH, reason="make chaos")
@pytest.mark.timeout(SOAK + 300)
def test_soak(tmp_path, capsys):
    """Mixed load, random kills of replicas and of the gateway: each request is answered once, memory stays.

    What serves is a program of its own, so that its memory holds nothing of the load. The gateway is killed in the
    first half only, and one worker never, so that they live long enough for their memory to be watched.
    """
    chance = random.Random(7)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    samples = defaultdict(list)
    program = [sys.executable, "-m", "tests.chaos.soaked", *map(str, folders)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as child:
        with Load(int(child.stdout.readline()), RATE / 2, ("/once", "/safe")) as load:
            until(lambda: len(load.answered) > RATE)
            began = time.monotonic()
            while (passed := time.monotonic() - began) < SOAK:
                named = {process["name"]: process for process in _told_by(child.pid)}
                victim = chance.choice([name for name in sorted(named) if name != "two/rep-0"])
                if victim != "gateway" or (passed < SOAK / 2 and chance.random() < 0.3):
                    _kill_and_wait(child.pid, named[victim])
                for name, pid in (("parent", child.pid), *((name, named[name]["pid"]) for name in SPARED)):
                    if name != victim:
                        samples[name, pid].append((time.monotonic() - began, memory(pid)))
                threading.Event().wait(chance.uniform(0.2, 2))
            load.seen.clear()
            until(lambda: len(load.seen) == 2)
        child.terminate()
        assert child.wait(60) == 0
    assert len(load.answered) + len(load.failed) == load.sent
    assert len(load.answered) > load.sent * 0.5
    times = Counter(number for file in folders[0].glob("begun-*") for number in file.read_text().split())
    once = {number for number in load.answered if load.endpoint(number) == "/once"}
    assert {times[str(number)] for number in once} == {1}
    lived = {who: taken for who, taken in samples.items() if taken[-1][0] - taken[0][0] > SOAK / 3}
    assert {name for name, _ in lived} == {"parent", *SPARED} or SOAK < 300
    slopes = {name: _slope(taken[len(taken) // 3 :]) * 60 for (name, _), taken in lived.items()}
    with capsys.disabled():
        sys.stdout.write(
            f"bytes a minute: { {name: round(slope) for name, slope in slopes.items()} }; {load.sent} requests\n"
        )
    assert max(slopes.values(), default=0) < 2**20 or SOAK < 300


SPARED = ("gateway", "two/rep-0")


def _kill_and_wait(parent, process):
    """Kill one of the processes of a program, and wait until it is there again."""
    os.kill(process["pid"], signal.SIGKILL)

    def again():
        now = next(one for one in _told_by(parent) if one["name"] == process["name"])
        return now["restarts"] > process["restarts"] and now["state"] == "ready"

    until(again, 60)


def _slope(samples):
    """Bytes a second, by least squares."""
    count = len(samples)
    mean_x, mean_y = (sum(column) / count for column in zip(*samples, strict=True))
    above = sum((x - mean_x) * (y - mean_y) for x, y in samples)
    return above / (sum((x - mean_x) ** 2 for x, _ in samples) or 1)
