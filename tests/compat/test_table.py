"""Each row of the check table has a test that exists and runs, or says what is missing where users read it."""

import ast
import functools
from pathlib import Path

import pytest

from tests.compat.table import CHECKS, PARTLY, UNHELD

TESTS = Path(__file__).parent.parent
PAGE = (TESTS.parent / "docs" / "explanation" / "differences.md").read_text(encoding="utf-8")


@functools.cache
def functions(file):
    """Name -> whether it is skipped or expected to fail."""
    found = {}
    for node in ast.parse((TESTS / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = {ast.unparse(mark.func if isinstance(mark, ast.Call) else mark) for mark in node.decorator_list}
            found[node.name] = bool(marks & {"pytest.mark.skip", "pytest.mark.xfail"})
    return found


def partly():
    return [number for number, check in CHECKS.items() if check.lacks in PARTLY]


def test_there_are_133_rows():
    assert list(CHECKS) == list(range(1, 134))


@pytest.mark.parametrize("number", CHECKS)
def test_the_tests_of_a_row_exist(number):
    for test in CHECKS[number].tests.split():
        file, _, name = test.partition("::")
        assert name in functions(file), test
        assert not functions(file)[name], f"{test} does not run"
    assert CHECKS[number].tests


@pytest.mark.parametrize("number", [number for number, check in CHECKS.items() if check.missing])
def test_what_is_missing_is_told_to_users(number):
    assert CHECKS[number].missing in PAGE
    assert CHECKS[number].lacks in UNHELD | PARTLY


def test_few_rows_hold_in_part_only():
    assert len(partly()) <= 8


def test_nothing_is_said_to_lack_that_lacks_nothing():
    assert all(bool(check.missing) == bool(check.lacks) for check in CHECKS.values())
