"""The figures of the code; and real requests, traced, run the files that the page on architecture names for them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import code_figures

from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "explanation" / "architecture.md"
SOURCE = ROOT / "src" / "jina"
HTTP = "One HTTP request to a Deployment"
GRPC = "One gRPC request through a gateway"
WRITE = "One write of a stateful Deployment"
SIGTERM = "One SIGTERM to a Flow"
CRASH = "One crash and its restart"
IN_WORKERS = "In each worker, one after the other:"

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are found by /proc"),
]


@pytest.fixture(scope="module")
def report():
    """What scripts/code_figures.py prints."""
    command = [sys.executable, str(ROOT / "scripts" / "code_figures.py"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def section(heading: str) -> str:
    """The text below a heading of the second level."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{PAGE.name} has no heading {heading!r}"
    return found[1]


def steps(text: str) -> list[str]:
    """The numbered steps."""
    return re.findall(r"^\d+\. .*?(?=\n\n|\n\d+\. |\Z)", text, re.MULTILINE | re.DOTALL)


def named(text: str) -> set[str]:
    """The files of the package that the steps name."""
    return {file for step in steps(text) for file in re.findall(r"`(\w+/\w+\.py)`", step)}


@pytest.mark.slow
def test_the_page_names_the_files_that_an_http_request_runs(report):
    assert named(section(HTTP)) == set(report["files"]["HTTP request to a Deployment"])


@pytest.mark.slow
def test_the_page_names_the_files_that_a_grpc_request_runs(report):
    in_gateway, _, in_worker = section(GRPC).partition(IN_WORKERS)
    gateway = set(report["files"]["gRPC request to a Flow, in its gateway"])
    worker = set(report["files"]["gRPC request to a Flow, in a worker"])
    assert named(in_gateway) == gateway
    assert named(in_worker) <= worker
    assert named(section(GRPC)) == gateway | worker


@pytest.mark.slow
def test_the_files_that_the_page_names_for_a_write_run():
    assert named(section(WRITE)) <= set(code_figures.files_of(code_figures.written()))


@pytest.mark.slow
def test_the_files_that_the_page_names_for_a_stop_run():
    assert named(section(SIGTERM)) <= code_figures.stopped_flow()


@pytest.mark.parametrize("heading", [HTTP, GRPC, WRITE, SIGTERM, CRASH])
def test_a_walk_has_about_twelve_steps_that_name_files(heading):
    found = steps(section(heading))
    assert 10 <= len(found) <= 14
    assert sum(bool(re.search(r"`\w+/\w+\.(py|go)`", step)) for step in found) >= len(found) - 1


def test_every_file_that_the_page_names_exists():
    text = PAGE.read_text(encoding="utf-8")
    ours = set(re.findall(r"`(\w+/\w+\.py)`", text))
    agents = set(re.findall(r"`(consensus/\w+\.go)`", text))
    assert len(ours) > 30
    assert agents
    assert [file for file in ours if not (SOURCE / file).is_file()] == []
    assert [file for file in agents if not (ROOT / file).is_file()] == []


@pytest.mark.slow
def test_the_figures_are_those_of_this_tree(report):
    figures = report["figures"]
    files = list(SOURCE.rglob("*.py"))
    assert figures["modules"] == len(files)
    assert figures["lines"] == sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    assert 0 < figures["median lines of a module"] < figures["lines of the largest module"] < figures["lines"]
    assert 0 < figures["modules of at most 60 lines"] < figures["modules outside legacy"] < figures["modules"]
    assert figures["public top-level functions and classes"] > 100
    assert figures["imports inside functions"] > 0
    assert all(0 < value < 100 for name, value in figures.items() if name.startswith("%"))
    for kind, run in report["files"].items():
        assert figures[f"{kind}: modules"] == len(run) > 5
        assert figures[f"{kind}: functions"] > len(run)
