"""What holds for all tests: nothing is written to the home folder of the user."""

from __future__ import annotations

import gc
import os
import re
import signal
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CACHE = Path(__file__).parents[1] / ".cache"

# How long an example takes says more of what else the machine does than of what is tested: all of them are small.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Who runs the tests in the background of a shell ignores Ctrl+C, and so would all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--part", metavar="K/N", help="run one N-th of the tests, chosen by their names: the K-th of N")


def pytest_configure(config):
    part = config.getoption("--part")
    if part is not None and part_of(part) is None:
        raise pytest.UsageError(f"--part {part}: write K/N with 1 <= K <= N, such as 1/3")


def pytest_ignore_collect(collection_path, config):
    """A module that is marked as a whole with what `-m` leaves out is not even imported: that takes its time, too."""
    expression = config.option.markexpr
    if not re.fullmatch(r"not \w+( and not \w+)*", expression) or not re.fullmatch(
        r"test_\w+\.py", collection_path.name
    ):
        return None
    marked = re.search(
        r"^pytestmark = .*?(?:\n\n|\Z)", collection_path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    left_out = set(re.findall(r"not (\w+)", expression))
    return True if marked and left_out & set(re.findall(r"pytest\.mark\.(\w+)", marked[0])) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Without the garbage collector: all that is made stays, and looking through it again and again takes its time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(config, items):
    part = config.getoption("--part")
    if part is None:
        return
    number, parts = part_of(part)
    chosen = [item for item in items if zlib.crc32(item.nodeid.encode()) % parts == number - 1]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def part_of(text):
    """The two numbers of `K/N`; None where it is something else."""
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if not found:
        return None
    number, parts = map(int, found.groups())
    return (number, parts) if number <= parts else None


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory):
    """An empty home folder for the tests and the processes they start."""
    with pytest.MonkeyPatch.context() as patch:
        # Tools that keep their caches there would fetch them again.
        for name, folder in (("UV_CACHE_DIR", "uv"), ("PYRIGHT_PYTHON_CACHE_DIR", "pyright")):
            if name not in os.environ:
                patch.setenv(name, str(CACHE / folder))
        place = tmp_path_factory.mktemp("home")
        patch.setenv("HOME", str(place))
        yield place


@pytest.fixture(autouse=True)
def nothing_left():
    """No test leaves a file in the folder in which the tests are run."""
    before = set(os.listdir())
    yield
    assert not set(os.listdir()) - before - {"site"}
