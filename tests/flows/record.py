"""Ask Jina 3.34 for rows of the scenario table: `python -m tests.flows.record [SCENARIO...]` writes `jina3.json`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.flows.table import RECORDED, ask, load, recorded


def main(names: list[str]) -> None:
    """Record the named scenarios, or all."""
    found = recorded() if RECORDED.exists() else {}
    for name, protocol in load().rows():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                answer = ask("theirs", name, protocol, Path(folder))
            except (RuntimeError, TimeoutError) as error:
                answer = {"failure": type(error).__name__}
        found[f"{name}.{protocol}"] = answer
        sys.stderr.write(f"{name} {protocol} {answer}\n")
        RECORDED.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
