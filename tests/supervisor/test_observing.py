"""Questions about a service: its log records in one order, and how often its processes are asked."""

import json
import os
import socket
from types import SimpleNamespace

import pytest

from jina.errors import EndpointNotFound
from jina.supervisor.observing import FRESH, MOST_AT_ONCE, Observer, ServicesHere
from jina.supervisor.status_socket import ask, ask_all, names, serve_status


class Clock:
    """Monotonic seconds, as a test says."""

    def __init__(self):
        self.now = 10.0

    def __call__(self):
        return self.now


class Processes:
    """A service of one process, whose log records a test writes."""

    def __init__(self):
        self.asked = 0
        self.lines = []

    def __call__(self):
        self.asked += 1
        lines, self.lines = self.lines, []
        status = {"processes": [{"pid": 7}]}
        return Status(status), {"a/rep-0": {"n": self.asked}}, lines


class Status(dict):
    """The plain values of a status, with its processes as they are read."""

    @property
    def processes(self):
        return [SimpleNamespace(**one) for one in self["processes"]]


def answers(observer, **question):
    return json.loads(observer.answer(json.dumps(question).encode()))


def test_processes_are_asked_once_for_all_who_look_at_the_same_time():
    clock, processes = Clock(), Processes()
    observer = Observer(processes, clock)
    assert [answers(observer)["observed"]["a/rep-0"]["n"] for _ in range(3)] == [1, 1, 1]
    clock.now += FRESH
    assert answers(observer)["observed"]["a/rep-0"]["n"] == 2


def test_only_the_service_of_a_process_answers():
    observer = Observer(Processes(), Clock())
    assert answers(observer, process=8) == {}
    assert "status" in answers(observer, process=7)
    assert observer.answer(b"status please") == observer.answer(b"[]") == b"{}"


def test_each_reader_gets_each_log_record_once():
    clock, processes = Clock(), Processes()
    observer = Observer(processes, clock)
    processes.lines = [{"time": 2.0, "message": "b"}, {"time": 1.0, "message": "a"}]
    told = answers(observer, logs=0)
    assert [(one["seq"], one["message"]) for one in told["logs"]] == [(1, "a"), (2, "b")]
    assert (told["last"], told["lost"]) == (2, 0)
    clock.now += FRESH
    processes.lines = [{"time": 3.0, "message": "c"}]
    assert [one["message"] for one in answers(observer, logs=2)["logs"]] == ["c"]
    assert answers(observer, logs=3)["logs"] == []


def test_a_reader_that_is_far_behind_is_told_what_is_lost():
    clock, processes = Clock(), Processes()
    observer = Observer(processes, clock)
    processes.lines = [{"time": float(number), "message": ""} for number in range(3000)]
    told = answers(observer, logs=1)
    assert (len(told["logs"]), told["lost"], told["last"]) == (MOST_AT_ONCE, 999, 1500)


def test_a_client_of_an_earlier_version_says_nothing_and_gets_the_status():
    with serve_status(lambda question: b"status" if not question else b"answer to " + question):
        [name] = [name for name, found in ask(os.getpid(), b"a question") if found == b"answer to a question"]
        assert (os.getpid(), b"status") in list(ask_all())
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as old:
            old.settimeout(20)
            old.connect(f"\0{name}")
            assert b"".join(iter(lambda: old.recv(100), b"")) == b"status"


def test_services_of_this_machine():
    status = json.dumps({"name": "observed", "state": "ready"}).encode()
    with serve_status(lambda question: b"answer" if question else status):
        here = ServicesHere()
        ours = [one for one in here.listed() if one["id"].startswith(f"{os.getpid()}/")]
        [found] = [one for one in ours if one["name"] == "observed"]
        assert found["state"] == "ready"
        assert here.ask(found["id"])(b"a question") == b"answer"
        assert any(name.endswith(found["id"]) for _, name in names())
        for wrong in ("", "1", "../0", f"{found['id']}0"):
            with pytest.raises(EndpointNotFound):
                here.ask(wrong)
