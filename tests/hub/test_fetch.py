"""From names to folders: registries, git, the cache, the lock, and what is trusted."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.hub.test_packages import write
from tests.hub.test_signatures import make_key

from jina import Deployment, Document, Executor, Flow
from jina.config.rules import is_image
from jina.errors import BadConfigSource, ConfigError, NotSupportedError, PermissionDenied
from jina.hub.fetch import (
    Fetching,
    GitSource,
    Named,
    image_digest,
    image_named,
    is_reference,
    lock_for,
    pinned_image,
    read_lock,
    registry_named,
    write_lock,
)
from jina.hub.oci import LayoutStore
from jina.hub.packages import Package, push
from jina.hub.signatures import Trust, sign

GATE_CONFIG = "jtype: Gate\npy_modules: [gate.py]\n"
GATE = """
from jina import Gateway


class Gate(Gateway):
    def __init__(self, **kwargs):
        super().__init__(title="Gate", **kwargs)
"""


def store():
    return LayoutStore(Path(registry_named()[0]))


def pushed(folder, tags=("latest",), repository="upper"):
    return push(Package.read(folder), store(), repository, tags, endpoints=None)


class TestNames:
    @pytest.mark.parametrize(
        ("uses", "registry", "found"),
        [
            ("hub://h:5000/a/b:v1", "", "h:5000/a/b:v1"),
            ("jinahub://Upper", "", "upper"),
            ("jinahub://Upper/v1", "", "upper:v1"),
            ("jinahub://Upper:v1", "h:5000/team", "h:5000/team/upper:v1"),
            ("jinaai://Ada/Upper:v1", "h", "h/ada/upper:v1"),
            (f"jinahub://upper@sha256:{'a' * 64}", "", f"upper@sha256:{'a' * 64}"),
            ("upper:v1", "", "upper:v1"),
        ],
    )
    def test_where_a_name_leads(self, monkeypatch, uses, registry, found):
        monkeypatch.setenv("JINA_HUB_REGISTRY", registry)
        assert str(Named.parse(uses).reference) == found

    @pytest.mark.parametrize("uses", ["jinahub://", "jinahub://a b", "jinahub://../x", "hub://name", "jinahub://x@1"])
    def test_a_name_that_is_none_is_shown(self, uses):
        with pytest.raises(ConfigError) as caught:
            Named.parse(uses)
        assert uses.partition("://")[2] in str(caught.value)

    def test_what_is_to_be_fetched(self):
        assert is_reference("jinahub://x")
        assert is_reference("git+https://h/x")
        for other in ("docker://x", "jinahub+docker://x", "x.yml", "https://h/x.yml", None, {"a": 1}, Executor):
            assert not is_reference(other)

    def test_where_the_registry_is(self, monkeypatch, tmp_path):
        assert registry_named() == (str(tmp_path / "data/jina/registry"), "")
        assert registry_named("./x") == (str(Path.cwd() / "x"), "")
        monkeypatch.setenv("JINA_HUB_REGISTRY", "h:1/a/b/")
        assert registry_named() == ("h:1", "a/b/")
        with pytest.raises(ConfigError, match="is not a host"):
            registry_named("h h")


class TestRegistry:
    def test_fetched_once(self, folder):
        entry = pushed(folder)
        first = Fetching().fetch("jinahub://upper")
        assert first.version == entry.digest
        assert (first.folder / "data.txt").read_text() == "one"
        (first.folder / "mark").touch()
        assert (Fetching().fetch("jinahub://upper").folder / "mark").exists()
        assert not (Fetching(force=True).fetch("jinahub://upper").folder / "mark").exists()

    def test_a_tag_that_moved(self, folder):
        pushed(folder)
        Fetching().fetch("jinahub://upper")
        (folder / "data.txt").write_text("two")
        pushed(folder)
        assert (Fetching(offline=True).fetch("jinahub://upper").folder / "data.txt").read_text() == "one"
        assert (Fetching().fetch("jinahub://upper").folder / "data.txt").read_text() == "two"

    def test_offline(self, folder, monkeypatch):
        entry = pushed(folder)
        with pytest.raises(BadConfigSource, match="not in the cache"):
            Fetching(offline=True).fetch("jinahub://upper")
        Fetching().fetch("jinahub://upper")
        os.rename(registry_named()[0], registry_named()[0] + "-gone")
        assert Fetching(offline=True).fetch("jinahub://upper").version == entry.digest
        assert Fetching().fetch(f"jinahub://upper@{entry.digest}").version == entry.digest
        with pytest.raises(ConfigError, match="no repository upper"):
            Fetching().fetch("jinahub://upper")

    def test_what_is_not_there(self, folder):
        pushed(folder, ["v1"])
        with pytest.raises(ConfigError, match=r"(?s)no latest.*it has: v1"):
            Fetching().fetch("jinahub://upper")


class TestLock:
    def test_only_what_is_pinned(self, folder, tmp_path):
        entry = pushed(folder)
        lock = tmp_path / "jina.lock"
        write_lock(lock, {"jinahub://upper": entry.digest})
        (folder / "data.txt").write_text("two")
        pushed(folder)
        found = Fetching(lock=lock).fetch("jinahub://upper")
        assert (found.version, (found.folder / "data.txt").read_text()) == (entry.digest, "one")
        with pytest.raises(ConfigError, match="does not pin jinahub://upper:v1"):
            Fetching(lock=lock).fetch("jinahub://upper:v1")

    def test_images(self, folder, tmp_path):
        """What starts them asks the lock for their digests; without a lock they are what their names say."""
        assert pinned_image("docker://upper", str(tmp_path)) == ""
        digest = f"sha256:{'a' * 64}"
        write_lock(tmp_path / "jina.lock", {"docker://upper": digest})
        assert pinned_image("docker://upper", str(tmp_path)) == digest
        with pytest.raises(ConfigError, match="does not pin docker://lower"):
            pinned_image("docker://lower", str(tmp_path))
        assert image_digest(f"docker://localhost:1/upper@{digest}") == digest
        entry = pushed(folder)
        assert image_digest("jinahub+docker://upper") == entry.digest
        with pytest.raises(ConfigError, match="lower") as caught:
            image_digest("jinahub+docker://lower")
        assert "push the image" in caught.value.help

    @pytest.mark.parametrize(
        ("uses", "found"),
        [
            ("docker://python:3.11", "docker.io/library/python:3.11"),
            ("docker://ada/upper", "docker.io/ada/upper"),
            ("docker://localhost:5000/upper:v1", "localhost:5000/upper:v1"),
            ("jinaai+docker://ada/Upper:v1", "ada/upper:v1"),
        ],
    )
    def test_where_an_image_is(self, uses, found):
        assert is_image(uses)
        assert str(image_named(uses).reference) == found

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"packages": {"a": "latest"}}', '{"packages": [1]}'])
    def test_a_file_that_is_none(self, tmp_path, text):
        (tmp_path / "jina.lock").write_text(text)
        with pytest.raises(ConfigError, match=r"jina\.lock"):
            read_lock(tmp_path / "jina.lock")

    def test_which_lock_counts(self, tmp_path):
        assert lock_for(None) is None
        write_lock(Path.cwd() / "jina.lock", {})
        assert lock_for(str(tmp_path)) == Path("jina.lock")
        write_lock(tmp_path / "jina.lock", {})
        assert lock_for(str(tmp_path)) == tmp_path / "jina.lock"


class TestTrust:
    def test_digests(self, folder):
        entry = pushed(folder)
        fetching = Fetching(trust=Trust("digest"))
        with pytest.raises(PermissionDenied, match="not pinned"):
            fetching.fetch("jinahub://upper")
        assert fetching.fetch(f"jinahub://upper@{entry.digest}").version == entry.digest

    def test_keys(self, folder, tmp_path):
        entry = pushed(folder)
        (private, public), (_, other) = make_key(tmp_path, "ada"), make_key(tmp_path, "bob")
        with pytest.raises(PermissionDenied, match="is not signed"):
            Fetching(trust=Trust("keys", (public,))).fetch("jinahub://upper")
        assert not (tmp_path / "cache/jina/hub/packages").exists()
        sign(store(), "upper", "local/upper", entry, private)
        assert Fetching(trust=Trust("keys", (public,))).fetch("jinahub://upper").version == entry.digest
        with pytest.raises(PermissionDenied, match="by any of the keys"):
            Fetching(trust=Trust("keys", (other,))).fetch("jinahub://upper")


def git(folder, *words):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, folder):
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "packages").mkdir()
    folder.rename(root / "packages/upper")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    git(root, "tag", "v1")
    (root / "packages/upper/data.txt").write_text("two")
    git(root, "commit", "-qam", "two")
    return root


class TestGit:
    def uses(self, repository, ref=""):
        return f"git+file://{repository}{ref}#subdirectory=packages/upper"

    def test_refs(self, repository):
        head, v1 = git(repository, "rev-parse", "HEAD"), git(repository, "rev-parse", "v1")
        for ref, text, commit in (("", "two", head), ("@main", "two", head), ("@v1", "one", v1), (f"@{v1}", "one", v1)):
            found = Fetching().fetch(self.uses(repository, ref))
            assert (found.version, (found.folder / "data.txt").read_text()) == (commit, text)
        assert not list(found.folder.glob(".git"))

    def test_offline_and_pinned(self, repository, tmp_path):
        v1 = git(repository, "rev-parse", "v1")
        with pytest.raises(BadConfigSource, match="not in the cache"):
            Fetching(offline=True).fetch(self.uses(repository, "@v1"))
        lock = tmp_path / "jina.lock"
        write_lock(lock, {self.uses(repository): v1})
        assert (Fetching(lock=lock).fetch(self.uses(repository)).folder / "data.txt").read_text() == "one"
        Fetching().fetch(self.uses(repository, "@v1"))
        repository.rename(tmp_path / "gone")
        assert Fetching(offline=True).fetch(self.uses(repository, "@v1")).version == v1
        with pytest.raises(ConfigError):
            Fetching().fetch(self.uses(repository, "@v1"))

    def test_what_is_not_there(self, repository):
        with pytest.raises(ConfigError, match="has no 'v9'"):
            Fetching().fetch(self.uses(repository, "@v9"))
        with pytest.raises(ConfigError, match=r"no config\.yml"):
            Fetching().fetch(f"git+file://{repository}")
        with pytest.raises(ConfigError, match="git archive failed"):
            Fetching().fetch(f"git+file://{repository}#subdirectory=nowhere")

    def test_trust(self, repository):
        v1 = git(repository, "rev-parse", "v1")
        with pytest.raises(PermissionDenied, match="no signature"):
            Fetching(trust=Trust("keys")).fetch(self.uses(repository))
        with pytest.raises(PermissionDenied, match="names no commit"):
            Fetching(trust=Trust("digest")).fetch(self.uses(repository))
        assert Fetching(trust=Trust("digest")).fetch(self.uses(repository, f"@{v1}")).version == v1

    @pytest.mark.parametrize(
        ("uses", "source"),
        [
            ("git+https://h/a/b.git@v1#subdirectory=x/y", GitSource("https://h/a/b.git", "v1", "x/y")),
            ("git+ssh://git@h/a.git", GitSource("ssh://git@h/a.git", "", "")),
            ("git+file:///a/b@feature/x", GitSource("file:///a/b", "feature/x", "")),
        ],
    )
    def test_parts(self, uses, source):
        assert GitSource.parse(uses) == source

    @pytest.mark.parametrize(
        "uses",
        [
            "git+http://h/a",
            "git+https://h",
            "git+https://h/a@--upload-pack=x",
            "git+https://h/a#subdirectory=../x",
            "git+https://h/a#egg=x",
        ],
    )
    def test_what_is_refused(self, uses):
        with pytest.raises((ConfigError, ValueError)) as caught:
            GitSource.parse(uses)
        assert repr(uses) in str(caught.value)

    def test_a_link_that_leaves_is_refused(self, repository, tmp_path):
        (repository / "packages/upper/out").symlink_to("/etc/passwd")
        git(repository, "add", ".")
        git(repository, "commit", "-qm", "link")
        with pytest.raises(ConfigError, match=r"leads to"):
            Fetching().fetch(self.uses(repository))
        assert list((tmp_path / "cache/jina/hub/git").iterdir()) == []

    def test_a_password_in_an_address_is_neither_taken_nor_shown(self):
        with pytest.raises(ConfigError, match="must not hold credentials") as caught:
            Fetching().fetch("git+https://ada:secret@host.test/a/b.git@v1")
        assert "secret" not in str(caught.value)


class TestServed:
    def test_a_deployment_of_a_package(self, folder):
        pushed(folder)
        with Deployment(uses="jinahub://upper", host="127.0.0.1") as deployment:
            assert deployment.post("/", Document(text="hello"))[0].text == "HELLO"

    @pytest.mark.slow
    def test_a_flow_of_a_lock(self, folder, tmp_path):
        entry = pushed(folder)
        write_lock(tmp_path / "flow/jina.lock", {"jinahub://upper": entry.digest})
        (tmp_path / "flow/flow.yml").write_text(
            "jtype: Flow\nwith: {host: 127.0.0.1}\nexecutors:\n  - {name: a, uses: 'jinahub://upper'}\n"
        )
        (folder / "executor.py").write_text("raise RuntimeError('the new version')\n")
        pushed(folder)
        with Flow.load_config(str(tmp_path / "flow/flow.yml")) as flow:
            assert flow.post("/", Document(text="hello"))[0].text == "HELLO"

    @pytest.mark.slow
    def test_a_flow_of_a_lock_offline(self, folder, tmp_path):
        """Without its registry, the gateway of the Flow is one of the hub as well."""
        pushed(folder)
        gate = write(tmp_path / "gate", {"config.yml": GATE_CONFIG, "gate.py": GATE})
        push(Package.read(gate), store(), "gate", ["latest"], endpoints=None)
        names = ("jinahub://upper", "jinahub://gate")
        write_lock(Path("jina.lock"), {name: Fetching().fetch(name).version for name in names})
        os.rename(registry_named()[0], registry_named()[0] + "-gone")
        flow = Flow(host="127.0.0.1", offline=True).config_gateway(uses="jinahub://gate")
        with flow.add(uses="jinahub://upper", shards=2, polling="ANY", uses_before="jinahub://upper") as served:
            assert served.post("/", Document(text="hello"))[0].text == "HELLO"
        with pytest.raises(ConfigError, match="does not pin jinahub://other"):
            Flow(offline=True).add(uses="jinahub://other").start()

    def test_around_shards(self, folder):
        pushed(folder)
        plan = Flow().add(uses=Executor, shards=2, uses_before="jinahub://upper").plan
        assert "cache" in json.dumps([str(one) for one in plan.deployments])

    def test_from_hub(self, folder):
        pushed(folder)
        executor = Executor.from_hub("jinahub://upper", uses_metas={"name": "mine"})
        assert type(executor).__name__ == "Upper"
        assert executor.metas.name == "mine"
        with pytest.raises(ConfigError, match="names no package"):
            Executor.from_hub("config.yml")

    def test_from_hub_installs_nothing_into_this_process(self, folder):
        (folder / "requirements.txt").write_text("# nothing yet\n")
        pushed(folder)
        assert type(Executor.from_hub("jinahub://upper", install_requirements=True)).__name__ == "Upper"
        (folder / "requirements.txt").write_text("distribution-of-a-test\n")
        pushed(folder)
        with pytest.raises(NotSupportedError, match="nothing is installed into that") as caught:
            Executor.from_hub("jinahub://upper", install_requirements=True)
        assert "requirements.txt" in caught.value.help
        assert type(Executor.from_hub("jinahub://upper")).__name__ == "Upper"

    def test_what_load_config_says(self):
        with pytest.raises(ConfigError, match="from_hub"):
            Executor.load_config("jinahub://upper")
