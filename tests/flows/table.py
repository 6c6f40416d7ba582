"""The scenario table as the tests see it; `scenarios.py` itself is a script's module, for Jina 3's Python as well."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.interop.programs import Program, free_ports

HERE = Path(__file__).resolve().parent
RECORDED = HERE / "jina3.json"


def load() -> Any:
    """The module `scenarios`, whose Executors are importable by worker processes."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    return importlib.import_module("scenarios")


def ask(side: str, name: str, protocol: str, folder: Path) -> dict:
    """What a row gives in a program of its own: `{"value": ...}` or `{"failure": ...}`."""
    program = Program(side, str(HERE / "run.py"), log=folder / f"{side}.log", PYTHONPATH=str(HERE))
    place = folder / side
    place.mkdir()
    question = {"scenario": name, "protocol": protocol, "port": free_ports(1)[0], "folder": os.fspath(place)}
    try:
        return program.ask(question, seconds=60)
    finally:
        program.kill()


def recorded() -> dict:
    """What Jina 3.34 gave when it was asked last (`python -m tests.flows.record`), by `scenario.protocol`."""
    return json.loads(RECORDED.read_text())
