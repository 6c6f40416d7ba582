"""`jina export schema`: the JSON Schema of the YAML files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to write."""
    parser.add_argument(
        "--schema-path",
        "--json-path",
        nargs="+",
        default=[],
        metavar="FILE",
        help="files to write; standard output if none",
    )


def run(options: argparse.Namespace) -> int:
    """Write or print the schema."""
    from jina.spec.json_schema import json_schema

    text = json.dumps(json_schema(), indent=2)
    for path in options.schema_path:
        Path(path).write_text(text + "\n", encoding="utf-8")
    if not options.schema_path:
        print(text)
    return 0
