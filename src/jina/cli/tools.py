"""Commands that serve nothing: checks, templates, pictures, schemas, help and shell completion."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pkgutil
import shlex
import sys
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jina.cli.main import COMMANDS, GROUPS, command_parser, overview
from jina.config.command_line import add_options, from_namespace
from jina.config.models import HubNewSpec
from jina.errors import ConfigError, UsageError, nearest

if TYPE_CHECKING:
    from jina.check.checking import Report
    from jina.check.project import Finding
    from jina.executor import Executor
    from jina.orchestration import Deployment, Flow
    from jina.plan.plans import FlowPlan


def add_check(parser: argparse.ArgumentParser) -> None:
    """The project, the form, and whether to change it."""
    parser.add_argument("path", metavar="PATH", help="folder of the project, or one file of it; nothing of it is run")
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")
    parser.add_argument("--fix", action="store_true", help="change what is mechanical, and print the changes as a diff")
    parser.add_argument("--diff", action="store_true", help="print what --fix would change, and change nothing")


def run_check(options: argparse.Namespace) -> int:
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
            print(_finding_line(finding))
        print(_check_summary(report, len(changes) if options.fix else 0))
    return 0 if report.would_start else 1


def _finding_line(finding: Finding) -> str:
    text = " ".join(finding.message.split())
    line = f"{finding.path}:{finding.line}:{finding.column}: {finding.severity}: {text} [{finding.rule}]"
    return f"{line}\n    instead: {finding.instead}" if finding.instead else line


def _check_summary(report: Report, changes: int) -> str:
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


_EXECUTOR = '''\
from docarray import DocList
from docarray.documents import TextDoc

from jina import Executor, requests


class MyExecutor(Executor):
    """Fills in the texts of two documents."""

    @requests
    def foo(self, docs: DocList[TextDoc], **kwargs) -> DocList[TextDoc]:
        docs[0].text = 'hello, world!'
        docs[1].text = 'goodbye, world!'
        return docs
'''
_CONFIG = "jtype: MyExecutor\npy_modules:\n  - executor.py\n"
_DEPLOYMENT = """\
jtype: Deployment
with:
  name: toyExecutor
  uses: executor1/config.yml
  protocol: [grpc, http]
  port: [54321, 54322]
"""
_FLOW = """\
jtype: Flow
version: '1'
gateway:
  protocol: [grpc, http, websocket]
  port: [54321, 54322, 54323]
executors:
  - name: toyExecutor
    uses: executor1/config.yml
"""
_CLIENT = """\
from docarray import DocList
from docarray.documents import TextDoc

from jina import Client

if __name__ == '__main__':
    client = Client(host='grpc://localhost:54321')
    docs = client.post('/', DocList[TextDoc]([TextDoc(), TextDoc()]), return_type=DocList[TextDoc])
    print([doc.text for doc in docs])
"""
_SHARED = {
    "client.py": _CLIENT,
    "executor1/config.yml": _CONFIG,
    "executor1/executor.py": _EXECUTOR,
    "executor1/requirements.txt": "",
}
PROJECTS = {
    "flow": {"flow.yml": _FLOW, **_SHARED},
    "deployment": {"deployment.yml": _DEPLOYMENT, **_SHARED},
}
"""The files of each kind of project."""


def add_new(parser: argparse.ArgumentParser) -> None:
    """Name and kind of the project."""
    parser.add_argument("name", nargs="?", default="hello-jina", help="folder to create [default: hello-jina]")
    parser.add_argument("--type", choices=tuple(PROJECTS), default="flow", help="kind of the project [default: flow]")


def run_new(options: argparse.Namespace) -> int:
    """Write the project into a folder that does not exist yet."""
    folder = Path(options.name)
    if folder.exists():
        raise ConfigError(f"{folder} exists already", help="choose another name")
    for name, text in PROJECTS[options.type].items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(file)
    start = f"jina {options.type} --uses {options.type}.yml"
    print(f"\ncd {folder}; {start}   # then, elsewhere: python client.py", file=sys.stderr)
    return 0


def add_hub_new(parser: argparse.ArgumentParser) -> None:
    """One option for each question."""
    add_options(parser, HubNewSpec)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run_hub_new(options: argparse.Namespace) -> int:
    """Ask, write, and say what to do next."""
    from jina.hub.wizard import new_package

    spec = from_namespace(HubNewSpec, options)
    package = new_package(
        name=spec.name,
        path=spec.path,
        advanced=spec.advance_configuration,
        description=spec.description,
        keywords=spec.keywords,
        url=spec.url,
        dockerfile=spec.dockerfile,
    )
    files = sorted(package.files)
    if options.json:
        print(json.dumps({"path": str(package.path), "files": files}, indent=2))
        return 0
    print(f"{package.path}/")
    for name in files:
        print(f"{'└──' if name == files[-1] else '├──'} {name}")
    print(f"\nStart it:  jina executor --uses {shlex.quote(str(package.path / 'config.yml'))}", file=sys.stderr)
    return 0


def add_export_flowchart(parser: argparse.ArgumentParser) -> None:
    """What to draw and where to write it."""
    parser.add_argument("config_path", metavar="CONFIG", help="YAML file of a Flow")
    parser.add_argument("outpath", metavar="OUTPUT", help="file to write: .svg, .png, .jpg, .mmd or .txt; - is stdout")
    parser.add_argument("--vertical-layout", action="store_true", help="from top to bottom instead of left to right")
    parser.add_argument("--endpoints", action="store_true", help="import the Executors, to show endpoints and types")


def run_export_flowchart(options: argparse.Namespace) -> int:
    """Draw it; to standard output as text."""
    from jina.export.flowchart import check_suffix, to_text
    from jina.orchestration import Flow
    from jina.orchestration.display import picture, write_picture

    path = Path(options.outpath)
    if options.outpath != "-":
        check_suffix(path.suffix)
    flow = Flow.load_config(options.config_path)
    try:
        shown = picture(flow.plan, _classes(flow.plan) if options.endpoints else {}, running=False)
    finally:
        flow.close()
    if options.outpath == "-":
        print(to_text(shown), end="")
    else:
        write_picture(shown, path, vertical=options.vertical_layout)
    return 0


def _classes(plan: FlowPlan) -> dict[str, type[Executor] | None]:
    from jina.executor.loading import find_class

    return {one.name: find_class(one.workers[0].executor) for one in plan.deployments if one.workers}


def add_export_kubernetes(parser: argparse.ArgumentParser) -> None:
    """What to export and where to."""
    parser.add_argument("config_path", metavar="CONFIG", help="YAML file of a Flow or Deployment")
    parser.add_argument("outpath", metavar="FOLDER", help="folder to write to")
    parser.add_argument("--k8s-namespace", metavar="NAME", help="namespace of the objects [default: the Flow's name]")
    parser.add_argument("--no-gateway", action="store_true", help="write the Executors of a Flow alone")
    parser.add_argument(
        "--k8s-version", metavar="VERSION", help="version of the cluster, 1.20 to 1.37 [default: the newest]"
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--helm", action="store_true", help="write a chart of Helm")
    forms.add_argument("--kustomize", action="store_true", help="write a kustomization.yaml above the files")


def run_export_kubernetes(options: argparse.Namespace) -> int:
    """Write the files; says how to apply them."""
    from jina.orchestration.configuration import exported

    service = exported(options.config_path)
    form = "helm" if options.helm else "kustomize" if options.kustomize else "files"
    more: dict[str, Any] = {"k8s_version": options.k8s_version, "form": form, **_front(options, service)}
    service.to_kubernetes_yaml(options.outpath, options.k8s_namespace, **more)
    commands = {"helm": "helm upgrade --install RELEASE", "kustomize": "kubectl apply -k"}
    if (command := commands.get(form)) is not None:
        print(f"{command} {shlex.quote(options.outpath)}")
    else:
        print(f"kubectl apply -R -f {_file_for_kubectl(options.outpath)}")
    return 0


def _file_for_kubectl(path: str) -> str:
    """A path as a shell takes it to kubectl, which reads what follows `-f` as a line of CSV."""
    if "," in path or '"' in path:
        path = '"' + path.replace('"', '""') + '"'
    return shlex.quote(path)


def add_export_controller(parser: argparse.ArgumentParser) -> None:
    """For which namespace, in which image."""
    parser.add_argument("outpath", metavar="FILE", help="file to write")
    parser.add_argument("--image", required=True, metavar="IMAGE", help="an image with jina and its extra kubernetes")
    parser.add_argument("--k8s-namespace", required=True, metavar="NAME", help="namespace that it looks after")
    parser.add_argument(
        "--secret", action="append", default=[], metavar="NAME", help="a Secret with the key of a group [default: all]"
    )


def run_export_controller(options: argparse.Namespace) -> int:
    """Write the file; says how to apply it."""
    from jina.export.controller_file import controller_file
    from jina.orchestration.configuration import write_files

    write_files({"": controller_file(options.k8s_namespace, options.image, options.secret)}, options.outpath)
    print(f"kubectl apply -f {_file_for_kubectl(options.outpath)}")
    return 0


def add_export_docker_compose(parser: argparse.ArgumentParser) -> None:
    """What to export and where to."""
    parser.add_argument("config_path", metavar="CONFIG", help="YAML file of a Flow or Deployment")
    parser.add_argument("outpath", metavar="FILE", help="file to write")
    parser.add_argument(
        "--network-name", "--network_name", metavar="NAME", help="network of the services [default: jina-network]"
    )
    parser.add_argument("--no-gateway", action="store_true", help="write the Executors of a Flow alone")


def run_export_docker_compose(options: argparse.Namespace) -> int:
    """Write the file; says how to start it."""
    from jina.orchestration.configuration import exported

    service = exported(options.config_path)
    service.to_docker_compose_yaml(options.outpath, options.network_name, **_front(options, service))
    print(f"docker compose -f {shlex.quote(options.outpath)} up")
    return 0


def _front(options: argparse.Namespace, service: Deployment | Flow) -> dict[str, bool]:
    if options.no_gateway and service.kind == "Deployment":
        raise UsageError("--no-gateway is for Flows, and this is a Deployment")
    return {"include_gateway": False} if options.no_gateway else {}


def add_export_schema(parser: argparse.ArgumentParser) -> None:
    """Where to write."""
    parser.add_argument(
        "--schema-path",
        "--json-path",
        nargs="+",
        default=[],
        metavar="FILE",
        help="files to write; standard output if none",
    )


def run_export_schema(options: argparse.Namespace) -> int:
    """Write or print the schema."""
    from jina.config.schema import json_schema

    text = json.dumps(json_schema(), indent=2)
    for path in options.schema_path:
        Path(path).write_text(text + "\n", encoding="utf-8")
    if not options.schema_path:
        print(text)
    return 0


def add_export_grafana(parser: argparse.ArgumentParser) -> None:
    """Nothing to say."""
    del parser


def run_export_grafana(options: argparse.Namespace) -> int:
    """Print the dashboard as JSON."""
    del options
    sys.stdout.write((pkgutil.get_data("jina.observe", "grafana.json") or b"").decode())
    return 0


_NEAR = 0.7


def add_help(parser: argparse.ArgumentParser) -> None:
    """The word to explain."""
    parser.add_argument("words", nargs="*", metavar="WORD", help="a command, or an option such as replicas")


def run_help(options: argparse.Namespace) -> int:
    """Print the help of the command, or every command's line about the option."""
    name = " ".join(options.words)
    if not name:
        print(overview())
    elif name in COMMANDS:
        print(command_parser(name)[0].format_help(), end="")
    else:
        print("\n".join(_option(name)))
    return 0


def _option(word: str) -> list[str]:
    flag = "--" + word.lstrip("-").replace("_", "-")
    found: list[str] = []
    known: set[str] = set()
    for name in COMMANDS:
        if name == "help":
            continue
        for action in command_parser(name)[0]._actions:  # noqa: SLF001 - argparse has no public list
            known.update(action.option_strings)
            if flag in action.option_strings:
                found.append(f"jina {name} {flag}: {(action.help or '').replace('%%', '%')}")
    if not found:
        near = nearest(word, [*COMMANDS, *(name.removeprefix("--") for name in known)])
        # A short word is near to many: those that differ in more than a third of their letters do not help.
        if near and SequenceMatcher(None, word, near).ratio() < _NEAR:
            near = None
        raise UsageError(
            f"help: neither a command nor an option: {word!r}{f', did you mean {near!r}?' if near else ''}",
            help="jina --help lists the commands, jina COMMAND --help its options",
        )
    return found


SCRIPTS = {
    "bash": """\
_jina() {
    COMPREPLY=($(compgen -W "$(jina completions "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2> /dev/null)" -- "$2"))
    [[ ${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$2"))
}
complete -o filenames -F _jina jina""",
    "zsh": """\
#compdef jina
_jina() {
    local -a found
    found=(${(f)"$(jina completions ${words[2,CURRENT-1]} 2> /dev/null)"})
    compadd -a found || _files
}
compdef _jina jina""",
    "fish": """\
complete -c jina -a '(jina completions (commandline -opc)[2..-1] 2> /dev/null)'""",
}


def add_completion(parser: argparse.ArgumentParser) -> None:
    """The shell."""
    parser.add_argument("shell", choices=sorted(SCRIPTS), help='put eval "$(jina completion bash)" in ~/.bashrc')


def run_completion(options: argparse.Namespace) -> int:
    """Print the script."""
    print(SCRIPTS[options.shell])
    return 0


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Nothing to say."""


def run_commands(options: argparse.Namespace) -> int:  # noqa: ARG001 - every command has this form
    """Print the first words that may follow `jina`."""
    print("\n".join(following([])))
    return 0


def add_completions(parser: argparse.ArgumentParser) -> None:
    """Whatever stands on the user's line so far."""
    parser.add_argument("words", nargs=argparse.REMAINDER, help="the words typed so far, without `jina`")


def run_completions(options: argparse.Namespace) -> int:
    """Print the words."""
    print("\n".join(following(options.words)))
    return 0


def following(words: list[str]) -> list[str]:
    """The words that may come next."""
    if not words:
        singles = [name for name in COMMANDS if " " not in name]
        return [*sorted({*singles, *GROUPS}), "--help", "--version", "--version-full"]
    if words == words[:1] and words[0] in GROUPS:
        return [name.split()[1] for name in COMMANDS if name.startswith(words[0] + " ")]
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            parser, _ = command_parser(name)
            known = [text for action in parser._actions for text in action.option_strings if text.startswith("--")]  # noqa: SLF001 - argparse has no public list
            return [text for text in known if text not in words]
    return []
