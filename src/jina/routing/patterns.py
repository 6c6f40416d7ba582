"""Regular expressions from clients, matched in bounded time (pure).

Python's `re` backtracks: `((a?){9}){9}X` against ten letters takes longer than any caller waits, and holds the
interpreter's lock meanwhile. Here the expression becomes a nondeterministic automaton of which all states advance
together (K. Thompson, "Regular Expression Search Algorithm", CACM 11(6), 1968), with a bound on the expression's
length, on the number of states, and on the steps of all matches together. `re` itself sees single characters and
classes only, so that these mean what Python says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal

MAX_LENGTH: Final = 1000
"""Characters of an expression."""

MAX_STATES: Final = 2000
"""States of its automaton; each repetition counts once for every time that it may occur."""

MAX_STEPS: Final = 20_000
"""States that are visited while names are compared, some 5 ms."""

_MAX_DEPTH: Final = 50


class PatternError(ValueError):
    """The expression is wrong, uses what needs backtracking, or is above a bound."""


Test = Callable[[str, int], bool]
"""Whether an automaton may go on at a position of the text: an assertion such as `^`."""

Single = Callable[[str], object]
"""Something true for a character that is matched."""

State = (
    tuple[Literal["single"], Single]
    | tuple[Literal["test"], Test]
    | tuple[Literal["split"], int, int]
    | tuple[Literal["jump"], int]
)


def _word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and (text[at].isalnum() or text[at] == "_")


def _boundary(text: str, at: int) -> bool:
    return _word(text, at - 1) != _word(text, at)


_ASSERTIONS: Final[dict[str, Test]] = {
    "^": lambda _, at: at == 0,
    "$": lambda text, at: at == len(text) or (at == len(text) - 1 and text[at] == "\n"),
    r"\A": lambda _, at: at == 0,
    r"\Z": lambda text, at: at == len(text),
    r"\b": _boundary,
    r"\B": lambda text, at: not _boundary(text, at),
}


class Pattern:
    """A compiled expression; made by `compile_pattern`."""

    __slots__ = ("_states", "text")

    def __init__(self, text: str, states: list[State]) -> None:
        self.text = text
        self._states = states

    def matching(self, names: list[str]) -> list[str]:
        """Those of `names` that the expression matches from their start, as `re.match` does.

        Raises `PatternError` where that would take more than `MAX_STEPS`.
        """
        budget = [MAX_STEPS]
        return [name for name in names if self._matches(name, budget)]

    def _matches(self, text: str, budget: list[int]) -> bool:
        current = self._reached([0], text, 0, budget)
        for at, character in enumerate(text):
            if current is None or not current:
                break
            following = [state + 1 for state in current if self._takes(state, character)]
            current = self._reached(following, text, at + 1, budget)
        return current is None

    def _takes(self, number: int, character: str) -> bool:
        state = self._states[number]
        return state[0] == "single" and bool(state[1](character))

    def _reached(self, starts: list[int], text: str, at: int, budget: list[int]) -> list[int] | None:
        """The states that wait for a character, None where the end of the expression is among those reached."""
        found: list[int] = []
        seen: set[int] = set()
        todo = starts
        while todo:
            number = todo.pop()
            if number in seen:
                continue
            seen.add(number)
            budget[0] -= 1
            if budget[0] < 0:
                raise PatternError("it is too complex")
            if number == len(self._states):
                return None
            state = self._states[number]
            if state[0] == "single":
                found.append(number)
            elif state[0] == "test":
                todo += [number + 1] if state[1](text, at) else []
            elif state[0] == "split":
                todo += state[1:]
            else:
                todo.append(state[1])
        return found


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> Pattern:
    """The expression, in Python's syntax; raises `PatternError`.

    Groups, alternatives, classes, quantifiers (lazy ones too, which match the same texts) and assertions about a
    position are known; backreferences, look-around, flags, atomic groups and possessive quantifiers are not.
    """
    if len(text) > MAX_LENGTH:
        raise PatternError(f"it has {len(text)} characters, {MAX_LENGTH} are allowed")
    return Pattern(text, _Reader(text).whole())


class _Reader:
    """Reads an expression by recursive descent; each part becomes states numbered from 0."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> list[State]:
        states = self._alternatives()
        if self._at < len(self._text):
            raise PatternError(f"')' at position {self._at} has no matching '('")
        return states

    def _next(self, *choices: str) -> str:
        """Take one of `choices` where it comes next; empty otherwise."""
        for choice in choices:
            if self._text.startswith(choice, self._at):
                self._at += len(choice)
                return choice
        return ""

    def _alternatives(self) -> list[State]:
        states = self._sequence()
        while self._next("|"):
            other = self._sequence()
            states = [
                ("split", 1, len(states) + 2),
                *_moved(states, 1),
                ("jump", len(states) + len(other) + 2),
                *_moved(other, len(states) + 2),
            ]
            _bounded(states)
        return states

    def _sequence(self) -> list[State]:
        states: list[State] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            states += _moved(self._repeated(), len(states))
            _bounded(states)
        return states

    def _repeated(self) -> list[State]:
        begin = self._at
        is_assertion = self._text[begin] in "^$" or self._text[begin : begin + 2] in _ASSERTIONS
        states = self._atom()
        times = self._times()
        if times is None:
            return states
        if is_assertion:
            raise PatternError(f"nothing to repeat at position {begin}")
        self._next("?")  # lazy: the same texts match
        if self._at < len(self._text) and self._times(peek=True) is not None:
            raise PatternError(f"a second quantifier at position {self._at}")
        return _repeat(states, *times)

    def _times(self, *, peek: bool = False) -> tuple[int, int | None] | None:
        """How often the part before may occur, None without a quantifier."""
        begin = self._at
        times: tuple[int, int | None] | None = None
        match self._next("*", "+", "?", "{"):
            case "*":
                times = (0, None)
            case "+":
                times = (1, None)
            case "?":
                times = (0, 1)
            case "{":
                times = self._counts()
        if peek or times is None:
            self._at = begin
        return times

    def _counts(self) -> tuple[int, int | None] | None:
        counts = re.compile(r"(\d{0,5})(,?)(\d{0,5})\}").match(self._text, self._at)
        if counts is None or counts[0] == "}":
            return None  # a brace that stands for itself
        self._at = counts.end()
        low = int(counts[1] or 0)
        high = (int(counts[3]) if counts[3] else None) if counts[2] else low
        if high is not None and high < low:
            raise PatternError(f"{{{counts[0]}: the least number is above the greatest")
        return low, high

    def _atom(self) -> list[State]:
        begin = self._at
        character = self._text[begin]
        if character == "(":
            return self._group()
        if character == "[":
            return [("single", self._class())]
        if self._times(peek=True) is not None:
            raise PatternError(f"nothing to repeat at position {begin}")
        if character in "^$":
            self._at += 1
            return [("test", _ASSERTIONS[character])]
        if character == "\\":
            return [self._escape()]
        self._at += 1
        return [("single", _not_newline if character == "." else character.__eq__)]

    def _group(self) -> list[State]:
        begin = self._at
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise PatternError(f"groups are nested more than {_MAX_DEPTH} deep")
        self._at += 1
        if self._next("?") and not self._next(":"):
            if not (self._next("P<") and (name := re.compile(r"\w+>").match(self._text, self._at))):
                raise PatternError(f"the group at position {begin} needs backtracking or sets flags; use (?:...)")
            self._at = name.end()
        states = self._alternatives()
        if not self._next(")"):
            raise PatternError(f"the group at position {begin} is not closed")
        self._depth -= 1
        return states

    def _class(self) -> Single:
        begin = self._at
        self._at += 1
        self._next("^")
        self._next("]")  # the first one stands for itself
        while not self._next("]"):
            if self._at >= len(self._text):
                raise PatternError(f"the class at position {begin} is not closed")
            self._at += 2 if self._text[self._at] == "\\" else 1
        return self._single(begin)

    def _escape(self) -> State:
        begin = self._at
        two = self._text[begin : begin + 2]
        longer = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|0[0-7]{0,2})").match(self._text, begin)
        self._at = longer.end() if longer else begin + 2
        if two in _ASSERTIONS:
            return ("test", _ASSERTIONS[two])
        if two[1:].isdigit() and not longer:
            raise PatternError(f"the backreference {two} at position {begin} needs backtracking")
        return ("single", self._single(begin))

    def _single(self, begin: int) -> Single:
        part = self._text[begin : self._at]
        try:
            return re.compile(part).fullmatch
        except re.error as error:
            raise PatternError(f"{error} (in {part!r} at position {begin})") from None


def _not_newline(character: str) -> bool:
    return character != "\n"


def _moved(states: list[State], by: int) -> list[State]:
    """The states, with the numbers that they name `by` higher."""
    moved: list[State] = []
    for state in states:
        if state[0] == "split":
            moved.append(("split", state[1] + by, state[2] + by))
        elif state[0] == "jump":
            moved.append(("jump", state[1] + by))
        else:
            moved.append(state)
    return moved


def _repeat(states: list[State], low: int, high: int | None) -> list[State]:
    copies = low + (1 if high is None else high - low)
    if copies * (len(states) + 2) > MAX_STATES:
        raise PatternError("it is too complex")
    found: list[State] = []
    for _ in range(low):
        found += _moved(states, len(found))
    if high is None:
        at = len(found)
        found += [("split", at + 1, at + len(states) + 2), *_moved(states, at + 1), ("jump", at)]
        return found
    for _ in range(high - low):
        at = len(found)
        found += [("split", at + 1, at + len(states) + 1), *_moved(states, at + 1)]
    return found


def _bounded(states: list[State]) -> None:
    if len(states) > MAX_STATES:
        raise PatternError("it is too complex")
