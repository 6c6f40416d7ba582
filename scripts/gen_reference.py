"""Write the parts of `docs` that the code decides, `docs/llms.txt`, the picture of a Flow and the home page's figure.

A page holds what is generated between two comments and anything by hand around them::

    <!-- generated: errors -->
    <!-- /generated -->

    python -m scripts.gen_reference           writes
    python -m scripts.gen_reference --check   exits 1 and names what is out of date
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.home_figure import home_figure
from scripts.reference_parts import GENERATED

DOCS = Path(__file__).resolve().parent.parent / "docs"
MARKED = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
SECTIONS = (
    ("tutorial", "Tutorial"),
    ("how-to", "How-to"),
    ("reference", "Reference"),
    ("explanation", "Explanation"),
    ("decisions", "Decisions"),
)


def filled(text: str) -> str:
    """The page with everything between the comments written again."""

    def one(match: re.Match[str]) -> str:
        return f"{match[1]}\n{GENERATED[match[2]]().strip()}\n\n{match[3]}"

    return MARKED.sub(one, text)


def llms() -> str:
    """An index of the pages for readers that are programs (https://llmstxt.org)."""
    lines = ["# jina", "", "> Serve a Python class as a network service: gRPC, HTTP and WebSocket.", ""]
    for folder, title in SECTIONS:
        lines += [f"## {title}", ""]
        for page in sorted((DOCS / folder).glob("*.md")):
            heading, first = _start_of(page.read_text(encoding="utf-8"))
            lines.append(f"- [{heading}]({folder}/{page.stem}/): {first}")
        lines.append("")
    return "\n".join(lines)


def flow_picture() -> str:
    """The picture of the Flow in `how-to/flows.md`, drawn by the command that the page shows."""
    page = (DOCS / "how-to" / "flows.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for name, text in re.findall(r'^```\w+ title="([\w.]+)"\n(.*?)^```', page, re.MULTILINE | re.DOTALL):
            (Path(folder) / name).write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "jina", "export", "flowchart", "flow.yml", "flow.svg", "--endpoints"]
        subprocess.run(command, cwd=folder, check=True)
        return (Path(folder) / "flow.svg").read_text(encoding="utf-8")


def _start_of(text: str) -> tuple[str, str]:
    """Title and first sentence of a page."""
    heading, _, body = text.partition("\n")
    paragraph = " ".join(body.strip().partition("\n\n")[0].split())
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", paragraph)
    return heading.lstrip("# "), re.split(r"(?<=[.:])\s", plain, maxsplit=1)[0]


def files() -> dict[Path, str]:
    """Every file that is out of date -> what it should hold."""
    wanted = {page: filled(page.read_text(encoding="utf-8")) for page in sorted(DOCS.rglob("*.md"))}
    wanted[DOCS / "llms.txt"] = llms()
    wanted[DOCS / "how-to" / "flow.svg"] = flow_picture()
    wanted[DOCS / "assets" / "cpu-per-request.svg"] = home_figure(DOCS / "explanation" / "performance.json")
    return {
        path: text for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def main() -> int:
    """Write, or with --check compare; gives the exit code."""
    outdated = files()
    if "--check" in sys.argv[1:]:
        for path in outdated:
            print(f"{path}: out of date; run python -m scripts.gen_reference", file=sys.stderr)
        return 1 if outdated else 0
    for path, text in outdated.items():
        path.write_text(text, encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
