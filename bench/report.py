"""The results of a case as a table with verdicts, as JSON and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.stats import Ratio


@dataclass
class Check:
    """One figure with its interval; with a bound it is held against that: at most, or with `least` at least."""

    what: str
    found: Ratio
    bound: float | None = None
    least: bool = False

    def verdict(self) -> str:
        """`met`, `not met` or `not resolved`; `-` without a bound."""
        if self.bound is None:
            return "-"
        return self.found.at_least(self.bound) if self.least else self.found.at_most(self.bound)


@dataclass
class Section:
    """What came of one case. `bars` (name -> value in `unit`, our own first) are drawn."""

    title: str
    head: list[str]
    rows: list[list[Any]]
    checks: list[Check] = field(default_factory=list)
    note: str = ""
    unit: str = ""
    bars: dict[str, float] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)

    def recorded(self) -> dict[str, Any]:
        """As JSON can hold it, with the verdicts."""
        return {**asdict(self), "checks": [{**asdict(one), "verdict": one.verdict()} for one in self.checks]}


def restored(record: Mapping[str, Any]) -> Section:
    """The section of a record."""
    names = ("title", "head", "rows", "note", "unit", "bars")
    checks = [Check(c["what"], Ratio(**c["found"]), c["bound"], c["least"]) for c in record["checks"]]
    return Section(checks=checks, **{name: record[name] for name in names})


def table(section: Section) -> str:
    """The rows, then the checks, as Markdown."""
    parts = [_markdown(section.head, section.rows)] if section.rows else []
    if section.checks:
        rows = [
            [
                check.what,
                str(check.found),
                "-" if check.bound is None else f"{'>=' if check.least else '<='} {check.bound:.3g}",
                check.verdict(),
            ]
            for check in section.checks
        ]
        parts.append(_markdown(["figure", "median (95 % interval)", "bound", "result"], rows))
    return "\n\n".join(parts)


def page(records: Mapping[str, Mapping[str, Any]]) -> str:
    """All records as Markdown sections."""
    texts = []
    for record in records.values():
        about = f"{record['rounds']} rounds, Python {record['python']}, {record['when']}. {record['note']}".rstrip()
        texts.append(f"### {record['title']}\n\n{about}\n\n{table(restored(record))}\n")
    return "\n".join(texts)


def _markdown(head: list[str], rows: list[list[Any]]) -> str:
    marks = ["---" if i == 0 else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in (head, marks, *rows))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
