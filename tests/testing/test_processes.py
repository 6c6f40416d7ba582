"""What tests see of processes while threads and processes come and go."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from tests.processes import children, descendants, gone

SLEEPER = [sys.executable, "-c", "import sys; sys.stdin.read()"]
ABOVE = [sys.executable, "-c", f"import subprocess; subprocess.run({SLEEPER!r})"]


@pytest.fixture
def threads_that_end():
    """Threads start and end all the time, among them the ones that started children."""
    stop = threading.Event()

    def start_and_end():
        while not stop.is_set():
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()

    starting = [threading.Thread(target=start_and_end) for _ in range(2)]
    for thread in starting:
        thread.start()
    yield
    stop.set()
    for thread in starting:
        thread.join(20)


@pytest.mark.slow
def test_children_are_listed_while_threads_end(threads_that_end):
    begun = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: begun.append(subprocess.Popen(SLEEPER, stdin=subprocess.PIPE)))
        thread.start()
        thread.join(20)
    pids = {process.pid for process in begun}
    try:
        for _ in range(100):
            assert children() >= pids
    finally:
        for process in begun:
            process.communicate(timeout=20)
    assert not children() & pids


def test_descendants_are_those_below_and_not_the_process_itself():
    with subprocess.Popen(ABOVE, stdin=subprocess.PIPE) as above:
        waited = threading.Event()
        try:
            while not (below := descendants(above.pid)):
                assert above.poll() is None
                waited.wait(0.01)
            (one,) = below
            assert children(above.pid) == below
            assert descendants() >= {above.pid, one}
        finally:
            above.communicate(timeout=20)
    assert children(above.pid) == descendants(above.pid) == set()


def test_a_process_has_ended_whether_or_not_it_was_asked_for_its_status():
    process = subprocess.Popen(SLEEPER, stdin=subprocess.PIPE)
    assert not gone(process.pid)
    process.stdin.close()
    waited = threading.Event()
    deadline = 2000
    while not gone(process.pid):
        assert (deadline := deadline - 1), "waited in vain for the end"
        waited.wait(0.01)
    assert process.returncode is None
    assert process.wait(20) == 0
    assert gone(process.pid)
