"""Whatever users can name has a heading in the reference, and the reference is what the code says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from scripts import gen_reference
from scripts.reference_metrics import metric_families

from jina import errors
from jina.cli.main import COMMANDS, INTERNAL
from jina.config import ClientSpec, DeploymentSpec, ExecutorSpec, FlowSpec, GatewaySpec
from jina.config.markdown import own_options
from jina.config.options import AutoscaleOptions, BatchingOptions
from jina.documents import FIELDS
from jina.executor.decorators import PASSED, ContinuousBatching
from jina.server.pages import pages

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
SOURCES = sorted((ROOT / "src" / "jina").rglob("*.py"))
VARIABLE = re.compile(r"JINA_[A-Z_]+|NO_COLOR|SSL_CERT_FILE|GRPC_[A-Z_]+")


def without_code(text: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(page: str, folder: Path = REFERENCE) -> list[str]:
    """The headings of a page without their marks."""
    text = without_code((folder / page).read_text(encoding="utf-8"))
    return [line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#")]


def part(page: str, heading: str) -> list[str]:
    """The headings below a heading of the second level."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return [line.lstrip("#").strip("` ") for line in section[1].splitlines() if line.startswith("#")]


def variables_read() -> set[str]:
    """Names of environment variables in the calls of our code, the module paths of Jina 3 aside."""
    found = set()
    for source in SOURCES:
        if "legacy" in source.parts:
            continue
        text = source.read_text(encoding="utf-8")
        if "environ" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value):
                found.add(node.value)
    return found - {"JINA_"}


def test_the_reference_is_up_to_date():
    outdated = gen_reference.files()
    assert not outdated, f"run python -m scripts.gen_reference: {[str(path.relative_to(ROOT)) for path in outdated]}"


def test_an_outdated_page_is_noticed():
    page = "# A page\n\n<!-- generated: old-names -->\n<!-- /generated -->\n"
    assert "`parallel`" in gen_reference.filled(page)


@pytest.mark.parametrize(
    ("heading", "model"), [("Deployment", DeploymentSpec), ("Client", ClientSpec), ("Executor", ExecutorSpec)]
)
def test_every_option_has_a_heading(heading, model):
    listed = part("options.md", heading)
    missing = {field.alias or name for name, field in model.model_fields.items()} - set(listed)
    assert not missing


def test_every_option_of_batching_has_a_heading():
    assert part("executor.md", "Options of batching") == list(BatchingOptions.__annotations__)


def test_every_option_of_continuous_batching_has_a_heading():
    assert part("executor.md", "Options of continuous batching") == list(ContinuousBatching.__struct_fields__)


def test_every_option_of_autoscale_has_a_heading():
    assert part("deployment.md", "Options of autoscale") == list(AutoscaleOptions.__annotations__)


@pytest.mark.parametrize(
    ("heading", "model", "besides"),
    [("Flow", FlowSpec, (DeploymentSpec, GatewaySpec, ClientSpec)), ("Gateway", GatewaySpec, (DeploymentSpec,))],
)
def test_every_option_that_means_something_else_has_a_heading(heading, model, besides):
    listed = part("options.md", heading)
    own = own_options(model, besides)
    assert own - set(listed) == set()
    others = {field.alias or name for spec in besides for name, field in spec.model_fields.items()}
    assert {field.alias or name for name, field in model.model_fields.items()} - model.made_by_methods <= own | others


def test_every_route_has_a_heading():
    listed = headings("http.md")
    assert {path for path in {*pages(None, None), "/post"} if not any(f" {path}`" in line for line in listed)} == set()


def test_every_error_has_a_heading():
    classes = {
        name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, errors.JinaError)
    }
    assert classes <= set(headings("errors.md"))


def test_every_metric_has_a_heading():
    listed = headings("metrics.md")
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in metric_families()}
    assert len(names) > 20
    assert {name for name in names if f"`{name}`" not in listed} == set()


def test_every_command_has_a_heading():
    listed = headings("cli.md")
    assert {name for name in {**COMMANDS, **INTERNAL} if f"`jina {name}`" not in listed} == set()


def test_every_variable_has_a_heading():
    names = variables_read()
    assert {"JINA_LOG_LEVEL", "JINA_DEFAULT_HOST"} <= names
    listed = headings("environment.md")
    assert {name for name in names if f"`{name}`" not in listed} == set()


def test_every_argument_of_a_method_has_a_heading():
    listed = headings("executor.md")
    assert {name for name in PASSED if f"`{name}`" not in listed} == set()


def test_every_field_of_a_document_has_a_line():
    text = (REFERENCE / "documents.md").read_text(encoding="utf-8")
    assert {name for name in FIELDS if f"\n| `{name}`" not in text} == set()


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_into_the_repository_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", without_code(page.read_text(encoding="utf-8")))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_lines_of_the_changelog_are_short():
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > 120] == []


def test_llms_txt_lists_every_page():
    text = (ROOT / "docs" / "llms.txt").read_text(encoding="utf-8")
    pages = {path for path in (ROOT / "docs").rglob("*.md") if path.parent != ROOT / "docs"}
    assert len(pages) == text.count("\n- [")


def test_the_guarantees_name_tests_that_there_are():
    text = (ROOT / "docs" / "explanation" / "guarantees.md").read_text()
    python = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    go = "".join(file.read_text() for file in (ROOT / "consensus").glob("*_test.go"))
    there = {name for name, _ in re.findall(r"\bdef (test_\w+)( =|\()", python)}
    there |= {name for name, _ in re.findall(r"\b(Test\w+)( =|\()", go + python)}
    named = re.findall(r"`(test_\w+|Test\w+)`", text)
    assert len(named) > 20
    assert [name for name in named if name not in there] == []
    assert [name for name in re.findall(r"`(\w+/test_\w+\.py)`", text) if not (ROOT / "tests" / name).exists()] == []


def test_the_options_of_grpc_servers_are_listed():
    from jina.config.grpc_options import _SERVER

    text = (ROOT / "docs" / "how-to" / "limits.md").read_text().partition("## Options of gRPC channels")[0]
    assert re.findall(r"^\| `(grpc\.\S+)` \|", text, re.MULTILINE) == list(_SERVER)
