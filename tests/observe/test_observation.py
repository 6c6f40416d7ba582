"""What a process tells while somebody looks: slow requests, log records, counts."""

import logging
import os
import shutil
import subprocess
import sys
from collections import deque

import pytest

from jina.observe import logs
from jina.observe.metrics import Metrics
from jina.observe.observation import (
    LONGEST_LINE,
    MOST_AT_ONCE,
    MOST_LINES,
    MOST_REQUESTS,
    UNASKED,
    WINDOW,
    Ended,
    Observation,
    RecentLines,
    SlowRequests,
    place,
)


class Clock:
    """Seconds since the epoch, as a test says."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_the_slowest_requests_are_kept():
    clock = Clock()
    slow = SlowRequests(clock)
    for number in range(100):
        assert slow.ended("/x", number * 7 % 100, {"id": str(number)})
    kept = [one["seconds"] for one in slow.slowest()]
    assert kept == list(range(99, 99 - MOST_REQUESTS, -1))


def test_slow_requests_are_forgotten_after_some_minutes():
    clock = Clock()
    slow = SlowRequests(clock)
    for _ in range(MOST_REQUESTS):
        slow.ended("/x", 50.0, {})
    for _ in range(int(WINDOW / 10) + 1):
        clock.now += 10
        slow.slowest()
    slow.ended("/x", 1.0, {})
    assert [one["seconds"] for one in slow.slowest()] == [1.0]


def test_nothing_is_kept_once_nobody_asks():
    clock = Clock()
    slow = SlowRequests(clock)
    slow.ended("/x", 1.0, {})
    clock.now += UNASKED + 1
    assert not slow.ended("/x", 1.0, {})
    assert slow.slowest() == []


def test_a_request_that_began_before_anybody_looked_is_not_kept():
    slow = SlowRequests()
    counts = Metrics("gateway").endpoint("/x")
    counts.on_end = Ended("/x", counts, slow)
    counts.on_end(9.0, "", None)
    counts.on_end(1.0, "", {"id": "watched"})
    assert [one["id"] for one in slow.slowest()] == ["watched"]


@pytest.fixture
def lines():
    found = RecentLines()
    yield found
    found.detach()


def test_log_records_come_once_and_in_order(lines):
    assert lines.since(0) == ([], 0)
    logs.get_logger("a").warning("first %d", 1)
    logging.getLogger("of.a.user").error("second")
    told, lost = lines.since(0)
    assert [(one["level"], one["logger"], one["message"]) for one in told] == [
        ("WARNING", "jina.a", "first 1"),
        ("ERROR", "of.a.user", "second"),
    ]
    assert lost == 0
    assert lines.since(told[-1]["seq"]) == ([], 0)


def test_log_records_are_bounded_and_what_is_lost_is_told(lines):
    lines.since(0)
    for number in range(MOST_LINES + 300):
        logs.get_logger("a").warning("%s", "x" * 2 * LONGEST_LINE + str(number))
    told, lost = lines.since(100)
    assert (len(told), lost, len(told[0]["message"])) == (MOST_AT_ONCE, 200, LONGEST_LINE)
    assert told[0]["seq"] == 301


def test_what_is_wrong_with_a_record_is_not_the_trouble_of_who_logs(lines, monkeypatch):
    # pytest keeps what reaches the root for its report, which the workers of xdist cannot send with half a character.
    monkeypatch.setattr(logs.get_logger("a"), "propagate", False)
    lines.since(0)
    lines.see(logging.LogRecord("a", logging.ERROR, "", 1, "%d", ("no number",), None))
    logs.get_logger("a").warning("a file \udcff of %s", "ümlaut")
    try:
        raise ValueError("<script>")
    except ValueError:
        logs.get_logger("a").exception("it failed")
    first, second, third = lines.since(0)[0]
    assert (first["message"], second["message"]) == ("%d", "a file \\udcff of ümlaut")
    assert third["exception"].endswith("ValueError: <script>")


def test_records_that_were_made_elsewhere_pass_by(lines):
    """Such as those of a container, which are made empty and filled afterwards."""
    lines.since(0)
    assert logging.makeLogRecord({"msg": "of another process"}).getMessage() == "of another process"
    assert lines.since(0) == ([], 0)


def test_nothing_is_seen_once_nobody_asks(lines, monkeypatch):
    before = logging.getLogRecordFactory()
    lines.since(0)
    lines.since(0)
    assert logging.getLogRecordFactory() is not before
    monkeypatch.setattr("jina.observe.observation.UNASKED", -1.0)
    logs.get_logger("a").warning("nobody reads this")
    assert logging.getLogRecordFactory() is before
    monkeypatch.undo()
    assert lines.since(0) == ([], 0)


def test_one_who_made_records_in_between_stays(lines):
    before = logging.getLogRecordFactory()
    lines.since(0)
    ours, made = logging.getLogRecordFactory(), []

    def theirs(*args, **more):
        made.append(ours(*args, **more))
        return made[-1]

    logging.setLogRecordFactory(theirs)
    try:
        lines.detach()
        logs.get_logger("a").warning("one")
        assert lines._lines == deque()
        lines.since(0)
        logs.get_logger("a").warning("two")
        assert [one["message"] for one in lines.since(0)[0]] == ["two"]
        assert [one.getMessage() for one in made] == ["one", "two"]
    finally:
        logging.setLogRecordFactory(before)


def test_python_prints_what_it_would_print_anyway():
    """Where nobody has set logging up, warnings go to stderr; `basicConfig` works while somebody looks."""
    program = """
import logging
import os
import shutil
from jina.observe.observation import RecentLines
lines = RecentLines()
lines.since(0)
logging.getLogger("mine").warning("seen by both")
logging.basicConfig(level="INFO", format="set up: %(message)s")
logging.getLogger("mine").info("this one too")
print([one["message"] for one in lines.since(0)[0]])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "seen by both\nset up: this one too\n"
    assert done.stdout == "['seen by both', 'this one too']\n"


def test_an_answer():
    counts = Metrics("a/rep-0", "Mine")
    one = counts.endpoint("/x")
    observation = Observation(counts, lambda: {"graph": {}})
    first = observation.answer({})
    assert (first["executor"], first["graph"], first["slow"], "logs" in first) == ("Mine", {}, [], False)
    assert first["place"]["kind"] in {"process", "container", "pod"}
    one.ended(0.2)
    one.on_end(0.2, "", {"id": "r", "queue": 0.1})
    one.ended(0.3, "ValueError")
    told = observation.answer({"logs": 0})
    assert told["endpoints"]["/x"]["failures"] == {"ValueError": 1}
    assert sum(told["endpoints"]["/x"]["seconds"][1:]) == 2
    assert len(told["endpoints"]["/x"]["seconds"]) == len(told["bounds"]) + 2
    assert [(slow["id"], slow["endpoint"], slow["queue"]) for slow in told["slow"]] == [("r", "/x", 0.1)]
    assert told["logs"] == []
    counts.endpoint("/new").on_end(9.0, "", {"id": "s"})  # one that is called for the first time between two questions
    assert observation.answer({})["slow"][0]["endpoint"] == "/new"


MACHINE = {"pid": 4026531836, "uts": 4026531838, "ipc": 4026531839}
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "shop-7d9"}


@pytest.mark.parametrize(
    ("mark", "namespaces", "environment", "kind"),
    [
        ("", MACHINE, {}, "process"),
        (".dockerenv", MACHINE, {}, "process"),  # a virtual machine whose files were those of an image
        ("", MACHINE, POD, "process"),  # a variable that somebody has set
        (".dockerenv", {**MACHINE, "pid": 4026532200}, {}, "container"),
        (".dockerenv", {**MACHINE, "ipc": 4026532201}, {}, "container"),  # --pid=host --uts=host
        ("run/.containerenv", {"pid": 4026532200, "uts": 4026532198, "ipc": 4026532199}, {}, "container"),
        ("run/systemd/container", {**MACHINE, "pid": 4026532200}, {}, "container"),
        ("", {**MACHINE, "pid": 4026532200}, {}, "process"),  # unshare, and no engine
        ("", {**MACHINE, "pid": 4026532200}, POD, "pod"),  # containerd leaves no mark
        (".dockerenv", {}, {}, "container"),  # a system that tells no namespaces
    ],
)
def test_where_a_process_runs(tmp_path, mark, namespaces, environment, kind):
    told = tmp_path / "proc/self/ns"
    told.mkdir(parents=True)
    for name, number in namespaces.items():
        (told / name).symlink_to(f"{name}:[{number}]")
    if mark:
        (tmp_path / mark).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / mark).touch()
    found = place(environment, str(tmp_path))
    assert found["kind"] == kind
    assert found.get("pod") == ("shop-7d9" if kind == "pod" else None)


@pytest.mark.skipif(not shutil.which("unshare") or os.geteuid() != 0, reason="root and unshare make a namespace")
def test_a_namespace_of_its_own_makes_a_pod_of_a_process():
    """What the system itself tells, with the variable that Kubernetes sets."""
    words = ["unshare", "--ipc", "--", sys.executable, "-c"]
    code = "from jina.observe.observation import place; print(place()['kind'])"
    done = subprocess.run([*words, code], capture_output=True, text=True, env={**os.environ, **POD}, check=False)
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert done.stdout.strip() == "pod", done.stderr
