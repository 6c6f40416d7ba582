"""The command line as a user meets it: output, errors, exit codes."""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from jina.cli.main import COMMANDS, INTERNAL, command_parser, main
from jina.cli.tools import following

JINA = str(Path(sys.executable).with_name("jina"))


def run(*words: str, cwd: Path | None = None, text: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(
        [JINA, *words], capture_output=True, text=True, timeout=50, check=False, cwd=cwd, input=text, env=environment
    )


def test_help_lists_every_command(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([*name.split(), "--help"])
    assert capsys.readouterr().out.startswith(f"usage: jina {name}")


def test_the_version(capsys):
    from jina import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"
    assert main(["-vf"]) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["jina"] == __version__
    assert lines["rejina"] == __version__  # the distribution that it came from
    assert lines["http2"].split() in (["ngh2", version("ngh2")], ["h2", version("h2")])
    assert {"rejina-raft", "docarray", "grpcio", "python"} <= lines.keys()
    assert {
        "protobuf",
        "proto-backend",
        "pyyaml",
        "platform-release",
        "platform-version",
        "architecture",
    } <= lines.keys()


@pytest.mark.parametrize(
    ("command", "option", "owner", "takers"),
    [
        ("executor", "--prefetch", "the gateway", ["flow", "gateway"]),
        ("executor", "--prefetch=4", "the gateway", ["flow", "gateway"]),
        ("dev some.py", "--graph_conditions", "the gateway", ["gateway"]),
        ("gateway", "--shards", "a Deployment", ["executor", "deployment", "flow", "mcp", "dev"]),
        ("gateway", "--no-stateful", "a Deployment", ["executor", "deployment", "flow", "mcp", "dev"]),
        ("flow", "--needs", "a Deployment", ["executor", "deployment", "mcp", "dev"]),
        ("client", "--replicas", "a Deployment", ["executor", "deployment", "flow", "gateway", "mcp", "dev"]),
        ("deployment", "--inspect", "a Flow", ["flow"]),
        ("flow", "--api-key", "a client", ["client"]),
    ],
)
def test_an_option_of_something_else_says_of_what_and_which_commands_take_it(command, option, owner, takers, capsys):
    assert main([*command.split(), option, "4"]) == 2
    message, advice = capsys.readouterr().err.splitlines()
    name = command.split()[0]
    assert message == f"jina: jina {name}: unknown argument '{option}': it is an option of {owner}"
    commands = ", ".join(f"`jina {name}`" for name in takers)
    assert advice.startswith(f"  help: {commands} {'takes' if len(takers) == 1 else 'take'} it")
    assert ("in the YAML of a Flow" in advice) == (owner != "a client")


@pytest.mark.parametrize(
    ("command", "kind", "advice"),
    [
        ("deployment", "Flow", "jina flow --uses"),
        ("executor", "Flow", "jina flow --uses"),
        ("flow", "Deployment", "jina deployment --uses"),
        ("flow", "Some", "jina executor --uses"),
    ],
)
def test_a_file_of_another_kind_names_the_command_that_serves_it(command, kind, advice, tmp_path, capsys):
    path = tmp_path / "some.yml"
    path.write_text(f"jtype: {kind}\n")
    assert main([command, "--uses", str(path)]) == 2
    message, output = capsys.readouterr().err.splitlines()
    assert message.startswith(f"jina: jina {command}: {str(path)!r} describes a")
    assert output == f"  help: {advice} {path}"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["deploymnt"], "did you mean 'deployment'"),
        (["hub", "nwe"], "did you mean 'hub new'"),
        (["executor", "--replicass", "2"], "did you mean --replicas"),
        (["executor", "--port", "99999999"], "'99999999' is not a port"),
        (["ping", "nowhere", "grpc://127.0.0.1:1"], "'nowhere' is not one of"),
        (["client", "--parameters", "[1]"], "must be a JSON object"),
        (["client", "--parameters", "[" * 5000], "--parameters: not JSON: nested too deeply"),
        (["executor", "--uses-with", '{"a":' * 5000], "nested too deeply"),
        (["help", "replicass"], "did you mean 'replicas'"),
        (["help", "flows"], "did you mean 'flow'"),
        (["help", "foo"], "neither a command nor an option: 'foo'\n  help: jina --help lists the commands"),
        (["hub", "build", "no/such/place"], "no such folder"),
        (["flow", "f.yml"], "unknown argument 'f.yml'\n  help: what is served follows --uses: jina flow --uses f.yml"),
        (["executor", "my.yml", "--port", "1"], "jina executor --uses my.yml"),
        (["flow", "--uses", "f.yml", "--env", "oops"], "jina flow: env: 'oops' is neither key:value, key=value"),
        (["deployment", "--uses-with", "oops"], "uses_with: 'oops' is neither key:value, key=value"),
        (["gateway", "--graph-description", "oops"], "graph_description: 'oops' is neither key:value, key=value"),
        (
            ["executor", "--pod-role", "HEAD", "--connection-list", "oops"],
            "connection_list: ['oops'] does not give each shard its address\n  help: such as --connection-list 0=",
        ),
    ],
)
def test_a_wrong_line_is_exit_code_2_and_says_what_is_right(words, hint, capsys):
    assert main(words) == 2
    assert hint in capsys.readouterr().err


def test_a_path_that_no_system_takes_is_no_traceback(capsys):
    assert main(["check", "x" * 5000]) == 1
    assert "File name too long" in capsys.readouterr().err


OF_JINA_3 = [
    "executor", "flow", "deployment", "gateway", "pod", "client", "ping", "export flowchart", "export kubernetes",
    "export docker-compose", "export schema", "new", "hub new", "hub push", "hub pull", "hub status", "hub list",
    "auth login", "auth logout", "auth token create", "auth token delete", "auth token list", "cloud", "cloud flow",
    "help", "commands", "completions", "hello",
]  # fmt: skip
"""What `jina commands` of 3.34 lists, with the commands of each group."""


@pytest.mark.parametrize("name", OF_JINA_3)
def test_each_command_of_jina_3_is_served_or_names_what_replaces_it(name, capsys):
    if any(" ".join(name.split()[:length]) in {**COMMANDS, **INTERNAL} for length in (1, 2)):
        with pytest.raises(SystemExit, match="0"):
            main([*name.split(), "--help"])
        return
    assert main([*name.split(), "--some", "option"]) == 2
    output = capsys.readouterr().err
    assert "of Jina 3 is not available" in output
    assert "help: " in output
    assert "did you mean" not in output


def test_help_explains_an_option(capsys):
    assert main(["help", "max_message_size"]) == 0
    assert "jina executor --max-message-size" in capsys.readouterr().out


def test_completion_follows_the_line():
    assert {"executor", "hub", "--help"} <= set(following([]))
    assert set(following(["hub"])) == {
        "new", "build", "check", "push", "pull", "list", "inspect", "verify", "lock", "login", "logout", "status",
    }  # fmt: skip
    assert "--uses" in following(["executor"])
    assert "--uses" not in following(["executor", "--uses"])
    assert following(["nothing"]) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell, capsys):
    assert main(["completion", shell]) == 0
    assert "jina completions" in capsys.readouterr().out


def test_bash_completes(tmp_path):
    script = f"""
        eval "$({shlex.quote(JINA)} completion bash)"
        COMP_WORDS=(jina hu); COMP_CWORD=1; _jina jina hu; echo "${{COMPREPLY[*]}}"
    """
    environment = {**os.environ, "PATH": f"{Path(JINA).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=30, env=environment, check=True
    )
    assert done.stdout.strip() == "hub"


def test_the_schema_describes_executors_and_deployments(tmp_path, capsys):
    assert main(["export", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert "replicas" in json.dumps(schema)
    assert main(["export", "schema", "--schema-path", str(tmp_path / "s.json")]) == 0
    assert json.loads((tmp_path / "s.json").read_text()) == schema


def test_hub_new_asks_on_stdin_and_writes(tmp_path):
    done = run("hub", "new", cwd=tmp_path, text="Greeter\n\nn\n")
    assert done.returncode == 0, done.stderr
    assert sorted(f.name for f in (tmp_path / "Greeter").iterdir()) == [
        "README.md", "config.yml", "executor.py", "requirements.txt",
    ]  # fmt: skip
    assert yaml.safe_load((tmp_path / "Greeter" / "config.yml").read_text())["jtype"] == "Greeter"


def test_hub_new_without_answers_is_a_usage_error(tmp_path):
    done = run("hub", "new", cwd=tmp_path)
    assert done.returncode == 2
    assert "no answer to 'Name of the Executor'" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_hub_build_writes_the_dockerfile_once(tmp_path):
    assert run("hub", "new", "--name", "X", "--path", str(tmp_path / "x")).returncode == 0
    assert run("hub", "build", str(tmp_path / "x"), "--dockerfile-only").returncode == 0
    assert "FROM python:" in (tmp_path / "x" / "Dockerfile").read_text()
    again = run("hub", "build", str(tmp_path / "x"), "--dockerfile-only")
    assert (again.returncode, "--force overwrites it" in again.stderr) == (2, True)
    assert run("hub", "build", str(tmp_path / "x"), "--dockerfile-only", "--force").returncode == 0


@pytest.mark.slow
def test_building_an_image_without_an_engine_says_what_does_without(tmp_path, monkeypatch):
    assert run("hub", "new", "--name", "X", "--path", str(tmp_path / "x")).returncode == 0
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run("hub", "build", str(tmp_path / "x"))
    assert done.returncode == 2
    assert "no container engine answers: docker: not on PATH; podman: not on PATH; nerdctl: not on PATH" in done.stderr
    assert "--daemonless --output oci:DIR" in done.stderr


def test_a_plugin_on_the_path_is_called(tmp_path):
    plugin = tmp_path / "jina-hello"
    plugin.write_text('#!/bin/sh\necho "plugin $1"\n')
    plugin.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [JINA, "hello", "you"], capture_output=True, text=True, timeout=20, env=environment, check=True
    )
    assert done.stdout == "plugin you\n"


def test_a_reader_that_leaves_is_no_traceback():
    command = ["bash", "-c", f"{shlex.quote(JINA)} export schema | head -c 1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("{", "")


def test_help_costs_at_most_300_ms_of_cpu():
    def cost() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cost() for _ in range(3)) <= 0.3


def test_every_option_of_a_command_has_a_help_text():
    for name in COMMANDS:
        parser, _ = command_parser(name)
        for action in parser._actions:
            assert action.help, f"jina {name} {action.option_strings or action.dest}"


def test_the_module_runs_as_the_command():
    done = subprocess.run([sys.executable, "-m", "jina", "deploymnt"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "did you mean 'deployment'" in done.stderr


def test_a_flow_without_its_file_is_refused(capsys):
    assert main(["flow", "--port", "12345"]) == 2
    assert capsys.readouterr().err.startswith("jina: jina flow: --uses is missing")
