"""The one figure of the home page, drawn from the measurements that `docs/explanation/performance.md` lists."""

from __future__ import annotations

import json
from pathlib import Path

CASE = "http_text"
NAMES = {
    "ours-http": "jina",
    "bare-http": "uvicorn alone, without a framework",
    "mosec": "mosec",
    "litserve": "LitServe",
    "bentoml": "BentoML",
    "jina3-http-direct": "Jina 3, without its gateway",
    "jina3-http-default": "Jina 3",
}
WIDTH, LEFT, ROW, TOP, BAR = 720, 250, 26, 44, 390


def home_figure(measured: Path) -> str:
    """An SVG with a bar for each server: microseconds of processor time for one request."""
    case = json.loads(measured.read_text(encoding="utf-8"))[CASE]
    found = sorted((row[1], NAMES[row[0]]) for row in case["rows"] if row[0] in NAMES)
    most, height = found[-1][0], TOP + ROW * len(found) + 12
    said = "; ".join(f"{name} {value:.0f}" for value, name in found)
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    label = f'role="img" aria-label="Microseconds of processor time for one request: {said}"'
    title = f"Processor time of the server for one request ({case['title']}), in microseconds"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" font-size="13" {label}>',
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#fff"/>',
        f'<text x="16" y="26" font-weight="bold" fill="#14212b">{title}</text>',
    ]
    for place, (value, name) in enumerate(found):
        y, long, ours = TOP + ROW * place, max(2.0, value / most * BAR), name == "jina"
        weight, ink = (' font-weight="bold"', "#0b7a86") if ours else ("", "#9aa8b5")
        parts += [
            f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end" fill="#14212b"{weight}>{name}</text>',
            f'<rect x="{LEFT}" y="{y + 2}" width="{long:.1f}" height="18" rx="2" fill="{ink}"/>',
            f'<text x="{LEFT + long + 8:.1f}" y="{y + 15}" fill="#14212b">{value:.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
