"""`jina`: picks the command, runs it, turns errors into an exit code.

Exit codes: 0 done, 1 something failed, 2 the command line or a configuration is wrong, 3 a process crashed again and
again (`restart_limit`), 130 Ctrl+C.
Only the chosen command's module is imported, so that `jina --help` stays quick.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from jina.errors import JinaError, UsageError, nearest

if TYPE_CHECKING:
    from jina.config.parsing import Owner

PACKAGES = (
    "rejina",
    "rejina-raft",
    "docarray",
    "numpy",
    "pydantic",
    "protobuf",
    "pyyaml",
    "grpcio",
    "uvicorn",
    "httptools",
    "websockets",
    "orjson",
)


def full_versions() -> str:
    """The text that a report should carry.

    `jina` is the version of this package, `rejina` that of the distribution it came from.
    """
    from importlib.metadata import PackageNotFoundError, version

    from google.protobuf.internal import api_implementation

    from jina.net.http2_library import library
    from jina.net.messages import environment_info
    from jina.version import __proto_version__, __version__

    lines = {"jina": __version__, "jina-proto": __proto_version__}
    for package in PACKAGES:
        try:
            lines[package] = version(package)
        except PackageNotFoundError:
            lines[package] = "not installed"
    lines |= {
        "http2": f"{library()} {version(library())}",
        "proto-backend": api_implementation.Type(),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.system(),
        "platform-release": platform.release(),
        "platform-version": platform.version(),
        "architecture": platform.machine(),
        "cpus": str(os.cpu_count()),
    }
    lines |= environment_info()
    return "\n".join(f"{name}: {value}" for name, value in lines.items())


@dataclass(frozen=True)
class Entry:
    """One command: what `--help` says, and the module that does it.

    Of `raft add-voter` the module has `add_raft_add_voter(parser)`, which declares the options, and
    `run_raft_add_voter(options)`, which gives the exit code.
    """

    summary: str
    module: str


COMMANDS: dict[str, Entry] = {
    "executor": Entry("serve one Executor in this process", "jina.cli.serve"),
    "deployment": Entry("serve a Deployment from its YAML", "jina.cli.serve"),
    "flow": Entry("serve a Flow from its YAML", "jina.cli.serve"),
    "gateway": Entry("serve a gateway in front of Executors that run already", "jina.cli.serve"),
    "client": Entry("send documents to a service and print the answer", "jina.cli.admin"),
    "mcp": Entry("answer an agent by the Model Context Protocol on standard input and output", "jina.cli.serve"),
    "dev": Entry("serve a file and restart it when it changes", "jina.cli.serve"),
    "status": Entry("show the services of this machine and their processes", "jina.cli.admin"),
    "top": Entry("show what the services of this machine do, again each second", "jina.cli.top"),
    "ping": Entry("check whether a service answers", "jina.cli.admin"),
    "logs": Entry("print the logs of processes that write files (log_dir), and follow them", "jina.cli.admin"),
    "console": Entry("serve the page that shows all services of yours on this machine", "jina.cli.admin"),
    "raft status": Entry("show the replicas of stateful Deployments", "jina.cli.raft"),
    "raft add-voter": Entry("add a replica to a group", "jina.cli.raft"),
    "raft remove": Entry("remove a replica from a group", "jina.cli.raft"),
    "raft transfer": Entry("hand the leadership to another replica", "jina.cli.raft"),
    "raft snapshot": Entry("take a snapshot on all replicas and shorten their logs", "jina.cli.raft"),
    "raft backup": Entry("write the state of a running stateful Deployment to a file", "jina.cli.raft"),
    "raft restore-backup": Entry("fill the folders of replicas from such a file", "jina.cli.raft"),
    "raft recover": Entry("restart a group from one replica after a majority was lost", "jina.cli.raft"),
    "kubernetes apply": Entry("apply exported files, and grow, shrink and roll stateful groups", "jina.cli.kubernetes"),
    "kubernetes status": Entry("show the members of stateful groups in a cluster", "jina.cli.kubernetes"),
    "kubernetes scale": Entry("change the number of replicas of a stateful group", "jina.cli.kubernetes"),
    "kubernetes roll": Entry("replace the pods of a stateful group, the leader last", "jina.cli.kubernetes"),
    "kubernetes recover": Entry("give a replica of a stateful group an empty volume", "jina.cli.kubernetes"),
    "kubernetes controller": Entry("do all this on and on, for the groups of a namespace", "jina.cli.kubernetes"),
    "check": Entry("list what differs for a project written for Jina 3, without running it", "jina.cli.tools"),
    "new": Entry("write a project that is ready to run", "jina.cli.tools"),
    "hub new": Entry("write an Executor package, asking for what it needs", "jina.cli.tools"),
    "hub build": Entry("build the image of an Executor package, or write its Dockerfile", "jina.cli.hub"),
    "hub check": Entry("import an Executor package and list its endpoints or mistakes", "jina.cli.hub"),
    "hub push": Entry("store an Executor package in a registry", "jina.cli.hub"),
    "hub pull": Entry("fetch an Executor package into the cache", "jina.cli.hub"),
    "hub status": Entry("show what is known of a package: tags, digests, signatures, lock, cache", "jina.cli.hub"),
    "hub list": Entry("list the packages of a registry, or the tags of one", "jina.cli.hub"),
    "hub inspect": Entry("show what a registry says about a package", "jina.cli.hub"),
    "hub verify": Entry("check the signature of a package", "jina.cli.hub"),
    "hub lock": Entry("pin packages to their digests in jina.lock", "jina.cli.hub"),
    "hub login": Entry("keep the credentials of a registry", "jina.cli.hub"),
    "hub logout": Entry("forget the credentials of a registry", "jina.cli.hub"),
    "export flowchart": Entry("draw the Flow of a YAML file", "jina.cli.tools"),
    "export kubernetes": Entry("write the Kubernetes files of a Flow or Deployment", "jina.cli.tools"),
    "export controller": Entry("write the Kubernetes file of a controller of stateful groups", "jina.cli.tools"),
    "export docker-compose": Entry("write the Compose file of a Flow or Deployment", "jina.cli.tools"),
    "export schema": Entry("write the JSON Schema of the YAML files, for editors", "jina.cli.tools"),
    "export grafana": Entry("print a dashboard for Grafana", "jina.cli.tools"),
    "help": Entry("explain a command or an option", "jina.cli.tools"),
    "completion": Entry("print the shell completion for bash, zsh or fish", "jina.cli.tools"),
}
"""Every command, in the order of the help."""
INTERNAL: dict[str, Entry] = {
    "commands": Entry("names of the commands, one a line", "jina.cli.tools"),
    "completions": Entry("options that may follow the given words", "jina.cli.tools"),
}
"""What the shell completion calls."""
SUCCESSORS: dict[str, str] = {
    "pod": "`jina executor` serves one worker, `jina gateway` a gateway in front of workers",
    "auth": "no account is needed",
    "cloud": "there is no hosting service: `jina flow` and `jina deployment` serve on this machine",
    "hello": "`jina new` writes a project that is ready to run",
}
"""Commands of Jina 3 that do not exist here, and what to use instead."""
_SECRETS = frozenset({"--api-keys", "--api-key", "--env"})
"""Options whose values are taken from the command line that other users see."""
GROUPS = sorted({name.split()[0] for name in COMMANDS if " " in name})


class Parser(argparse.ArgumentParser):
    """argparse, with unknown options answered by the nearest known one."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage."""
        raise UsageError(f"{self.prog}: {message}", help=f"{self.prog} --help lists the options")

    def parse_all(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse; raises `UsageError` naming the nearest option for an unknown one."""
        options, unknown = self.parse_known_args(words)
        if unknown:
            self._refuse(unknown[0])
        return options

    def _refuse(self, word: str) -> NoReturn:
        from jina.config.command_line import owner_of

        flag = word.partition("=")[0]
        if flag.startswith("--") and (owner := owner_of(self, flag)):
            raise UsageError(
                f"{self.prog}: unknown argument {word!r}: it is an option of {owner.what}", help=_where(flag, owner)
            )
        if not word.startswith("-") and "--uses" in self._option_string_actions:
            advice = f"what is served follows --uses: {self.prog} --uses {word}"
            raise UsageError(f"{self.prog}: unknown argument {word!r}", help=advice)
        known = [text for action in self._actions for text in action.option_strings]
        near = nearest(flag, known) if word.startswith("-") else None
        self.error(f"unknown argument {word!r}{f', did you mean {near}?' if near else ''}")


def entry() -> NoReturn:
    """The console script. Modules of the working folder can be named, as with `python -m`."""
    from jina.config.paths import working_folder
    from jina.supervisor.init import run_as_init

    if any(word.startswith("--") and word.partition("=")[0] in _SECRETS for word in sys.argv):
        from jina.supervisor.control import hide

        hide(sys.argv, _SECRETS)
    run_as_init()
    if (folder := working_folder()) and folder not in sys.path:
        sys.path.insert(0, folder)
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command line; gives the exit code."""
    try:
        return _run(list(argv))
    except JinaError as error:
        # A worker's traceback is a note of the cause; the line that says it all comes last, as in any program.
        for note in (*getattr(error.__cause__, "__notes__", ()), *getattr(error, "__notes__", ())):
            print(note, file=sys.stderr)
        print(f"jina: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output left (`jina ... | head`); keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a file of the command line, such as one whose name is too long; it says which
        print(f"jina: {error}", file=sys.stderr)
        return 1


def command_parser(name: str) -> tuple[Parser, Callable[[argparse.Namespace], int]]:
    """The parser of a command with its options, and what runs the command and gives its exit code."""
    listed = {**COMMANDS, **INTERNAL}[name]
    module = importlib.import_module(listed.module)
    parser = Parser(prog=f"jina {name}", description=listed.summary, allow_abbrev=False)
    word = name.replace(" ", "_").replace("-", "_")
    getattr(module, f"add_{word}")(parser)
    run: Callable[[argparse.Namespace], int] = getattr(module, f"run_{word}")
    return parser, run


def _where(flag: str, owner: Owner) -> str:
    """The commands that take an option for what it describes, and its place in YAML."""
    from jina.config.command_line import model_of
    from jina.config.models import ClientSpec

    takers = []
    for name in COMMANDS:
        model = model_of(command_parser(name)[0], flag)
        # A client has a few options of the same names.
        if model is not None and (model is ClientSpec) == (owner.spec is ClientSpec):
            takers.append(f"`jina {name}`")
    in_yaml = f"; in the YAML of a Flow it stands {owner.yaml}" if owner.yaml else ""
    return f"{', '.join(takers)} {'takes' if len(takers) == 1 else 'take'} it{in_yaml}"


def _run(words: list[str]) -> int:
    if not words or words[0] in {"-h", "--help"}:
        print(overview())
        return 0
    if words[0] in {"-v", "--version"}:
        from jina.version import __version__

        print(__version__)
        return 0
    if words[0] in {"-vf", "--version-full"}:
        print(full_versions())
        return 0
    name, rest = _split(words)
    if name is None:
        return _other(words)
    parser, run = command_parser(name)
    return run(parser.parse_all(rest))


def _split(words: list[str]) -> tuple[str | None, list[str]]:
    known = {**COMMANDS, **INTERNAL}
    for length in (2, 1):
        name = " ".join(words[:length])
        if len(words) >= length and name in known:
            return name, words[length:]
    return None, words


def _other(words: list[str]) -> int:
    """A group without its command, a plug-in `jina-x` on the path, or a mistake."""
    group = [name for name in COMMANDS if name.startswith(words[0] + " ")]
    if group and (len(words) == 1 or words[1] in {"-h", "--help"}):
        print(_listing(group))
        return 0
    if plugin := shutil.which(f"jina-{words[0]}"):
        os.execv(plugin, [plugin, *words[1:]])  # noqa: S606 - the plug-in is the user's own program
    wanted = " ".join(words[:2]) if group else words[0]
    near = nearest(wanted, COMMANDS)
    for name in (" ".join(words[:2]), words[0]):
        if instead := SUCCESSORS.get(name):
            raise UsageError(f"the command {name!r} of Jina 3 is not available", help=instead)
    raise UsageError(
        f"no command {wanted!r}{f', did you mean {near!r}?' if near else ''}", help="jina --help lists the commands"
    )


def overview() -> str:
    """The help of `jina` itself."""
    return (
        "usage: jina COMMAND [options]\n\n"
        "Serve Python classes as network services.\n\n"
        f"commands:\n{_listing(COMMANDS)}\n\n"
        "options:\n"
        "  -h, --help            this help; jina COMMAND --help explains a command\n"
        "  -v, --version         the version\n"
        "  -vf, --version-full   the versions of everything involved, for reports"
    )


def _listing(names: Sequence[str] | dict[str, Entry]) -> str:
    return "\n".join(f"  {name:<22}{COMMANDS[name].summary}" for name in names)
