"""`jina check`: each rule where it fires and where it does not, and whether that is so when the project is started."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jina.check.checking import check_path
from jina.check.rules import RULES
from jina.cli.main import COMMANDS
from tests.check.cases import CASES, Case

ROOT = Path(__file__).parents[2]
NAMES = [f"{number}-{case.rule}" for number, case in enumerate(CASES)]
START = """
import os, runpy
from jina import Deployment, Flow
if __name__ == '__main__':
    if os.path.exists('program.py'):
        runpy.run_path('program.py')
    elif os.path.exists('flow.yml'):
        with Flow.load_config('flow.yml'):
            pass
    elif os.path.exists('deployment.yml'):
        with Deployment.load_config('deployment.yml'):
            pass
    else:
        with Deployment(uses='config.yml'):
            pass
"""


def project(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def found(folder: Path) -> list[tuple[str, str, int, str, str]]:
    report, _ = check_path(folder, COMMANDS)
    return [(one.rule, one.path, one.line, one.severity, one.instead) for one in report.findings]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_rule_fires(case: Case, tmp_path: Path):
    findings = [one for one in found(project(tmp_path, case.fires)) if one[0] == case.rule]
    assert [(path, line, severity) for _, path, line, severity, _ in findings] == [
        (case.path, case.line, case.severity)
    ]
    assert case.instead in findings[0][-1]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_rule_holds_its_peace(case: Case, tmp_path: Path):
    findings = found(project(tmp_path, case.holds))
    assert [one for one in findings if one[0] == case.rule and one[3] != "note"] == []
    assert [one for one in findings if one[3] == "error"] == []


def test_every_rule_has_a_case():
    assert {case.rule for case in CASES} == set(RULES)


def test_every_rule_has_a_heading():
    page = (ROOT / "docs" / "reference" / "check.md").read_text(encoding="utf-8")
    assert re.findall(r"^### `([a-z-]+)`$", page, re.MULTILINE) == list(RULES)


def starts(folder: Path) -> tuple[bool, str]:
    (folder / "start_it.py").write_text(START)
    done = subprocess.run(
        [sys.executable, "start_it.py"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode == 0, done.stderr


REAL = [
    pytest.param(
        case,
        files,
        id=f"{name}-{kind}",
        marks=() if number in {3, 12} else pytest.mark.slow,
    )
    for number, (name, case) in enumerate(zip(NAMES, CASES, strict=True))
    for kind, files in (("fires", case.fires), ("holds", case.holds))
    if case.runs
]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("case", "files"), REAL)
def test_an_error_does_not_start_and_all_else_does(case: Case, files: dict[str, str], tmp_path: Path):
    report, _ = check_path(project(tmp_path, files), COMMANDS)
    started, said = starts(tmp_path)
    assert started == report.would_start, f"{report.findings}\n{said}"
