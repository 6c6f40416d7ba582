"""`jina executor`, `deployment`, `flow`, `gateway` and `dev`: serve until a signal ends it."""

from __future__ import annotations

import argparse
import ast
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jina.config import DeploymentSpec, FlowSpec, GatewaySpec
from jina.config.command_line import add_options, given
from jina.errors import JinaError, UsageError

if TYPE_CHECKING:
    from jina.orchestration import Deployment, Flow


def add_executor(parser: argparse.ArgumentParser) -> None:
    """All options of a Deployment; `--uses` names the Executor."""
    add_options(parser, DeploymentSpec)


def run_executor(options: argparse.Namespace) -> int:
    """Construct the Executor, serve, close it."""
    from jina.config.rules import is_image
    from jina.orchestration import Deployment
    from jina.orchestration.foreground import is_part, serve_part, serve_plan

    if os.environ.get("JINA_PLAN") == "stdin":
        return serve_plan(given(options))
    if is_part(given(options)):
        return serve_part(given(options), words=sys.argv[1:])
    deployment = Deployment.from_command_line(given(options), "executor")
    if not deployment.spec.reload and not is_image(deployment.spec.uses):
        return deployment.serve_here(words=sys.argv[1:])
    with deployment:  # what is restarted has to be a process of its own
        deployment.block()
    return 0


def add_deployment(parser: argparse.ArgumentParser) -> None:
    """All options of a Deployment; `--uses` may be a Deployment's YAML, whose options the others override."""
    add_options(parser, DeploymentSpec)


def run_deployment(options: argparse.Namespace) -> int:
    """Start, block, stop."""
    from jina.orchestration import Deployment

    deployment = Deployment.from_command_line(given(options))
    with deployment:
        deployment.block()
    return 0


def add_flow(parser: argparse.ArgumentParser) -> None:
    """All options of a Flow; `--uses` is its YAML, whose options the others override."""
    add_options(parser, FlowSpec)


def run_flow(options: argparse.Namespace) -> int:
    """Start, block, stop."""
    from jina.orchestration import Flow

    asked = given(options)
    if asked.get("uses") is None:
        raise UsageError("jina flow: --uses is missing, the YAML file of the Flow", help="jina flow --uses flow.yml")
    with Flow.from_command_line(asked) as flow:
        flow.block()
    return 0


def add_gateway(parser: argparse.ArgumentParser) -> None:
    """All options of a gateway; the graph is JSON, `--uses` a gateway class of one's own or its YAML."""
    add_options(parser, GatewaySpec)


def run_gateway(options: argparse.Namespace) -> int:
    """Connect to the Executors, serve, drain."""
    from jina.orchestration.foreground import serve_gateway_here

    return serve_gateway_here(given(options))


def add_mcp(parser: argparse.ArgumentParser) -> None:
    """All options of a Deployment; `--uses` names the Executor, or the YAML of an Executor, a Deployment or a Flow."""
    add_options(parser, DeploymentSpec)


def run_mcp(options: argparse.Namespace) -> int:
    """Construct the Executors in this process and answer until standard input ends; only messages go to stdout."""
    from jina.apis.mcp_stdio import own_output
    from jina.orchestration import Deployment, Flow

    asked = given(options)
    uses = asked.get("uses")
    if uses is None:
        raise UsageError("jina mcp: --uses is missing, what is served", help="jina mcp --uses executor.yml")
    is_flow = isinstance(uses, str) and uses.endswith((".yml", ".yaml")) and _kind(uses) == "Flow"
    kind = Flow if is_flow else Deployment
    with own_output() as write, kind.from_command_line(asked, "mcp").in_process() as running:
        running.answer_agent(sys.stdin.buffer, write)
    return 0


_BASES = {"Executor", "jina.Executor"}


def add_dev(parser: argparse.ArgumentParser) -> None:
    """What to serve, and all options of a Deployment; of a Flow those that Flows have too."""
    parser.add_argument("target", metavar="FILE", help="Python file with an Executor, or YAML of one, or of a Flow")
    add_options(parser, DeploymentSpec, exclude={"reload"})


def run_dev(options: argparse.Namespace) -> int:
    """Serve until a signal comes; what fails is tried again when a file has changed."""
    from jina.supervisor.reloading import wait_for_change

    target, asked = options.target, given(options)
    if not os.path.isfile(target):
        raise UsageError(f"jina dev: there is no file {target!r}")
    files = {os.path.abspath(target)}
    while True:
        service = None
        try:
            service = _service(target, asked)
            asked = {**asked, "port": service.port}
            with service:
                service.block()
            return 0
        except JinaError as error:
            for note in getattr(error.__cause__, "__notes__", ()):
                print(note, file=sys.stderr)
            print(f"{error}\nwaiting for a change", file=sys.stderr, flush=True)
            wait_for_change(files | (service.files if service is not None else set()), threading.Event())


def _service(target: str, asked: Mapping[str, Any]) -> Deployment | Flow:
    from jina.orchestration import Deployment, Flow

    if target.endswith(".py"):
        found = asked.get("uses") or _executor_in(Path(target))
        modules = {"uses": found, "py_modules": [*asked.get("py_modules", ()), os.path.abspath(target)]}
        return Deployment.from_command_line({**asked, **modules, "reload": True}, "dev")
    if not target.endswith((".yml", ".yaml")):
        raise UsageError(f"jina dev: {target!r} is neither a Python nor a YAML file")
    kind = Flow if _kind(target) == "Flow" else Deployment
    return kind.from_command_line({**asked, "uses": target, "reload": True}, "dev")


def _kind(target: str) -> Any:
    from jina.config import load

    loaded = load(target)[0]
    return loaded.get("jtype") if isinstance(loaded, Mapping) else None


def _executor_in(path: Path) -> str:
    """The name of the one Executor that a file defines, found without running it; raises for broken syntax."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except SyntaxError as error:
        raise UsageError(f"{path}:{error.lineno}: {error.msg}") from None
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    known = set(_BASES)
    names = []
    for one in classes:
        if known & {ast.unparse(base) for base in one.bases}:
            known.add(one.name)
            names.append(one.name)
    if len(names) == 1:
        return names[0]
    if names:
        raise UsageError(f"jina dev: {path} has several Executors: {', '.join(names)}", help="say which: --uses NAME")
    raise UsageError(f"jina dev: {path} defines no class that derives from Executor", help="or name it: --uses NAME")
