"""Every code block of the README and the documentation runs and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import Page, blocks_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
QUICK = {"README.md"}


def with_code(page: Path) -> bool:
    return any(block.language in {"python", "bash"} for block in blocks_of(page.read_text(encoding="utf-8")))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=str(page.relative_to(ROOT)), marks=[] if page.name in QUICK else [pytest.mark.slow])
        for page in PAGES
        if with_code(page)
    ],
)
def test_page(page: Path, tmp_path: Path):
    Page(page, tmp_path).run()


def test_a_wrong_output_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1)\n```\n\n```text\n2\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md:5: printed"):
        Page(page, tmp_path).run()


def test_a_failing_block_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text('```python title="helper.py"\nx = 1\n```\n\n```bash\ntest -e helper.py\nfalse\n```\n')
    with pytest.raises(AssertionError, match=r"page\.md:5: exit code 1"):
        Page(page, tmp_path).run()


def test_the_readme_shows_code_early():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = next(block for block in blocks_of(text) if block.language == "python")
    assert first.line <= 40
    assert text.index("make demo") < text.index("\n## ", text.index("make demo"))
    assert len(text.splitlines()) <= 150


def test_the_readme_shows_a_flow_and_the_console():
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown == ["docs/how-to/flow.svg", "docs/how-to/console.png"]
    picture = ROOT / "docs" / "how-to" / "console.png"  # made by `make console-picture`
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.stat().st_size < 64 * 1024
