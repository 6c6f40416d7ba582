"""Processes that end by themselves, hang, or are changed while they serve."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import pytest
import supervised
from jina.helper import random_port
from tests.acceptance.flow_asking import get, until

from jina import Client, Deployment, Document, Flow, __version__
from jina.errors import ConfigError, CrashLoop, NotSupportedError, RuntimeFailToStart, Unavailable, UsageError

LOCAL = {"host": "127.0.0.1", "quiet": True}


def who(served, **options):
    return served.post("/who", Document(), **options).texts[0].split()


def ended(served, endpoint, **options):
    """Have a worker end, and wait until it is there again; gives what `status` tells of it."""
    with pytest.raises(Unavailable):
        served.post(endpoint, Document(), **options)
    until(lambda: served.is_ready)
    return served.status().processes[0]


@pytest.mark.slow
def test_workers_are_started_again_on_their_port(caplog):
    with Deployment(uses=supervised.Mortal, **LOCAL) as served:
        port, first = served.port, who(served)[1]
        status = ended(served, "/exit")
        assert (status.restarts, status.state, status.last_end) == (1, "ready", "")
        second = who(served)[1]
        assert first != second == str(status.pid)
        ended(served, "/raise")
        assert served.post("/stop", Document()) is not None  # it answers what it has in work, and is there again
        until(lambda: served.status().processes[0].restarts == 3 and served.is_ready)
        assert who(served)[1] != second
        assert served.port == port
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"executor (process {first}) exited with code 3; started again at once (restart 1)" in messages
    assert any("was killed by signal 11 (SIGSEGV); started again in" in line for line in messages)
    assert any("exited with code 0: SIGTERM; started again" in line for line in messages)


@pytest.mark.slow
def test_a_crash_loop_is_given_up(tmp_path):
    """After the limit its state says so, requests fail with the cause, and `block` ends with an exit code."""
    (tmp_path / "life").touch()
    options = {"restart_limit": 2, "restart_backoff": 10, "uses_with": {"lives": str(tmp_path)}}
    with Deployment(uses=supervised.Fatal, **options, **LOCAL) as served:
        with pytest.raises(Unavailable):
            served.post("/exit", Document())
        with pytest.raises(CrashLoop) as caught:
            served.block()
        assert caught.value.exit_code == 3
        assert not caught.value.retryable
        assert "OSError: the disk is gone; given up after 2 restarts" in str(caught.value)
        assert not served.is_ready


@pytest.mark.slow
def test_one_of_several_replicas_is_given_up(tmp_path):
    for number in range(2):
        (tmp_path / str(number)).touch()
    options = {"restart_limit": 1, "uses_with": {"lives": str(tmp_path)}}
    with Deployment(uses=supervised.Fatal, replicas=2, **options, **LOCAL) as served:
        with pytest.raises(Unavailable):
            served.post("/exit", Document())
        until(lambda: "failed" in {process.state for process in served.status().processes})
        status = served.status()
        assert status.state == "degraded"
        assert "given up after 1 restarts" in str(status)
        assert not served.is_ready
        assert who(served)[0] == "one"  # the other one serves
        os.kill(served._processes[0].front[0].pid, signal.SIGKILL)
        until(lambda: served._processes[0].slots[-1].restarts.count == 1 and served._processes[0].front[0].ready)
        assert who(served)[0] == "one"  # the gateway does not wait for the one that ended
        threading.Timer(0.1, lambda: served._processes[0].workers[0].terminate(signal.SIGKILL)).start()
        threading.Timer(0.1, lambda: served._processes[0].workers[1].terminate(signal.SIGKILL)).start()
        with pytest.raises(CrashLoop):
            served.block()


@pytest.mark.slow
def test_a_gateway_is_started_again_with_all_replicas():
    with Flow(**LOCAL).add(uses=supervised.Mortal, name="a", replicas=2).add(uses=supervised.Mortal) as flow:
        flow.scale("a", replicas=3)
        gateway = flow._processes[0].front[0]
        os.kill(gateway.pid, signal.SIGKILL)
        until(lambda: flow._processes[0].front[0] is not gateway and flow.is_ready)
        assert len({process.pid for process in flow.status().processes}) == 5
        with Client(port=flow.port) as client:
            seen = {client.post("/who", Document(), target_executor="a").texts[0] for _ in range(40)}
        assert len(seen) == 3


@pytest.mark.slow
def test_rolling_out():
    served = Deployment(uses=supervised.Mortal, protocol=["grpc", "http"], replicas=2, env={"MOOD": "good"}, **LOCAL)
    with served:
        pids = {process.pid for process in served.status().processes}
        served.roll_out(uses_with={"word": "two"}, env={"MOOD": "bad"})
        assert {tuple(who(served)[::2]) for _ in range(20)} == {("two", "bad")}
        assert pids & {process.pid for process in served.status().processes} == {served._processes[0].front[0].pid}
        with pytest.raises(RuntimeFailToStart, match="no such word"):
            served.roll_out(uses_with={"word": "bad"})
        assert {who(served)[0] for _ in range(20)} == {"two"}
        assert get(served.ports[1], "/new", method="POST", body='{"id": "x"}')[0] == 404
        served.update(uses=supervised.Grown)  # the same by the other name
        assert served.post("/new", Document()).texts == ["new"]
        status, _, body = get(served.ports[1], "/new", method="POST", body='{"id": "x"}')
        assert (status, body["data"][0]["text"]) == (200, "new")
        assert served.update(Document()).texts == ["updated"]  # with documents it is a request
        assert served.spec.uses is supervised.Grown
        served.scale(replicas=1)
        assert served.num_pods == 2
        assert who(served)[0] == "two"


def test_what_cannot_be_changed():
    served = Deployment(uses=supervised.Mortal, **LOCAL)
    with pytest.raises(UsageError, match="not started"):
        served.scale(replicas=2)
    with pytest.raises(UsageError, match="not started"):
        served.status()
    with pytest.raises(ConfigError, match="port cannot be changed while it runs"):
        served.roll_out(port=5)
    with pytest.raises(ConfigError, match="did you mean 'uses_with'"):
        served.roll_out(uses_wit={})
    with pytest.raises(ConfigError, match="neither added nor removed"):
        served.roll_out(uses_after=supervised.Grown)
    with pytest.raises(ConfigError, match="replicas: 0"):
        served.scale(replicas=0)
    external = Deployment(external=True, port=5, host="127.0.0.1")
    with pytest.raises(ConfigError, match="is external"):
        external.scale(replicas=2)
    with pytest.raises(UsageError, match="is external"):
        external.status()
    with pytest.raises(NotSupportedError, match="gateways are not reloaded"):
        Flow().config_gateway(reload=True)


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ["/sleep", "/spin"])
def test_a_hung_handler_is_reported_and_replaced(endpoint, caplog):
    options = {"timeout_hang": 300, "restart_hung": True}
    with Deployment(uses=supervised.Mortal, **options, **LOCAL) as served:
        before = who(served)[1]
        with pytest.raises(Unavailable):
            served.post(endpoint, Document())
        until(lambda: served.is_ready)
        assert who(served)[1] != before
    messages = "\n".join(record.getMessage() for record in caplog.records)
    assert "makes no progress for 0.3" in messages
    assert "was killed by signal 9 (SIGKILL): it made no progress for 0.3" in messages


@pytest.mark.slow
def test_a_hung_handler_is_only_reported():
    with Deployment(uses=supervised.Mortal, timeout_hang=200, grace=0, **LOCAL) as served:
        asking = threading.Thread(target=_ask_in_vain, args=(served.port,))
        asking.start()
        until(lambda: served.status().processes[0].state == "hung")
        status = served.status()
        assert (status.state, status.processes[0].in_flight, status.processes[0].restarts) == ("degraded", 1, 0)
    asking.join(20)


@pytest.mark.slow
def test_a_hung_gateway_is_replaced(caplog):
    options = {"timeout_hang": 1500, "restart_hung": True}
    with Deployment(uses=supervised.Mortal, replicas=2, **options, **LOCAL) as served:
        gateway = served._processes[0].front[0]
        os.kill(gateway.pid, signal.SIGSTOP)
        until(lambda: served.status().processes[-1].restarts == 1)
        until(lambda: served.is_ready)
        assert who(served)[0] == "one"
        assert [process.restarts for process in served.status().processes] == [0, 0, 1]
    messages = "\n".join(record.getMessage() for record in caplog.records)
    assert "gateway (process " in messages
    assert "was killed by signal 9 (SIGKILL): it made no progress for 1." in messages


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ["/spin", "/block"])
def test_a_loop_that_does_not_turn_shows_in_the_status(endpoint):
    with Deployment(uses=supervised.Mortal, grace=0, restart_limit=0, **LOCAL) as served:
        assert served.status().state == "ready"
        asking = threading.Thread(target=_ask_in_vain, args=(served.port, endpoint))
        asking.start()
        until(lambda: served.status().processes[0].state == "hung")
        assert served.status().state == "degraded"
        os.kill(served.status().processes[0].pid, signal.SIGKILL)
        asking.join(20)


@pytest.mark.slow
def test_a_gateway_that_does_not_answer_shows_in_the_status():
    with Deployment(uses=supervised.Mortal, replicas=2, **LOCAL) as served:
        gateway = served._processes[0].front[0]
        os.kill(gateway.pid, signal.SIGSTOP)
        try:
            until(lambda: served.status().processes[-1].state == "hung")
        finally:
            os.kill(gateway.pid, signal.SIGCONT)
        until(lambda: served.status().state == "ready")


def _ask_in_vain(port, endpoint="/sleep"):
    with Client(port=port) as client, pytest.raises(Unavailable):
        client.post(endpoint, Document())


def test_status():
    with Deployment(uses=supervised.Mortal, name="shop", replicas=2, **LOCAL) as served:
        status = served.status()
        assert [process.name for process in status.processes] == ["shop/rep-0", "shop/rep-1", "gateway"]
        assert (status.name, status.state, status.pid) == ("shop", "ready", os.getpid())
        assert json.loads(json.dumps(status.to_dict()))["processes"][2]["deployment"] == "gateway"
        lines = str(status).splitlines()
        assert lines[0].startswith("shop: ready (process ")
        assert lines[1].strip() == f"grpc://127.0.0.1:{served.port}"
        heads = ["process", "pid", "state", "for", "in", "flight", "queued", "restarts", "version", "ports"]
        assert lines[2].split() == heads
        os.kill(status.processes[0].pid, signal.SIGSTOP)  # it cannot answer, and is waited for a moment only
        began = time.monotonic()
        assert served.status().processes[1].state == "ready"
        assert time.monotonic() - began < 5
        os.kill(status.processes[0].pid, signal.SIGKILL)
        until(lambda: served.is_ready and served.status().processes[0].restarts == 1)


def test_the_status_has_versions(tmp_path, monkeypatch):
    """That of jina in each process, and that of an Executor where its module or a package around it states one."""
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf/__init__.py").write_text('__version__ = "1.4.2"\n')
    (tmp_path / "shelf/books.py").write_text("from jina import Executor\n\n\nclass Books(Executor): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with Flow(**LOCAL).add(uses="shelf.books.Books", name="a").add(uses=supervised.Mortal, name="b") as flow:
        status = flow.status()
        found = {one.name: (one.version, one.executor_version, one.image) for one in status.processes}
        assert found == {
            "a/rep-0": (__version__, "1.4.2", ""), "b/rep-0": (__version__, "", ""), "gateway": (__version__, "", ""),
        }  # fmt: skip
        shown = [re.split(" {2,}", line)[-2] for line in str(status).splitlines() if "/rep-" in line]
        assert shown == ["1.4.2", f"jina {__version__}"]


@pytest.mark.slow
def test_the_status_has_the_addresses_of_metrics_and_probes():
    """They answer there, as everything else that a status names."""

    def asked(address):
        with contextlib.suppress(HTTPError), urllib.request.urlopen(address, timeout=10) as answer:
            return answer.read().decode()
        return ""  # the probes' own process has not heard yet that the worker is ready

    with Deployment(
        uses=supervised.Mortal, name="alone", monitoring=True, port_probes=random_port(), **LOCAL
    ) as served:
        (process,) = served.status().processes
        lines = str(served.status()).splitlines()
        assert [f"  {process.metrics} of {process.name}", f"  {process.probes} of {process.name}"] == lines[2:4]
        assert "jina_" in asked(process.metrics)
        assert until(lambda: asked(process.probes)) == "ok"
    steps = Flow(monitoring=True, name="all", **LOCAL).add(uses=supervised.Mortal, name="a", replicas=2)
    with steps.add(uses=supervised.Mortal, name="b", monitoring=False) as flow:
        found = {one.name: one.metrics for one in flow.status().processes}
        assert found.pop("b/rep-0") == ""
        assert found.keys() == {"a/rep-0", "a/rep-1", "gateway"}
        assert len(set(found.values())) == 3
        for address in found.values():
            assert "jina_" in asked(address)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets")
def test_services_are_found_on_their_machine(capsys):
    from jina.cli.main import main

    assert main(["status", "no-such-service"]) == 1
    assert "no service no-such-service" in capsys.readouterr().err
    with Deployment(uses=supervised.Mortal, name="findable", **LOCAL):
        assert main(["status", "findable"]) == 0
        assert capsys.readouterr().out.startswith("findable: ready")
        assert main(["status", "--json", "findable"]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        assert found["processes"][0]["state"] == "ready"
    assert main(["status", "findable"]) == 1


CODE = """
from jina import DocumentArray, Executor, requests
from reloaded_helper import word

class Reloaded(Executor):
    @requests(on='/word')
    def word(self, docs: DocumentArray, **kwargs):
        docs.texts = [word()] * len(docs)
"""


@pytest.mark.slow
def test_reload(tmp_path, caplog):
    """A change of a module that the Executor's imports is taken in; a mistake is shown, and the old one serves."""
    module, helper = tmp_path / "reloaded_case.py", tmp_path / "reloaded_helper.py"
    module.write_text(CODE)
    helper.write_text("def word(): return 'one'\n")
    flow = Flow(**LOCAL).add(uses="Reloaded", py_modules=str(module), reload=True, name="a")
    flow = flow.add(uses=supervised.Mortal, name="b")

    def word():
        return flow.post("/word", Document(), target_executor="a").texts[0]

    with flow:
        other, port = who(flow, target_executor="b"), flow.port
        assert word() == "one"
        helper.write_text("def word(): return 'two'\n")
        until(lambda: word() == "two")
        helper.write_text("def word() return 'three'\n")
        until(lambda: any("SyntaxError" in record.getMessage() for record in caplog.records))
        assert word() == "two"
        helper.write_text("def word(): return 'four'\n")
        until(lambda: word() == "four")
        assert (who(flow, target_executor="b"), flow.port) == (other, port)
    assert "reloader" not in {thread.name for thread in threading.enumerate()}


def test_what_cannot_be_reloaded():
    from jina import Executor

    class Local(Executor):
        pass

    with pytest.raises(ConfigError, match="Local is defined in the program itself"):
        Deployment(uses=Local, reload=True, **LOCAL).start()


@pytest.fixture
def little_memory():
    """A control group with 400 MB, of either version; skipped where one may not be made."""
    root = Path("/sys/fs/cgroup")
    options = [(root / "memory", "memory.limit_in_bytes"), (root, "memory.max")]
    for parent, limit in options:
        group = parent / f"jina-test-{os.getpid()}"
        if not (parent / "cgroup.procs").exists():
            continue
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(400 * 2**20))
        except OSError:
            group.rmdir()
            continue
        yield group
        for pid in (group / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        until(lambda group=group: not (group / "cgroup.procs").read_text())
        group.rmdir()
        return
    pytest.skip("no control group with a limit of memory can be made here")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_worker_that_the_kernel_ends_for_want_of_memory_is_said_to_have_been(little_memory):
    program = Path(__file__).with_name("hungry.py")
    command = [sys.executable, program, little_memory]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    said, restarts = done.stdout.splitlines()
    assert "was killed by signal 9 (SIGKILL): out of memory" in said
    assert restarts == "1"
