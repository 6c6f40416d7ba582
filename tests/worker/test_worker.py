"""The life of a worker process: start, signals, drain, close, exit codes."""

import http.client
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager

import pytest

HEAD = """
import asyncio, json, os, sys, threading, time
from docarray import BaseDoc, DocList
from jina import Executor, requests
from jina.plan.plans import ExecutorPlan, ListenerPlan, WorkerPlan
from jina.runtime.process import Parent, Stop
from jina.worker.process import run_worker

class Text(BaseDoc):
    text: str = ""

def say(**what):
    print(json.dumps(what), flush=True)

stop = Stop()

def work(cls, port=0, host="127.0.0.1", **options):
    options = {"grace": 5.0, **options}
    plan = WorkerPlan(name="executor/rep-0", deployment="executor", executor=ExecutorPlan(),
                      listeners=[ListenerPlan(protocol="http", host=host, port=port)], **options)
    try:
        code = run_worker(plan, cls, Parent(lambda report: say(**report), stop))
    except Exception as error:
        say(raised=type(error).__name__, message=str(error))
        code = 1
    say(code=code)
    sys.stdout.flush()
    os._exit(code)
"""

ECHO = """
class Echo(Executor):
    def close(self):
        say(closed=threading.current_thread() is threading.main_thread() and asyncio.get_running_loop() is not None)

    @requests(on="/slow")
    async def slow(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        say(began=True)
        await asyncio.sleep(0.4)

    @requests(on="/slow-sync")
    def slow_sync(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        say(began=True)
        time.sleep(0.4)

    @requests(on="/stuck")
    async def stuck(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        say(began=True)
        time.sleep(60)

    @requests(on="/compute")
    def compute(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        say(began=True)
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            sum(range(100))

    @requests(on="/fatal")
    async def fatal(self, docs: DocList[Text], **kwargs) -> DocList[Text]:
        raise LookupError("gone")
"""


class Child:
    def __init__(self, process):
        self.process = process
        self.lines = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def wait_for(self, key, value=None, seconds=20):
        """The next line that has the key (and value); lines before it are dropped."""
        limit = time.monotonic() + seconds
        while True:
            line = self.lines.get(timeout=max(0.01, limit - time.monotonic()))
            if key in line and value in (None, line[key]):
                return line

    def ready(self):
        address = self.wait_for("phase", "ready")["addresses"][0]
        return int(address.rpartition(":")[2])

    def exit_code(self, seconds=20):
        return self.process.wait(seconds)

    def stderr(self):
        return self.process.stderr.read()


@contextmanager
def child(code):
    text = HEAD + ECHO + textwrap.dedent(code)
    process = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    one = Child(process)
    try:
        yield one
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        one._reader.join(10)
        process.stdout.close()
        process.stderr.close()


def ask(port, path, seconds=20, method="POST"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        body = json.dumps({"data": [{"text": "a"}]}) if method == "POST" else None
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@contextmanager
def asking(port, path):
    """A request in flight; gives a function that waits for its status."""
    answers = queue.Queue()

    def run():
        try:
            answers.put(ask(port, path)[0])
        except (OSError, http.client.HTTPException) as error:
            answers.put(type(error))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lambda: answers.get(timeout=20)
    finally:
        thread.join(20)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "number"), [("/slow", signal.SIGTERM), ("/slow-sync", signal.SIGINT)])
def test_a_signal_lets_requests_finish_then_closes_and_exits_with_0(path, number):
    with child("work(Echo)") as it:
        port = it.ready()
        with asking(port, path) as answer:
            it.wait_for("began")
            it.process.send_signal(number)
            assert answer() == 200
        assert it.wait_for("phase", "draining")["reason"] == number.name
        assert it.wait_for("closed")["closed"] is True
        assert it.wait_for("code")["code"] == 0
        assert it.exit_code() == 0
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()


def test_what_is_not_answered_within_the_grace_is_given_up_but_close_runs():
    with child("work(Echo, grace=0.1)") as it:
        with asking(it.ready(), "/compute") as answer:
            it.wait_for("began")
            it.process.terminate()
            assert answer() != 200
        it.wait_for("closed")
        assert it.exit_code() == 0


@pytest.mark.slow
def test_the_second_signal_ends_at_once_even_while_the_user_loop_is_blocked():
    with child("work(Echo)") as it, asking(it.ready(), "/stuck") as answer:
        it.wait_for("began")
        it.process.terminate()
        for _ in range(50):  # people press it again, too: one that comes with the first may wait for the sleep's end
            it.process.send_signal(signal.SIGINT)
            try:
                it.exit_code(0.1)
            except subprocess.TimeoutExpired:
                continue
            break
        assert it.exit_code(0.1) in {128 + signal.SIGTERM, 128 + signal.SIGINT}
        assert answer() != 200


@pytest.mark.slow
def test_a_user_loop_that_never_comes_back_does_not_keep_the_process():
    with child("import jina.worker.process as w; w._PATIENCE = 0.1\nwork(Echo, grace=0.2)") as it:
        with asking(it.ready(), "/stuck") as answer:
            it.wait_for("began")
            it.process.terminate()
            it.wait_for("closed")
            assert it.exit_code() == 1
            assert answer() != 200
        assert "blocks the loop" in it.stderr()


@pytest.mark.slow
def test_the_orchestrators_end_does_not_wait_for_requests():
    code = """
    threading.Thread(target=lambda: (sys.stdin.read(), stop.abandon()), daemon=True).start()
    work(Echo, grace=60.0)
    """
    text = HEAD + ECHO + textwrap.dedent(code)
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    it = Child(process)
    with process, asking(it.ready(), "/compute"):
        it.wait_for("began")
        process.stdin.close()
        it.wait_for("closed", seconds=1.2)
        assert it.exit_code() == 0
        it._reader.join(10)


@pytest.mark.slow
def test_close_that_raises_is_logged_and_shows_in_the_exit_code():
    code = """
    class Bad(Echo):
        def close(self):
            raise OSError("disk full")
    work(Bad)
    """
    with child(code) as it:
        it.ready()
        it.process.terminate()
        assert it.exit_code() == 1
        text = it.stderr()
        assert "close() of Bad raised OSError('disk full')" in text
        assert "in close" in text


def test_close_may_be_a_coroutine():
    code = """
    class Late(Echo):
        async def close(self):
            await asyncio.sleep(0.01)
            say(closed="late")
    work(Late)
    """
    with child(code) as it:
        it.ready()
        it.process.terminate()
        assert it.wait_for("closed")["closed"] == "late"
        assert it.exit_code() == 0


def test_init_runs_on_the_main_thread_in_the_running_loop_and_its_exception_comes_out():
    code = """
    class Bad(Echo):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            asyncio.get_running_loop()
            assert threading.current_thread() is threading.main_thread()
            raise OSError("no model")
    work(Bad)
    """
    with child(code) as it:
        line = it.wait_for("raised")
        assert (line["raised"], line["message"]) == ("OSError", "no model")
        assert it.exit_code() == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", ["os.kill(os.getpid(), 15)", "threading.Thread(target=stop.abandon).start()"])
def test_a_stop_interrupts_the_constructor(how):
    code = f"""
    class Slow(Echo):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            threading.Timer(0.1, lambda: exec({how!r}, globals())).start()
            until = time.monotonic() + 30
            while time.monotonic() < until:
                time.sleep(0.01)
    work(Slow)
    """
    with child(code) as it:
        assert it.wait_for("code", seconds=15)["code"] == 0
        assert it.exit_code() == 0


@pytest.mark.slow
def test_a_taken_port_is_raised_and_the_executor_closed():
    with socket.create_server(("127.0.0.1", 0)) as taken, child(f"work(Echo, port={taken.getsockname()[1]})") as it:
        it.wait_for("closed")
        assert it.wait_for("raised")["raised"] == "PortAlreadyUsed"


@pytest.mark.slow
def test_an_exception_named_in_exit_on_exceptions_ends_the_worker_after_its_answer():
    with child("work(Echo, exit_on_exceptions=['LookupError'])") as it:
        assert ask(it.ready(), "/fatal")[0] == 500
        it.wait_for("closed")
        assert it.wait_for("code")["code"] == 1


@pytest.mark.slow
def test_probes_answer_at_once_while_a_sync_handler_computes():
    with child("work(Echo)") as it:
        port = it.ready()
        assert ask(port, "/readyz", method="GET")[0] == 200
        times = []
        with asking(port, "/compute") as answer:
            it.wait_for("began")
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                began = time.perf_counter()
                connection.request("GET", "/readyz")
                response = connection.getresponse()
                assert (response.status, bool(response.read())) == (200, True)
                times.append(time.perf_counter() - began)
            connection.close()
            assert answer() == 200
        times.sort()
        assert len(times) > 10
        assert times[int(len(times) * 0.95)] < 0.5
        it.process.terminate()
        assert it.exit_code() == 0


@pytest.mark.slow
def test_a_quiet_life_leaves_stderr_empty():
    with child("work(Echo)") as it:
        assert ask(it.ready(), "/slow")[0] == 200
        it.process.terminate()
        assert it.exit_code() == 0
        assert it.stderr() == ""


@pytest.mark.slow
def test_both_loops_are_asyncios_where_uvloop_is_switched_off(monkeypatch):
    from jina.runtime.process import new_loop

    monkeypatch.setenv("JINA_DISABLE_UVLOOP", "1")
    loop = new_loop()
    loop.close()
    assert type(loop).__module__.startswith("asyncio")
    assert os.environ["JINA_DISABLE_UVLOOP"]
