"""Results as horizontal bars: one SVG text, without a library."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

WIDTH, LEFT, RIGHT, BAR, GAP = 760, 180, 110, 16, 5
OURS, OTHERS = "#0b6e6e", "#9aa5b1"


def svg(records: Mapping[str, Mapping[str, Any]]) -> str:
    """A panel for each record that has bars, each with a scale of its own from 0; the first bar is ours."""
    parts: list[str] = []
    top = 10
    for record in records.values():
        if record["bars"]:
            panel, top = _panel(record, top)
            parts += panel
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}" '
        'font-family="sans-serif" font-size="12" role="img" aria-label="Results of the benchmark">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>', *parts, "</svg>"]) + "\n"


def _panel(record: Mapping[str, Any], top: int) -> tuple[list[str], int]:
    bars = record["bars"]
    most = max(bars.values()) or 1.0
    parts = [
        f'<text x="10" y="{top + 14}" font-weight="bold">{escape(record["title"])} ({escape(record["unit"])})</text>'
    ]
    top += 24
    for number, (name, value) in enumerate(bars.items()):
        length = max(1.0, value / most * (WIDTH - LEFT - RIGHT))
        base = top + BAR - 4
        parts += [
            f'<text x="{LEFT - 8}" y="{base}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{OTHERS if number else OURS}"/>',
            f'<text x="{LEFT + length + 6:.1f}" y="{base}">{value:,.{0 if value >= 100 else 2}f}</text>',
        ]
        top += BAR + GAP
    return parts, top + 14
