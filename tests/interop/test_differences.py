"""The table of differences is what the tests of this folder assert."""

from pathlib import Path

import pytest

from tests.interop.differences import KNOWN

pytestmark = pytest.mark.interop

SOURCES = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))


@pytest.mark.parametrize("name", KNOWN)
def test_a_test_asserts(name):
    assert f'"{name}"' in SOURCES
