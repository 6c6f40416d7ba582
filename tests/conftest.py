"""What holds for all tests: nothing is written to the home folder of whoever runs them."""

from __future__ import annotations

import os
import signal
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
