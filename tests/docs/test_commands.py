"""Commands that pages and messages tell users to type: each is run by a test, or is listed here with the reason."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess

import pytest

from jina.cli.main import COMMANDS, INTERNAL
from tests.docs.blocks import ROOT, blocks_of
from tests.packaging.test_install import RUN

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
IMAGES = "tests/containers/test_dockerfile.py builds and runs such an image; it needs a container engine"
SERVED = "tests/containers/test_docker_uses.py serves such images; it needs a container engine"
GRPCURL = "tests/http2/test_foreign_clients.py runs the commands of the page, where grpcurl was built"
HOSTS = "tests/stateful/by_hand.py starts the same command three times on three addresses of the loopback"
CLUSTER = "needs a cluster; tests/export/test_validators.py checks the files against the schemas of the API"
GROUPS = "tests/cluster/test_groups.py runs it against a real API server"
COMPOSE = "tests/containers/test_compose.py does so with exported files; it needs a container engine"
DAEMONLESS = "tests/hub/test_images.py builds such images, on a base that it makes"
ARCHIVE = "tests/containers/test_images.py does so, with a base that it makes"
REGISTRY = "tests/hub/test_registry.py and test_images.py do so at a real registry, which listens on a chosen port"
OIP = "tests/apis/test_oip_interop.py calls such a model by that client, in an environment of its own"
SHOWN = {
    "jina hub build upper --daemonless -t registry.example.org": REGISTRY,
    "export JINA_HUB_REGISTRY=registry.example.org": REGISTRY,
    "bentoml serve bento_service:Upper": "tests/interop/test_coming_from.py does so in an environment of BentoML's own",
    'python -c "\nimport numpy as np, tritonclient.http': OIP,
    "jina hub login --username ada": REGISTRY,
    "jina hub push upper": REGISTRY,
    "jina hub build upper -t upper:v1": IMAGES,
    "jina hub build upper --daemonless --base oci:": DAEMONLESS,
    "jina hub build upper --daemonless --output docker-archive:": ARCHIVE,
    "docker load -i upper.tar": ARCHIVE,
    "docker run -d --name upper --read-only": ARCHIVE,
    "jina ping executor grpc://127.0.0.1:8080": ARCHIVE,
    "jina client --port 8080 --text hello": ARCHIVE,
    "docker stop upper": ARCHIVE,
    "docker logs upper": ARCHIVE,
    "docker build -t upper upper": IMAGES,
    "docker run --rm -p 8080:8080 upper": IMAGES,
    "docker run --rm -p 9000:9000 --health-cmd": IMAGES,
    "jina hub build upper -t upper:gpu": IMAGES,
    "docker run --rm --gpus all": "the same as above with a GPU, which no machine of the tests has",
    "python serve.py": SERVED,
    "jina executor --uses docker://upper:v1": SERVED,
    "docker run -v /var/run/docker.sock": "tests/containers/test_inside.py runs such a program",
    "grpcurl -plaintext": GRPCURL,
    "kubectl ": CLUSTER,
    "jina kubernetes ": GROUPS,
    "jina export kubernetes flow.yml shop --k8s-namespace shop": "docs/how-to/kubernetes.md runs it",
    "openssl rand -hex 32 > index-raft.key": COMPOSE,
    "chown 10001 index-raft.key": COMPOSE,
    "docker compose up --wait": COMPOSE,
    "openssl rand -hex 32 > group.key && chmod 600 group.key": "a key for the next command",
    "jina executor --uses Ledger --py-modules ledger.py --port 12345 --stateful": HOSTS,
    "jina gateway --port 8080 --graph-description": "tests/gateway/test_discovered.py finds pods by such an address",
    "jina gateway --port 12346 --graph-description": "tests/cli/test_flow_services.py starts one with such options",
    "curl localhost:PORT/search": "the port is chosen at start; the page asks by a client before it",
}
"""The beginning of each command in a block that tests/docs/blocks.py does not run (`sh`), and what stands for it."""
FORMER = {"pod", "auth", "hub push", "commands", "completions"}
"""Commands of Jina 3 that pages and messages name, not for use."""


def shown() -> list[tuple[str, str]]:
    """Page and command of the blocks that are not run, without comments, each command in one line."""
    found = []
    for page in PAGES:
        for block in blocks_of(page.read_text(encoding="utf-8")):
            if block.language == "sh":
                code = re.sub(r"\\\n\s*", "", re.sub(r"(^|\s)#.*", "", block.code))
                found += [(page.name, line) for line in commands_of(code)]
    return found


def commands_of(code: str) -> list[str]:
    """The lines of shell code; one whose quotes are not closed goes on in the next."""
    lines: list[str] = []
    begun = ""
    for line in code.splitlines():
        begun += f"\n{line}" if begun else line
        try:
            shlex.split(begun)
        except ValueError:
            continue
        if begun.strip():
            lines.append(begun.strip())
        begun = ""
    assert not begun, f"not a whole command: {begun}"
    return lines


def test_lines_that_belong_together_are_one_command():
    assert commands_of("a\n\nb 'c\n d' e\nf") == ["a", "b 'c\n d' e", "f"]
    with pytest.raises(AssertionError, match="not a whole"):
        commands_of("a 'b\n")


def test_every_command_that_is_only_shown_is_run_by_another_test_or_listed():
    assert shown()
    unknown = []
    for page, command in shown():
        plain = command.removeprefix(".venv/bin/")
        if plain in RUN or any(plain.startswith(start) for start in SHOWN):
            continue
        if plain.startswith("make "):
            subprocess.run(["make", "-n", *plain.split()[1:]], cwd=ROOT, capture_output=True, check=True, timeout=60)
            continue
        unknown.append(f"{page}: {command}")
    assert unknown == []


def test_the_list_has_nothing_that_no_page_shows_and_no_file_that_is_gone():
    commands = [command for _, command in shown()]
    assert [start for start in SHOWN if not any(command.startswith(start) for command in commands)] == []
    named = {path for reason in SHOWN.values() for path in re.findall(r"tests/\S+\.py", reason)}
    assert [path for path in named if not (ROOT / path).is_file()] == []


def texts() -> dict[str, str]:
    """Pages without their blocks, and sources."""
    pages = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
    result = {
        name: re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL) for name, text in pages.items()
    }
    for source in sorted((ROOT / "src/jina").rglob("*.py")):
        result[str(source.relative_to(ROOT))] = source.read_text(encoding="utf-8")
    return result


def test_every_command_of_jina_that_a_text_names_is_there():
    known = {*COMMANDS, *INTERNAL, *FORMER}
    groups = {name.partition(" ")[0] for name in known if " " in name}
    unknown = []
    for place, text in texts().items():
        for words in re.findall(r"`jina ((?:[a-z][a-z-]+ ?){1,2})[^`]*`", text):
            first, _, second = words.strip().partition(" ")
            name = f"{first} {second}" if first in groups and second else first
            if name not in known | groups and name != "is":  # `jina is installed`, in a comment
                unknown.append(f"{place}: jina {words}")
    assert unknown == []


def test_every_target_and_module_that_a_page_names_is_there():
    for place, text in texts().items():
        for target in re.findall(r"`make ([a-z-]+)`", text):
            done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False, timeout=60)
            assert done.returncode == 0, f"{place}: make {target}"
        for module in re.findall(r"`(?:\S*/)?python -m ([\w.]+)[^`]*`", text):
            assert importlib.util.find_spec(module) is not None, f"{place}: python -m {module}"
