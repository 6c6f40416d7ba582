"""Builds what `pip install --find-links OUT` needs: `python scripts/build_wheels.py OUT [AGENT_WHEEL...]`.

- `rejina`: the package.
- `jina` 4: no file, but a dependency on `rejina` of the same version, with the same extras, so that requirement lines
  such as `jina>=3` are met from this folder. It depends on the extras whose work Jina 3 did without any: `standard` and
  `stateful`. Extras that Jina 3 had and this package has not are there and add nothing.
- The wheels of the agent that are given are copied.

Wheels of these names that are in OUT already are removed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OURS = ("rejina", "rejina_raft", "jina")
OLD_EXTRAS = ("all", "cicd", "core", "devel", "perf", "standard", "test")
"""Extras of Jina 3 that are no names of distributions."""
ALWAYS = ("standard", "stateful")
"""Extras for what Jina 3 could do without any: WebSocket, traces, `stateful=True`."""


def main() -> None:
    """Build into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("agents", type=Path, nargs="*")
    given = parser.parse_args()
    out: Path = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for name in OURS:
        for file in out.glob(f"{name}-*.whl"):
            file.unlink()
    build(ROOT, out)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pyproject.toml").write_text(jina(), encoding="utf-8")
        build(Path(folder), out)
    for file in given.agents:
        shutil.copy(file, out)
    print("\n".join(str(file) for file in sorted(out.glob("*.whl"))))


def build(source: Path, out: Path) -> None:
    """The wheel of the project in a folder, with the hatchling of this environment."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL)


def jina() -> str:
    """The pyproject.toml of the empty `jina`."""
    ours: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = ours["name"], ours["version"]
    extras = {extra: [f"{name}[{extra}]=={version}"] for extra in ours["optional-dependencies"]}
    extras |= {extra: [] for extra in OLD_EXTRAS if extra not in extras}
    lines = [
        "[build-system]",
        'requires = ["hatchling>=1.27"]',
        'build-backend = "hatchling.build"',
        "[project]",
        'name = "jina"',
        f'version = "{version}"',
        f'description = "No files: requirement lines that name jina get {name}, an independent implementation."',
        f'requires-python = "{ours["requires-python"]}"',
        f'license = "{ours["license"]}"',
        f'dependencies = ["{name}[{",".join(ALWAYS)}]=={version}"]',
        "[project.optional-dependencies]",
        *(f'"{extra}" = {needed}' for extra, needed in extras.items()),
        "[tool.hatch.build.targets.wheel]",
        "bypass-selection = true",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
