"""The table of differences is what the tests of this folder, and the scenarios of Flows, assert."""

from pathlib import Path

import pytest

from tests.interop.differences import KNOWN

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent
SOURCES = "".join(path.read_text() for path in [*HERE.glob("test_*.py"), HERE.parent / "flows" / "scenarios.py"])


@pytest.mark.parametrize("name", KNOWN)
def test_a_test_asserts(name):
    assert f'"{name}"' in SOURCES
