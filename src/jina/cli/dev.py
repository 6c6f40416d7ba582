"""`jina dev`: serve a file and start it anew when it changes; what is broken is shown and waited for."""

from __future__ import annotations

import argparse
import ast
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jina.errors import JinaError, UsageError
from jina.spec import DeploymentSpec
from jina.spec.flags import add_options, given

if TYPE_CHECKING:
    from jina.orchestration import Deployment, Flow

_BASES = {"Executor", "jina.Executor"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to serve, and all options of a Deployment; of a Flow those that Flows have too."""
    parser.add_argument("target", metavar="FILE", help="Python file with an Executor, or YAML of one, or of a Flow")
    add_options(parser, DeploymentSpec, exclude={"reload"})


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes; what fails is tried again when a file has changed."""
    from jina.launch.reloading import wait_for_change

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
    from jina.spec import load

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
