"""Where credentials come from and go to; that they are shown nowhere."""

import base64
import json
import os

import pytest

from jina.errors import ConfigError
from jina.hub.credentials import Credentials, credentials_for, forget, save

HELPER = """#!/bin/sh
kept="$(dirname "$0")/kept"
case "$1" in
  store) cat > "$kept" ;;
  get) host=$(cat); [ -f "$kept" ] && grep -q "\\"ServerURL\\": \\"$host\\"" "$kept" && cat "$kept" ;;
  erase) rm -f "$kept" ;;
esac
"""


@pytest.fixture
def docker(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in ("JINA_HUB_USERNAME", "JINA_HUB_PASSWORD", "JINA_HUB_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "docker" / "config.json"


def configure(file, value):
    file.parent.mkdir(exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value))


def test_saved_found_forgotten(docker):
    configure(docker, {"auths": {"other": {"auth": "eDp5"}}, "HttpHeaders": {"a": "b"}})
    assert credentials_for("host:5000") is None
    assert save("host:5000", Credentials("ada", "pa:ss ü")) == str(docker)
    assert docker.stat().st_mode & 0o777 == 0o600
    assert credentials_for("host:5000") == Credentials("ada", "pa:ss ü")
    assert json.loads(docker.read_text())["HttpHeaders"] == {"a": "b"}
    assert forget("host:5000")
    assert not forget("host:5000")
    assert credentials_for("other") == Credentials("x", "y")


def test_the_environment_counts_for_its_registry_alone(docker, monkeypatch):
    monkeypatch.setenv("JINA_HUB_USERNAME", "ada")
    monkeypatch.setenv("JINA_HUB_PASSWORD", "secret")
    monkeypatch.setenv("JINA_HUB_REGISTRY", "host:5000/team")
    assert credentials_for("host:5000") == Credentials("ada", "secret")
    assert credentials_for("elsewhere") is None


@pytest.mark.parametrize(
    ("host", "entry"),
    [
        ("docker.io", {"https://index.docker.io/v1/": {"auth": "eDp5"}}),
        ("ghcr.io", {"https://ghcr.io": {"username": "x", "password": "y"}}),
    ],
)
def test_names_of_docker(docker, host, entry):
    configure(docker, {"auths": entry})
    assert credentials_for(host) == Credentials("x", "y")


def test_an_identity_token(docker):
    code = base64.b64encode(b"x:").decode()
    configure(docker, {"auths": {"h": {"auth": code, "identitytoken": "long"}}})
    assert credentials_for("h").identity_token == "long"


@pytest.mark.parametrize("setting", [{"credsStore": "tests"}, {"credHelpers": {"h:1": "tests"}}])
def test_a_helper(docker, tmp_path, monkeypatch, setting):
    program = tmp_path / "bin" / "docker-credential-tests"
    program.parent.mkdir()
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    configure(docker, setting)
    assert credentials_for("h:1") is None
    assert save("h:1", Credentials("ada", "secret")) == "docker-credential-tests"
    assert "secret" not in docker.read_text()
    assert credentials_for("h:1") == Credentials("ada", "secret")
    assert forget("h:1")
    assert credentials_for("h:1") is None


@pytest.mark.parametrize("helper", ["is-not-there", "../../bin/sh", ""])
def test_a_helper_that_is_not_there(docker, helper):
    configure(docker, {"credsStore": helper})
    if helper:
        with pytest.raises(ConfigError, match="not installed"):
            save("h", Credentials("a", "b"))
    assert credentials_for("h") is None


@pytest.mark.parametrize("text", ['{"auths": {"h": {"auth": "c2VjcmV0"', "[1]", "[" * 100_000])
def test_a_broken_configuration_is_named_and_not_shown(docker, text):
    configure(docker, text)
    with pytest.raises(ConfigError, match=r"config\.json") as caught:
        credentials_for("h")
    assert "c2VjcmV0" not in str(caught.value)


def test_nothing_shows_a_password():
    shown = repr(Credentials("ada", "secret", "token"))
    assert "ada" in shown
    assert "secret" not in shown
    assert "token" not in shown.replace("identity_token", "")
