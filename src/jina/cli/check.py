"""`jina check`: what of a project written for Jina 3 will differ here, without running it."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from jina.cli.main import COMMANDS, GROUPS

if TYPE_CHECKING:
    from jina.check.checking import Report
    from jina.check.project import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The project, the form, and whether to change it."""
    parser.add_argument("path", metavar="PATH", help="folder of the project, or one file of it; nothing of it is run")
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")
    parser.add_argument("--fix", action="store_true", help="change what is mechanical, and print the changes as a diff")
    parser.add_argument("--diff", action="store_true", help="print what --fix would change, and change nothing")


def run(options: argparse.Namespace) -> int:
    """Print what was found; 1 where the project would not start."""
    from jina.check import checking
    from jina.check.project import diff

    known = [*COMMANDS, *GROUPS]
    report, project = checking.check_path(Path(options.path), known)
    after, left = checking.fix(project, report, known) if options.fix or options.diff else (project, report)
    changes = checking.changes(project, after)
    diffs = {path: diff(path, *texts) for path, texts in changes.items()}
    if options.fix:
        for path, (_, text) in changes.items():
            checking.write(project, path, text)
        report = left
    if options.json:
        print(json.dumps(_as_json(report, diffs), indent=2, ensure_ascii=False))
    else:
        print("".join(diffs.values()), end="")
        for finding in report.findings:
            print(_line(finding))
        print(_summary(report, len(changes) if options.fix else 0))
    return 0 if report.would_start else 1


def _line(finding: Finding) -> str:
    text = " ".join(finding.message.split())
    line = f"{finding.path}:{finding.line}:{finding.column}: {finding.severity}: {text} [{finding.rule}]"
    return f"{line}\n    instead: {finding.instead}" if finding.instead else line


def _summary(report: Report, changes: int) -> str:
    count = {
        kind: sum(finding.severity == kind for finding in report.findings) for kind in ("error", "warning", "note")
    }
    parts = ", ".join(f"{number} {kind}{'' if number == 1 else 's'}" for kind, number in count.items())
    mechanical = sum(bool(finding.edits) for finding in report.findings)
    after = f"; --fix changes {mechanical} of them" if mechanical else ""
    before = f"changed {changes} file{'' if changes == 1 else 's'}; " if changes else ""
    return f"{before}{report.files} files read: {parts}{after}"


def _as_json(report: Report, diffs: dict[str, str]) -> dict[str, object]:
    findings = []
    for finding in report.findings:
        values = dataclasses.asdict(finding)
        values["fixable"] = bool(values.pop("edits"))
        findings.append(values)
    return {"files": report.files, "would_start": report.would_start, "findings": findings, "changes": diffs}
