"""`jina`: picks the command, runs it, turns errors into an exit code.

Exit codes: 0 done, 1 something failed, 2 the command line or a configuration is wrong, 3 a process crashed again and
again (`restart_limit`), 130 Ctrl+C.
Only the chosen command's module is imported, so that `jina --help` stays quick.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from jina.errors import JinaError, UsageError, nearest

if TYPE_CHECKING:
    from jina.spec.parsing import Owner


class Command(Protocol):
    """What a command's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        ...

    def run(self, options: argparse.Namespace) -> int:
        """Do it; gives the exit code."""
        ...


@dataclass(frozen=True)
class Entry:
    """One command: what `--help` says, and the module that does it."""

    summary: str
    module: str


COMMANDS: dict[str, Entry] = {
    "executor": Entry("serve one Executor in this process", "jina.cli.serve_executor"),
    "deployment": Entry("serve a Deployment from its YAML", "jina.cli.serve_deployment"),
    "flow": Entry("serve a Flow from its YAML", "jina.cli.serve_flow"),
    "gateway": Entry("serve a gateway in front of Executors that run already", "jina.cli.serve_gateway"),
    "client": Entry("send documents to a service and print the answer", "jina.cli.send"),
    "dev": Entry("serve a file and start it anew when it changes", "jina.cli.dev"),
    "status": Entry("show the services of this machine and their processes", "jina.cli.status"),
    "ping": Entry("see whether a service answers", "jina.cli.ping"),
    "logs": Entry("print the logs of processes that write files (log_dir), and follow them", "jina.cli.logs"),
    "raft status": Entry("show the replicas of stateful Deployments", "jina.cli.raft_status"),
    "raft add-voter": Entry("take a replica into a group", "jina.cli.raft_add_voter"),
    "raft remove": Entry("have a group go on without a replica", "jina.cli.raft_remove"),
    "raft transfer": Entry("have another replica lead", "jina.cli.raft_transfer"),
    "raft snapshot": Entry("have all replicas write their state and shorten their logs", "jina.cli.raft_snapshot"),
    "raft backup": Entry("write the state of a stateful Deployment that runs into a file", "jina.cli.raft_backup"),
    "raft restore-backup": Entry("fill the folders of replicas from such a file", "jina.cli.raft_restore_backup"),
    "raft recover": Entry("go on from one replica after a majority was lost", "jina.cli.raft_recover"),
    "check": Entry("list what of a project for Jina 3 will differ, without running it", "jina.cli.check"),
    "new": Entry("write a project that starts as it is", "jina.cli.new"),
    "hub new": Entry("write an Executor package, asking for what it needs", "jina.cli.hub_new"),
    "hub build": Entry("write the Dockerfile of an Executor package", "jina.cli.hub_build"),
    "export flowchart": Entry("draw the Flow of a YAML file", "jina.cli.export_flowchart"),
    "export schema": Entry("write the JSON Schema of the YAML files, for editors", "jina.cli.export_schema"),
    "export grafana": Entry("print a dashboard for Grafana", "jina.cli.export_grafana"),
    "help": Entry("explain a command or an option", "jina.cli.explain"),
    "completion": Entry("print the shell completion for bash, zsh or fish", "jina.cli.completion"),
}
"""Every command, in the order of the help."""

INTERNAL: dict[str, Entry] = {
    "commands": Entry("names of the commands, one a line", "jina.cli.completion_commands"),
    "completions": Entry("options that may follow the given words", "jina.cli.completion_words"),
}
"""What the shell completion calls."""

_BY_HAND = (
    "`jina hub build PATH --dockerfile-only` writes the Dockerfile of a package; the other files are yours to write"
)
_NO_HUB = "there is no hub: packages are folders, which `jina executor --uses PATH/config.yml` serves"

SUCCESSORS: dict[str, str] = {
    "pod": "`jina executor` serves one worker, `jina gateway` a gateway in front of workers",
    "auth": "nothing asks for an account",
    "cloud": "nothing runs in a cloud of ours: `jina flow` and `jina deployment` serve on this machine",
    "hub push": _NO_HUB,
    "hub pull": _NO_HUB,
    "hub list": _NO_HUB,
    "hub status": _NO_HUB,
    "export kubernetes": _BY_HAND,
    "export docker-compose": _BY_HAND,
    "hello": "`jina new` writes a project that starts as it is",
}
"""Commands of Jina 3 that are none here, and what to use instead."""

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
        from jina.spec.flags import owner_of

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
    from jina.launch.first_process import step_aside
    from jina.spec.paths import working_folder

    if any(word.startswith("--") and word.partition("=")[0] in _SECRETS for word in sys.argv):
        from jina.launch.titles import hide

        hide(sys.argv, _SECRETS)
    step_aside()
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


def command_parser(name: str) -> tuple[Parser, Command]:
    """The parser of a command with its options, and the command."""
    listed = {**COMMANDS, **INTERNAL}[name]
    command = cast("Command", importlib.import_module(listed.module))
    parser = Parser(prog=f"jina {name}", description=listed.summary, allow_abbrev=False)
    command.add_arguments(parser)
    return parser, command


def _where(flag: str, owner: Owner) -> str:
    """The commands that take an option for what it describes, and its place in YAML."""
    from jina.spec.flags import model_of

    takers = []
    for name in COMMANDS:
        model = model_of(command_parser(name)[0], flag)
        # A client has a few options of the same names.
        if model is not None and (model.__name__ == "ClientSpec") == (owner.spec == "ClientSpec"):
            takers.append(f"`jina {name}`")
    in_yaml = f"; in the YAML of a Flow it stands {owner.yaml}" if owner.yaml else ""
    return f"{', '.join(takers)} {'takes' if len(takers) == 1 else 'take'} it{in_yaml}"


def _run(words: list[str]) -> int:
    if not words or words[0] in {"-h", "--help"}:
        print(overview())
        return 0
    if words[0] in {"-v", "--version"}:
        from jina import __version__

        print(__version__)
        return 0
    if words[0] in {"-vf", "--version-full"}:
        from jina.cli.versions import full

        print(full())
        return 0
    name, rest = _split(words)
    if name is None:
        return _other(words)
    parser, command = command_parser(name)
    return command.run(parser.parse_all(rest))


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
    return "\n".join(f"  {name:<21}{COMMANDS[name].summary}" for name in names)
