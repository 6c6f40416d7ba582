"""Expressions from clients: the same answers as `re.match` where both answer, in bounded time everywhere."""

from __future__ import annotations

import contextlib
import re
import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jina.routing.patterns import MAX_LENGTH, PatternError, compile_pattern

NAMES = ["a", "ab", "abc", "b", "encoder", "executor0", "executor1", "index_2", "index-2", "ünï", "x" * 30, ""]


@pytest.mark.parametrize(
    "pattern",
    [
        *("", "a", "a|b", "executor[01]", r"executor\d+", "index.2$", "^enc", "(a|b)*c", "(?:ab)+", "(?P<n>a)b"),
        *(
            r"\w+",
            r"\W",
            r"[^a-e]",
            "[]a]b",
            r"[\]a]",
            "a{2}",
            "a{0,1}b",
            "x{3,}",
            "x{,4}$",
            "a??b",
            r"\bab\b",
            r"a\B",
            "a{",
            "a{b}",
        ),
        *(
            r"\x61b",
            r"\u0061",
            ".*",
            "(|a)b",
            "a||b",
            r"index\-2",
            r"\Aab\Z",
            "()",
            "(a|)*b",
            "[a-c]{2,3}$",
            r"\.",
            "}",
        ),
    ],
)
def test_answers_as_re_does(pattern):
    assert compile_pattern(pattern).matching(NAMES) == [name for name in NAMES if re.match(pattern, name)]


_PARTS = st.sampled_from(
    [
        "a",
        "b",
        "x",
        "|",
        "(",
        ")",
        "(?:",
        "*",
        "+",
        "?",
        "{2}",
        "{,2}",
        "{1,}",
        "[ab]",
        "[^a]",
        ".",
        r"\w",
        r"\d",
        "^",
        "$",
        r"\b",
        "{",
        "}",
        "]",
        "\\",
    ]
)


@given(st.lists(_PARTS, max_size=12).map("".join), st.lists(st.text("abx1\n", max_size=6), max_size=4))
@settings(max_examples=1000)
def test_answers_as_re_does_on_generated_expressions(pattern, names):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            known = re.compile(pattern)
    except re.error:
        with pytest.raises(PatternError):
            compile_pattern(pattern)
        return
    if re.search(r"[*+?}]\+", pattern):  # a possessive quantifier, the only form of these parts that only `re` knows
        return
    assert compile_pattern(pattern).matching(names) == [name for name in names if known.match(name)]


@pytest.mark.parametrize(
    "pattern",
    [
        r"(((\w?){9}){9}){9}X",
        "(a*)*X",
        "(a|a)*X",
        "(a|aa)+$",
        "((a?){40}a{40})X",
        "(x+x+)+y",
        ".*.*.*.*.*.*.*.*.*.*X",
        "(" * 200,
    ],
)
def test_expressions_that_make_re_backtrack_end_soon(pattern):
    began = time.process_time()
    with contextlib.suppress(PatternError):
        assert compile_pattern(pattern).matching(["x" * 40, "a" * 40]) in ([], ["a" * 40])
    assert time.process_time() - began < 2, "seconds of CPU"


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(a)\\1", "backreference"),
        ("(?=a)", "backtracking"),
        ("(?i)a", "flags"),
        ("(?>a)", "backtracking"),
        ("a*+", "second quantifier"),
        ("*a", "nothing to repeat"),
        ("(a", "not closed"),
        ("a)", r"has no matching '\('"),
        ("[a", "not closed"),
        ("a{3,2}", "least number"),
        ("\\", "escape"),
        ("a" * (MAX_LENGTH + 1), "characters"),
        ("(a{99}){99}", "complex"),
    ],
)
def test_what_is_refused_and_why(pattern, words):
    with pytest.raises(PatternError, match=words):
        compile_pattern(pattern)
