"""`jina hub` from the command line, in this process; against a folder and a registry with TLS and passwords."""

import io
import json
import os
from pathlib import Path

import pytest
from tests.certificates import certificate
from tests.hub.registries import PASSWORD, USER, docker_registry
from tests.hub.test_checking import TYPED
from tests.hub.test_packages import write
from tests.hub.test_signatures import make_key

from jina import Executor
from jina.cli.main import main
from jina.hub.fetch import Fetching
from jina.hub.oci import Descriptor, LayoutStore, Manifest


@pytest.fixture
def jina(capsys):
    """Runs a command line; gives exit code and output."""

    def run(*words, code=0):
        found = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert found == code, err
        return out if code == 0 else out + err

    return run


def test_push_list_inspect_pull(jina, folder):
    digest = json.loads(jina("hub", "push", folder, "-t", "latest", "v1", "--json"))["digest"]
    assert jina("hub", "list") == "upper  latest v1\n"
    assert json.loads(jina("hub", "list", "upper", "--json"))["packages"] == {"upper": ["latest", "v1"]}
    shown = jina("hub", "inspect", "jinahub://upper:v1")
    assert f"digest       {digest}" in shown
    assert "endpoint     /default  foo(" in shown
    assert "referrer     application/vnd.cyclonedx+json" in shown
    value = json.loads(jina("hub", "inspect", "upper", "--json"))
    assert (value["digest"], value["metadata"]["endpoints"][0]["method"]) == (digest, "foo")
    place = Path(jina("hub", "pull", "upper").strip())
    assert (place / "data.txt").read_text() == "one"
    assert json.loads(jina("hub", "pull", "jinahub://upper", "--offline", "--json"))["version"] == digest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", "jinaai://ada/upper"])
def test_what_push_prints_names_the_package_in_whatever_registry(jina, folder, tmp_path, monkeypatch, name):
    """In another folder than that of JINA_HUB_REGISTRY: each name that is printed is used as it is."""
    monkeypatch.setenv("JINA_HUB_REGISTRY", str(tmp_path / "another"))
    registry = tmp_path / "a registry, ü@home: 100%"
    words = ["--name", name] if name else []
    printed = jina("hub", "push", folder, "-t", "v1", "--registry", registry, *words).split()
    assert [uses.partition("://")[0] for uses in printed] == ["hub", "hub"]
    for uses in printed:
        assert Path(jina("hub", "pull", uses).strip()).joinpath("data.txt").read_text() == "one"
        assert "endpoint     /default" in jina("hub", "inspect", uses)
    assert Executor.from_hub(printed[1]).__class__.__name__ == "Upper"
    assert "is not a digest" in jina("hub", "pull", printed[1][:-1], code=2)
    # Of the registry that JINA_HUB_REGISTRY says, a short name.
    assert jina("hub", "push", folder).startswith("jinahub://upper:latest\n")


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["", "jinahub://upper:v1", "upper"])
def test_what_status_prints_names_the_package_in_whatever_registry(jina, folder, tmp_path, monkeypatch, asked):
    """Of another registry than that of JINA_HUB_REGISTRY: the name that is printed, and each digest behind it."""
    monkeypatch.setenv("JINA_HUB_REGISTRY", str(tmp_path / "another"))
    there = ["--registry", tmp_path / "a registry"]
    jina("hub", "push", folder, "-t", "v1", *there)
    jina("hub", "pull", "jinahub://upper:v1", *there)
    jina("hub", "lock", "jinahub://upper:v1", *there)
    found = json.loads(jina("hub", "status", asked or folder, *there, "--json"))
    assert found["uses"].startswith("hub:///")
    name = found["uses"].removesuffix(":v1")
    (tag,) = found["tags"]
    for uses in (f"{name}:{tag['tag']}", f"{name}@{tag['digest']}"):
        assert Path(jina("hub", "pull", uses).strip()).joinpath("data.txt").read_text() == "one"
    shown = jina("hub", "status", asked or folder, *there)
    assert shown.startswith(f"package      {found['uses']}\n")
    assert tag["cached"]
    if asked.startswith("jinahub://"):  # as it was pulled and pinned
        assert (found["lock"]["version"], found["cached"]["version"]) == (tag["digest"], tag["digest"])


def test_push_refuses_a_package_with_mistakes(jina, folder):
    (folder / "executor.py").write_text("import not_there\n")
    assert "executor.py:1" in jina("hub", "push", folder, code=2)
    assert jina("hub", "list") == ""
    assert json.loads(jina("hub", "list", "--json"))["packages"] == {}
    jina("hub", "push", folder, "--no-check")
    assert jina("hub", "list") == "upper  latest\n"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("jinahub://uper", "no repository uper\n  help: it has: upper"),
        ("jinahub://upper:v2", "no v2\n  help: it has: latest"),
        ("localhost:5000/team/upper:v1", "with its registry: hub://localhost:5000/team/upper:v1"),
        ("docker://upper", "it is an image, which Deployments and Flows use as it is"),
        ("oci://upper", "write jinahub://NAME[:TAG]"),
        ("hub:/upper", "'hub:/upper': '/upper' is not a tag"),
        ("jinahub://Ü", "'jinahub://Ü': 'ü' is not a repository\n  help: use lower-case letters"),
    ],
)
def test_a_wrong_name_is_told_with_what_to_write(jina, folder, uri, words):
    jina("hub", "push", folder, "--no-check")
    assert words in jina("hub", "pull", uri, code=2)


def test_a_registry_says_what_it_has(jina, folder, tmp_path):
    with docker_registry(tmp_path / "r") as registry:
        there = ["--registry", f"{registry.host}/team"]
        assert jina("hub", "list", *there) == ""
        jina("hub", "push", folder, "-t", "v1", "v2", "--no-check", *there)
        refused = jina("hub", "inspect", f"hub://{registry.host}/team/upper", code=2)
        assert f"{registry.host}/team/upper: no latest\n  help: it has: v1, v2" in refused
        refused = jina("hub", "pull", f"hub://{registry.host}/team/uper:v1", code=2)
        assert f"{registry.host}/team/uper: no v1\n  help: jina hub list --registry HOST" in refused


@pytest.mark.slow
def test_a_protected_tag_stays(jina, folder):
    jina("hub", "push", folder, "--protected-tag", "v1")
    jina("hub", "push", folder, "--protected-tag", "v1")
    (folder / "data.txt").write_text("two")
    assert "the tag v1 is there already" in jina("hub", "push", folder, "--protected-tag", "v1", code=2)
    assert (Fetching().fetch("jinahub://upper:v1").folder / "data.txt").read_text() == "one"
    jina("hub", "push", folder, "--tag", "v1")
    assert (Fetching().fetch("jinahub://upper:v1").folder / "data.txt").read_text() == "two"


def test_check(jina, folder):
    write(folder, {"executor.py": TYPED})
    shown = jina("hub", "check", folder)
    assert "/upper  upper(Text, parameters: Options) -> Text\n" in shown
    assert "/stream  stream(Text) ->> Text\n" in shown
    assert shown.endswith("Upper: 3 files, 2 endpoints, 0 mistakes\n")
    assert json.loads(jina("hub", "check", folder, "--json"))["good"]
    (folder / "executor.py").write_text("import not_there\n")
    assert "executor.py:1: error: " in jina("hub", "check", folder, code=1)
    assert not json.loads(jina("hub", "check", folder, "--json", code=1))["good"]
    assert "no config.yml" in jina("hub", "check", folder.parent, code=2)


@pytest.mark.slow
def test_signed_and_verified(jina, folder, tmp_path):
    (private, public), (_, other) = make_key(tmp_path, "ada"), make_key(tmp_path, "bob")
    jina("hub", "push", folder)
    assert "is not signed" in jina("hub", "verify", "upper", "--key", public, code=1)
    jina("hub", "push", folder, "--sign", private)
    assert f"is signed by {public}" in jina("hub", "verify", "upper", "--key", other, public)
    assert not json.loads(jina("hub", "verify", "upper", "--key", other, "--json", code=1))["verified"]


def test_lock(jina, folder, tmp_path):
    digest = json.loads(jina("hub", "push", folder, "--json"))["digest"]
    flow = write(tmp_path / "flow", {"flow.yml": "jtype: Flow\nexecutors:\n  - uses: jinahub://upper\n"}) / "flow.yml"
    assert jina("hub", "lock", flow) == f"jinahub://upper  {digest}\n"
    assert json.loads(Path("jina.lock").read_text())["packages"] == {"jinahub://upper": digest}
    jina("hub", "lock", "jinahub://upper:latest")
    assert len(json.loads(Path("jina.lock").read_text())["packages"]) == 2
    (tmp_path / "flow/flow.yml").write_text("jtype: Flow\nexecutors:\n  - uses: X\n")
    assert "names no package" in jina("hub", "lock", flow, code=2)


def test_lock_follows_what_a_file_names(jina, folder, tmp_path):
    """Whatever stands as an Executor: around shards, as the gateway, in a file that the file names."""
    jina("hub", "push", folder, "-t", "latest", "a", "b", "c")
    inner = "jtype: Deployment\nwith: {uses: 'jinahub://upper:c'}\n"
    text = (
        "jtype: Flow\ngateway: {uses: 'jinahub://upper'}\nexecutors:\n"
        "  - {uses: Executor, shards: 2, uses_before: 'jinahub://upper:a', uses_after: 'jinahub://upper/b'}\n"
        "  - {uses: inner.yml}\n  - {uses: 'jinahub+docker://upper'}\n"
    )
    place = write(tmp_path / "a flow", {"flow.yml": text, "inner.yml": inner})
    jina("hub", "lock", place / "flow.yml", "--output", place / "jina.lock")
    pins = json.loads((place / "jina.lock").read_text())["packages"]
    names = ["jinahub+docker://upper", "jinahub://upper", "jinahub://upper/b", "jinahub://upper:a", "jinahub://upper:c"]
    assert sorted(pins) == names


def test_what_to_run_next_can_be_pasted(capsys):
    assert main(["hub", "new", "--name", "Upper", "--path", "a folder"]) == 0
    assert "jina executor --uses 'a folder/config.yml'" in capsys.readouterr().err


@pytest.mark.slow
def test_status(jina, folder, tmp_path):
    """Of a folder that is not pushed, then of what is, with its signature, lock, cache and requirements."""
    assert "none: `jina hub push`" in jina("hub", "status", folder)
    private, _ = make_key(tmp_path, "ada")
    digest = json.loads(jina("hub", "push", folder, "-t", "v1", "--sign", private, "--json"))["digest"]
    shown = jina("hub", "status", folder)
    assert f"tag          v1  {digest}  1 signatures  as in the folder\n" in shown
    assert "never fetched" in shown
    (folder / "data.txt").write_text("two")
    (folder / "requirements.txt").write_text("none-such\n")
    assert "as in the folder" not in jina("hub", "status", folder)
    other = json.loads(jina("hub", "push", folder, "-t", "v2", "--json"))["digest"]
    jina("hub", "lock", "jinahub://upper:v2")
    found = json.loads(jina("hub", "status", "jinahub://upper:v2", "--json"))
    assert [(one["tag"], one["digest"], one["cached"]) for one in found["tags"]] == [
        ("v1", digest, False), ("v2", other, True),
    ]  # fmt: skip
    assert (found["lock"]["version"], found["cached"]["version"], found["environment"]) == (other, other, None)
    assert [Path(file).name for file in found["requirements"]] == ["requirements.txt"]
    shown = jina("hub", "status", "jinahub://upper:v2", "--offline")
    assert f"lock         jina.lock: {other}" in shown
    assert "environment  not made: `jina hub pull" in shown
    assert "tag " not in shown
    assert "no such folder" in jina("hub", "status", "./gone", code=2)


def test_status_of_a_package_whose_image_has_its_name(jina, folder):
    jina("hub", "push", folder, "-t", "v1", "--no-check")
    store = LayoutStore(Path(json.loads(jina("hub", "list", "--json"))["registry"]))
    store.write_blob("upper", Descriptor.of("application/x", b"{}"), io.BytesIO(b"{}"))
    store.write_manifest("upper", Manifest(Descriptor.of("application/x", b"{}"), ()).to_bytes(), ["image"])
    assert [one["tag"] for one in json.loads(jina("hub", "status", folder, "--json"))["tags"]] == ["v1"]


def test_pull_takes_no_environment_from_nowhere(jina, folder):
    (folder / "requirements.txt").write_text("none-such\n")
    jina("hub", "push", folder, "--no-check")
    jina("hub", "pull", "upper")
    assert "is not made, and offline" in jina("hub", "pull", "upper", "--offline", "--install-requirements", code=2)
    (folder / "requirements.txt").write_text("")
    jina("hub", "push", folder)
    assert json.loads(jina("hub", "pull", "upper", "--install-requirements", "--json"))["environment"] is None


@pytest.mark.slow
def test_a_registry_with_tls_and_passwords(jina, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    made = certificate(tmp_path)
    with docker_registry(tmp_path / "r", certificate=made, auth="basic") as registry:
        monkeypatch.setenv("JINA_HUB_REGISTRY", f"{registry.host}/team")
        monkeypatch.setenv("JINA_HUB_CA_FILE", made.authority)
        assert "asks for credentials" in jina("hub", "push", folder, code=2)
        monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
        refused = jina("hub", "login", "--username", USER, "--password-stdin", code=2)
        assert "does not take the credentials" in refused
        assert not (tmp_path / "docker").exists()
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        shown = jina("hub", "login", "--username", USER, "--password-stdin")
        assert PASSWORD not in shown
        assert jina("hub", "push", folder).startswith("jinahub://upper:latest\n")
        assert jina("hub", "list") == "upper  latest\n"
        assert jina("hub", "list", "upper") == "upper  latest\n"
        listed = json.loads(jina("hub", "list", "--json"))
        assert listed == {"registry": f"{registry.host}/team", "packages": {"upper": ["latest"]}}
        place = Path(jina("hub", "pull", "jinahub://upper").strip())
        assert (place / "data.txt").read_text() == "one"
        assert jina("hub", "pull", f"hub://{registry.host}/team/upper").strip() == str(place)
        jina("hub", "logout")
        assert "asks for credentials" in jina("hub", "list", code=2)
    os.environ.pop("JINA_HUB_REGISTRY")
    assert jina("hub", "pull", f"hub://{registry.host}/team/upper", "--offline").strip() == str(place)
