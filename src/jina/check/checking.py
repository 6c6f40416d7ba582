"""All rules over a project, and the changes that are mechanical."""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from jina.check.executors import check_executors, find_executors
from jina.check.options import Calls, check_yaml, hub_names
from jina.check.project import Finding, Project, Source, changed, read_project
from jina.check.python import Module, check_imports, read_module
from jina.check.requirements import (
    check_commands,
    check_dockerfile,
    check_metadata,
    check_requirements,
    is_dockerfile,
    is_requirements,
)

_MOST_ROUNDS = 20
_METADATA = frozenset({"setup.py", "pyproject.toml"})


@dataclass(frozen=True)
class Report:
    """What was found, in the order of files and places, and how many files were read."""

    findings: tuple[Finding, ...]
    files: int

    @property
    def would_start(self) -> bool:
        """Whether nothing was found that keeps the project from starting."""
        return all(finding.severity != "error" for finding in self.findings)


def check_path(path: Path, commands: Collection[str] = ()) -> tuple[Report, Project]:
    """What will differ in a project or a file; `commands` are those that `jina` has on the command line.

    Raises BadConfigSource where there is nothing at the path.
    """
    project = read_project(path, _is_wanted)
    return check(project, commands), project


def check(project: Project, commands: Collection[str] = ()) -> Report:
    """What will differ in a project that was read already."""
    findings = list(project.findings)
    modules: list[Module] = []
    for source in project.sources:
        if source.name.endswith(".py"):
            module = read_module(source)
            if isinstance(module, Finding):
                findings.append(module)
            elif module is not None:
                modules.append(module)
    executors = find_executors(modules)
    for module in modules:
        findings += check_imports(module)
        findings += Calls(module).check(executors)
        findings += hub_names(module)
    findings += check_executors(executors)
    for source in project.sources:
        findings += _of_file(source, project, commands)
    return Report(tuple(_in_order(findings)), len(project.sources))


def _of_file(source: Source, project: Project, commands: Collection[str]) -> list[Finding]:
    name = source.name
    if name.endswith((".yml", ".yaml")):
        return list(check_yaml(source, project.root.resolve(), [f"/{one.path}" for one in project.sources]))
    if is_requirements(name):
        return list(check_requirements(source))
    if name in _METADATA:
        return list(check_metadata(source))
    if is_dockerfile(name):
        return list(check_dockerfile(source, commands))
    return list(check_commands(source, commands)) if name.endswith(".sh") else []


def _is_wanted(name: str) -> bool:
    return (
        name.endswith((".py", ".yml", ".yaml", ".sh"))
        or name in _METADATA
        or is_requirements(name)
        or is_dockerfile(name)
    )


def _in_order(findings: list[Finding]) -> list[Finding]:
    """By file and place, each once: of one rule at one place the first counts."""
    order = {"error": 0, "warning": 1, "note": 2}
    found: dict[tuple[str, int, int, str, str], Finding] = {}
    for finding in sorted(findings, key=lambda one: order[one.severity]):
        message = "" if finding.rule == "hub-uses" else finding.message
        found.setdefault((finding.path, finding.line, finding.column, finding.rule, message), finding)
    return sorted(found.values(), key=lambda one: (one.path, one.line, one.column, order[one.severity]))


def fixed(source: Source, findings: Collection[Finding]) -> str:
    """The text with what is mechanical changed; as it was where the result could not be read any more."""
    own = [finding for finding in findings if finding.path == source.path and finding.edits]
    text = changed(source.text, own)
    return text if text == source.text or _is_readable(source, text) else source.text


def _is_readable(source: Source, text: str) -> bool:
    try:
        if source.name.endswith(".py"):
            ast.parse(text.removeprefix("\ufeff"))
        elif source.name.endswith((".yml", ".yaml")):
            yaml.compose(text, Loader=yaml.SafeLoader)
    except (SyntaxError, ValueError, RecursionError, MemoryError, yaml.YAMLError):
        return False
    return True


def fix(project: Project, report: Report, commands: Collection[str] = ()) -> tuple[Project, Report]:
    """The project with what is mechanical changed, and what is left to be found; nothing is written.

    Changes that touch one another are made one after the other, so that a second fix finds nothing to change.
    """
    for _ in range(_MOST_ROUNDS):
        sources = [Source(source.path, fixed(source, report.findings)) for source in project.sources]
        if all(new.text == old.text for new, old in zip(sources, project.sources, strict=True)):
            break
        project = replace(project, sources=sources)
        report = check(project, commands)
    return project, report


def changes(before: Project, after: Project) -> dict[str, tuple[str, str]]:
    """Path -> text before and after, for the files that differ."""
    pairs = zip(before.sources, after.sources, strict=True)
    return {old.path: (old.text, new.text) for old, new in pairs if old.text != new.text}


def write(project: Project, path: str, text: str) -> None:
    """Replace a file of the project whole, with its mode kept; an error leaves the old one."""
    file = project.root / path
    part = file.with_name(f".{file.name}.jina-check")
    try:
        with part.open("w", encoding="utf-8", newline="") as opened:
            opened.write(text)
        part.chmod(file.stat().st_mode & 0o7777)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
