"""`jina logs`: files of several processes in the order of time, and what is added to them."""

import argparse
import contextlib
import io
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from types import SimpleNamespace

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.running import JINA, call
from tests.observe.steps import TracedFirst, TracedSecond

from jina import Flow
from jina.cli import admin as command
from jina.codec import pb
from jina.errors import UsageError


def printed(monkeypatch, folder, *names, lines=100):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    options = argparse.Namespace(folder=str(folder), names=list(names), lines=lines, follow=False)
    assert command.run_logs(options) == 0
    return out.getvalue()


def line(second, text):
    return f"2026-01-02 03:04:{second:06.3f} INFO     {text}"


def test_files_are_one_log_in_the_order_of_time(monkeypatch, tmp_path):
    (tmp_path / "a-rep-0.log").write_text(
        f"{line(1, 'one')}\n{line(3, 'three')}\n  Traceback\n  ValueError\n{line(5, 'five')}\n"
    )
    (tmp_path / "b-rep-0.log").write_text(f"{line(2, 'two')}\n{line(4, 'four')}\nstrange\nunfinished")
    text = printed(monkeypatch, tmp_path)
    assert [one.split()[-1] for one in text.splitlines()] == [
        "one", "two", "three", "Traceback", "ValueError", "four", "strange", "five",
    ]  # fmt: skip
    assert printed(monkeypatch, tmp_path, "b/rep-0", lines=2).splitlines() == [line(4, "four"), "strange"]
    assert printed(monkeypatch, tmp_path, "a", lines=1) == f"{line(5, 'five')}\n"


def test_without_a_folder_it_is_that_of_the_service_that_runs(monkeypatch, tmp_path):
    (tmp_path / "a-rep-0.log").write_text(f"{line(1, 'one')}\n")
    running = [service("shop", str(tmp_path)), service("quiet", "")]
    monkeypatch.setattr(command, "_logging_services", lambda: running)
    for folder in (None, "shop"):
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        assert command.run_logs(argparse.Namespace(folder=folder, names=[], lines=9, follow=False)) == 0
        assert out.getvalue().split()[-1] == "one"
    with pytest.raises(UsageError, match="'quiet' writes no files"):
        command.run_logs(argparse.Namespace(folder="quiet", names=[], lines=9, follow=False))
    running[:] = [service("quiet", "")]
    with pytest.raises(UsageError, match="no service of this machine writes files: quiet") as caught:
        command.run_logs(argparse.Namespace(folder=None, names=[], lines=9, follow=False))
    assert "FOLDER" in caught.value.help


def test_where_several_write_files_they_are_listed(monkeypatch, capsys):
    running = [service("shop", "/a"), service("twin", "/b c"), service("twin", "/d"), service("quiet", "")]
    monkeypatch.setattr(command, "_logging_services", lambda: running)
    assert command.run_logs(argparse.Namespace(folder=None, names=[], lines=9, follow=True)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "shop: jina logs shop",
        "  processes: shop/rep-0 gateway",
        "twin: jina logs '/b c'",
        "  processes: twin/rep-0 gateway",
        "twin: jina logs /d",
        "  processes: twin/rep-0 gateway",
        "quiet: writes no files (--log-dir)",
        "",
        "jina logs FOLDER NAME prints one process, -f goes on with what is written",
    ]


def service(name, folder):
    processes = [SimpleNamespace(name=f"{name}/rep-0"), SimpleNamespace(name="gateway")]
    return SimpleNamespace(name=name, log_dir=folder, processes=processes)


def test_mistakes_are_told(tmp_path):
    (tmp_path / "encoder-rep-0.log").write_text("")
    for words, message in (
        ([str(tmp_path / "no")], "there is no folder"),
        ([str(tmp_path), "encodr"], "did you mean 'encoder-rep-0'"),
        ([str(tmp_path), "--lines", "-1"], "must not be negative"),
    ):
        done = call("logs", *words)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr


@given(st.lists(st.lists(st.integers(0, 59), max_size=8), max_size=4))
def test_each_file_keeps_its_own_order(files):
    events = [
        [line(second, f"{number}.{place}") for place, second in enumerate(seconds)]
        for number, seconds in enumerate(files)
    ]
    found = list(command.in_order(events))
    assert sorted(found) == sorted(event for one in events for event in one)
    for one in events:
        assert [event for event in found if event in one] == one


def test_a_file_that_is_replaced_is_read_from_its_start(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("one\ntw")
    tail = command.Tail(path)
    assert tail.read() == ["one"]
    with path.open("a") as file:
        file.write("o\n")
    assert tail.read() == ["two"]
    path.write_text("x\n")
    assert tail.read() == ["x"]
    path.unlink()
    assert tail.read() == []


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_lines_of_a_request_have_its_id_in_every_process(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    flow = Flow(protocol=["http", "grpc"], host="127.0.0.1", log_format="json", log_dir=str(folder))
    with (
        flow.add(name="first", uses=TracedFirst).add(name="second", uses=TracedSecond) as running,
        following(folder) as follower,
    ):
        asked = urllib.request.Request(
            f"http://127.0.0.1:{running.port[0]}/x", data=b'{"data": [{"text": "a"}]}',
            headers={"content-type": "application/json", "x-request-id": "order-7"},
        )  # fmt: skip
        with urllib.request.urlopen(asked, timeout=20) as answer:
            assert answer.headers["x-request-id"] == "order-7"
        request = pb.DataRequestProto()
        request.header.exec_endpoint = "/x"
        with grpc.insecure_channel(f"127.0.0.1:{running.port[1]}") as channel:
            ask = channel.unary_unary("/jina.JinaSingleDataRequestRPC/process_single_data")
            data = ask(request.SerializeToString(), metadata=(("x-request-id", "order-8"),), timeout=20)
        assert pb.DataRequestProto.FromString(data).header.request_id == "order-8"
        running.post("/x", inputs=[{"text": "a"}])
        found = _read(follower.stdout, 6)
        follower.send_signal(signal.SIGINT)
        assert follower.wait(20) == 130
    by_id = {}
    for event in map(json.loads, found):
        by_id.setdefault(event["request_id"], set()).add(event["name"])
    assert len(by_id) == 3
    assert {"order-7", "order-8"} < set(by_id)
    assert set(map(frozenset, by_id.values())) == {frozenset({"first/rep-0", "second/rep-0"})}


@contextlib.contextmanager
def following(folder):
    process = subprocess.Popen([JINA, "logs", str(folder), "-f"], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)
        process.stdout.close()


def _read(stream, count):
    """So many lines, within a time."""
    found = []
    reader = threading.Thread(target=lambda: found.extend(stream.readline() for _ in range(count)), daemon=True)
    reader.start()
    reader.join(30)
    assert len(found) == count, found
    return found


def test_unknown_folder_is_a_usage_error(tmp_path):
    began = time.monotonic()
    with pytest.raises(UsageError):
        command.run_logs(argparse.Namespace(folder=str(tmp_path / "x"), names=[], lines=1, follow=True))
    assert time.monotonic() - began < 5
