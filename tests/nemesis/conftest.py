"""Runs need an agent that is built for them; tests of theirs are skipped where it is not."""

import pytest

from tests.nemesis.running import AGENT


def pytest_collection_modifyitems(items):
    if not AGENT.exists():
        for item in items:
            if "tests/nemesis" in str(item.path) and item.get_closest_marker("chaos"):
                item.add_marker(pytest.mark.skip(reason="the agent of these tests is not built: make agent-faults"))
