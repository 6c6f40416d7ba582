"""Packages pushed and pulled through a folder and real registries, that die on the way or hold something else."""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.certificates import Authority
from tests.hub.conftest import CONFIG
from tests.hub.registries import PASSWORD, USER, DockerRegistry, Tokens, counted, docker_registry, odd
from tests.hub.test_packages import EXECUTOR, write
from tests.hub.test_signatures import make_key

from jina.errors import ConfigError, JinaError, PermissionDenied, Unauthenticated
from jina.hub.credentials import Credentials
from jina.hub.fetch import Fetching
from jina.hub.oci import Damaged, LayoutStore, NotFound, parse_manifest
from jina.hub.packages import FILE, LARGE, Package, files_of, push
from jina.hub.registry import UPLOAD, Access, RegistryStore, _Begun
from jina.hub.signatures import Trust, sign

WEIGHTS = random.Random(5).randbytes(2 * UPLOAD + 12345)
JINA = Path(sys.executable).with_name("jina")
NAME = "team/upper"


@dataclass
class Place:
    """Somewhere that packages are pushed to."""

    kind: str
    folder: Path
    registry: DockerRegistry | None = None
    tokens: Tokens | None = None
    made: list[str] = field(default_factory=list)

    def store(self, *, user: str = USER, password: str = PASSWORD, patience: float = 30):
        """It, as a user sees it; no user: as a stranger does."""
        if self.registry is None:
            return LayoutStore(self.folder)
        known = Credentials(user, password) if user else None
        return RegistryStore(self.registry.host, self.access(patience), lambda _: known)

    def access(self, patience: float = 30) -> Access | None:
        if self.registry is None or self.registry.certificate is None:
            return None
        return Access(ca_file=self.registry.certificate.authority, patience=patience)

    def fetching(self, trust: Trust | None = None, patience: float = 2) -> Fetching:
        home = str(self.folder) if self.registry is None else self.registry.host
        return Fetching(registry=home, access=self.access(patience), trust=trust)

    def file(self, digest: str) -> Path:
        """Where it keeps a blob."""
        value = digest.removeprefix("sha256:")
        if self.registry is None:
            return self.folder / NAME / "blobs/sha256" / value
        return self.registry.folder / f"data/docker/registry/v2/blobs/sha256/{value[:2]}/{value}/data"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca")).issue("127.0.0.1", "localhost")


@pytest.fixture(params=["folder", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("basic", "token"))])
def place(request, tmp_path, certificate, monkeypatch):
    folder = tmp_path / "registry"
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with contextlib.ExitStack() as stack:
        registry = tokens = None
        if request.param == "basic":
            registry = stack.enter_context(docker_registry(folder, certificate=certificate, auth="basic"))
        elif request.param == "token":
            tokens = Tokens(folder)
            auth = tokens.auth(stack.enter_context(odd(tokens, certificate)))
            registry = stack.enter_context(docker_registry(folder, certificate=certificate, auth=auth))
        if registry is not None:
            (tmp_path / "docker").mkdir()
            write(tmp_path / "docker", {"config.json": json.dumps(
                {"auths": {registry.host: {"username": USER, "password": PASSWORD}}}
            )})  # fmt: skip
        yield Place(request.param, folder, registry, tokens)


@pytest.fixture
def package(tmp_path):
    files = {"config.yml": CONFIG, "executor.py": EXECUTOR, "requirements.txt": "numpy\n", "weights.bin": WEIGHTS}
    return Package.read(write(tmp_path / "upper", files))


def cached():
    """What is in the cache, by paths below it."""
    cache = Path(os.environ["XDG_CACHE_HOME"])
    return {path.relative_to(cache / "jina/hub").as_posix() for path in cache.rglob("*") if path.is_file()}


def same(package, folder):
    assert files_of(folder) == files_of(package.folder)
    for path in files_of(folder):
        assert (folder / path).read_bytes() == (package.folder / path).read_bytes()


def dies_at(registry, part, already):
    """Told of progress: kills the registry at a part of the weights, and starts it again half a second later."""
    moved, again = [0], []

    def progress(name, more, size):
        if name != "weights.bin" or again:
            return
        moved[0] += more
        if moved[0] >= size * part:
            registry.kill()
            already()
            again.append(threading.Timer(0.5, registry.start))
            again[0].start()

    progress.again = again
    return progress


class TestThereAndBack:
    def test_push_and_pull(self, place, package):
        pushed = push(package, place.store(), NAME, ["latest", "v1"])
        found = place.fetching().fetch(f"jinaai://{NAME}:v1")
        assert found.version == pushed.digest
        same(package, found.folder)
        assert [tag for tag in place.store().tags(NAME) if not tag.startswith("sha256-")] == ["latest", "v1"]

    def test_some_that_pull_at_once(self, place, package):
        """Each of them has the package, there is one of it, and nothing that is not whole."""
        pushed = push(package, place.store(), NAME, ["latest"])
        together, found = threading.Barrier(3), []

        def pull():
            met = []

            def progress(name, more, size):
                if name == "weights.bin" and not met:
                    met.append(together.wait(60))

            made = place.fetching(patience=30)
            fetching = Fetching(registry=made.registry, access=made.access, progress=progress)
            found.append(fetching.fetch(f"jinaai://{NAME}"))

        pulling = [threading.Thread(target=pull) for _ in range(3)]
        for one in pulling:
            one.start()
        for one in pulling:
            one.join(100)
        assert {one.version for one in found} == {pushed.digest}
        assert len(found) == 3
        same(package, found[0].folder)
        assert {Path(name).parts[0] for name in cached()} == {"packages", "blobs", "names.json", ".lock"}
        assert len({Path(name).parts[1] for name in cached() if name.startswith(("packages/", "blobs/"))}) == 2

    def test_who_may(self, place, package):
        if place.kind == "folder":
            pytest.skip("a folder asks nobody")
        with pytest.raises(Unauthenticated, match="does not take the credentials"):
            push(package, place.store(password="wrong", patience=2), NAME, ["latest"])
        with pytest.raises(Unauthenticated, match="asks for credentials"):
            push(package, place.store(user="", patience=2), NAME, ["latest"])
        push(package, place.store(), NAME, ["latest"])
        if place.tokens is not None:  # strangers may pull there
            assert place.store(user="").manifest(NAME, "latest")
            assert place.tokens.given[-1] == ("", [f"{NAME}:pull"])

    def test_by_the_command_line_no_password_is_shown(self, place, package, tmp_path):
        """Log in, push, list, pull; then fail: the password is in nothing that is printed."""
        if place.kind == "folder":
            pytest.skip("a folder asks nobody")
        environment = {**os.environ, "JINA_HUB_REGISTRY": place.registry.host, "JINA_LOG_LEVEL": "DEBUG",
                       "JINA_HUB_CA_FILE": place.registry.certificate.authority,
                       "DOCKER_CONFIG": str(tmp_path / "another")}  # fmt: skip

        def jina(*words, given="", code=0):
            command = [str(JINA), "hub", *map(str, words)]
            done = subprocess.run(
                command, input=given, env=environment, capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == code, done.stderr
            assert PASSWORD not in done.stdout + done.stderr
            return done.stdout

        jina("login", "--username", USER, "--password-stdin", given=PASSWORD + "\n")
        jina("push", package.folder, "--no-check", "--name", f"jinaai://{NAME}")
        assert "latest" in jina("list", f"jinaai://{NAME}")
        same(package, Path(jina("pull", f"jinaai://{NAME}").strip()))
        (tmp_path / "another/config.json").write_text('{"auths": "' + PASSWORD)
        jina("list", f"jinaai://{NAME}", code=2)


class TestThatDie:
    def test_in_the_middle_of_a_push(self, place, package):
        if place.kind == "folder":
            pytest.skip("see TestKilled: a folder has no server")

        def nothing_is_visible():
            assert not [file for file in map(Path, place.registry.blobs()) if file.name == weights]

        weights = next(layer for layer in _described(package) if layer.media_type == FILE).digest[7:]
        progress = dies_at(place.registry, 0.6, nothing_is_visible)
        pushed = push(package, place.store(), NAME, ["latest"], progress=progress)
        progress.again[0].join()
        assert weights in place.registry.blobs()
        assert place.fetching(patience=30).fetch(f"jinaai://{NAME}").version == pushed.digest

    def test_in_the_middle_of_a_pull(self, place, package):
        if place.kind == "folder":
            pytest.skip("see TestKilled: a folder has no server")
        pushed = push(package, place.store(), NAME, ["latest"])

        def nothing_is_visible():
            assert not [
                name for name in cached() if not Path(name).parts[-1].startswith(".") and name.startswith("blobs/")
            ]
            assert not [name for name in cached() if name.startswith("packages/sha256")]

        progress = dies_at(place.registry, 0.4, nothing_is_visible)
        before = place.fetching(patience=30)
        found = Fetching(registry=before.registry, access=before.access, progress=progress).fetch(f"jinaai://{NAME}")
        progress.again[0].join()
        assert found.version == pushed.digest
        same(package, found.folder)

    def test_for_good(self, place, package):
        """A registry that does not come back: the push and the pull end, and leave nothing that anybody sees."""
        if place.kind == "folder":
            pytest.skip("see TestKilled: a folder has no server")
        push(package, place.store(), NAME, ["latest"])
        place.registry.kill()
        with pytest.raises(ConnectionError, match="cannot be reached"):
            push(package, place.store(patience=1), NAME, ["v2"])
        with pytest.raises(ConnectionError, match="cannot be reached"):
            place.fetching(patience=1).fetch(f"jinaai://{NAME}")
        assert cached() == set()
        place.registry.start()
        assert [tag for tag in place.store().tags(NAME) if not tag.startswith("sha256-")] == ["latest"]


def _described(package):
    store = LayoutStore(package.folder.parent / "described")
    return parse_manifest(store.manifest("x", push(package, store, "x", ["latest"]).digest)[1]).layers


KILLED = """
import os, signal, sys
from pathlib import Path
from jina.hub.fetch import Fetching
from jina.hub.oci import LayoutStore
from jina.hub.packages import Package, push

def progress(name, more, size):
    progress.moved += more if name == "weights.bin" else 0
    if progress.moved > size / 2 and name == "weights.bin":
        os.kill(os.getpid(), signal.SIGKILL)

progress.moved = 0
action, folder, registry = sys.argv[1:]
if action == "push":
    push(Package.read(Path(folder)), LayoutStore(Path(registry)), "team/upper", ["latest"], progress=progress)
else:
    Fetching(registry=registry, progress=progress).fetch("jinaai://team/upper")
"""


class TestKilled:
    """kill -9 of the process that pushes into a folder, or pulls from one."""

    def killed(self, action, package, folder):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, action, package.folder, folder], capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL, done.stderr

    def test_a_push(self, package, tmp_path):
        store = LayoutStore(tmp_path / "registry")
        self.killed("push", package, store.root)
        blobs = store.root / NAME / "blobs/sha256"
        assert [file.name[:6] for file in blobs.iterdir() if file.stat().st_size > LARGE] == [".part-"]
        with pytest.raises(NotFound):
            store.manifest(NAME, "latest")
        _age(blobs)
        pushed = push(package, store, NAME, ["latest"])
        assert [file for file in blobs.iterdir() if file.name.startswith(".")] == []
        assert Fetching(registry=str(store.root)).fetch(f"jinaai://{NAME}").version == pushed.digest

    def test_a_pull(self, package, tmp_path):
        store = LayoutStore(tmp_path / "registry")
        push(package, store, NAME, ["latest"])
        self.killed("pull", package, store.root)
        cache = Path(os.environ["XDG_CACHE_HOME"]) / "jina/hub"
        assert {file.name[:6] for file in [*(cache / "packages").iterdir(), *(cache / "blobs").iterdir()]} == {".part-"}
        _age(cache / "packages")
        _age(cache / "blobs")
        same(package, Fetching(registry=str(store.root)).fetch(f"jinaai://{NAME}").folder)
        assert list(cache.rglob(".part-*")) == []


class TestInterrupted:
    """Ctrl-C in the middle of a piece of the weights: the next push goes on behind that piece."""

    def push(self, package, relay, tmp_path):
        command = [JINA, "hub", "push", package.folder, "--no-check", "--name", f"hub://{relay.host}/{NAME}"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_a_push(self, package, tmp_path):
        with docker_registry(tmp_path / "registry") as registry, counted(registry.port) as relay:
            pushing, interrupted = self.push(package, relay, tmp_path), threading.Event()

            def interrupt(sent):
                if sent > 1.3 * UPLOAD and not interrupted.is_set():
                    interrupted.set()
                    pushing.send_signal(signal.SIGINT)

            relay.on_sent = interrupt
            said = pushing.communicate(timeout=100)
            assert (pushing.returncode, interrupted.is_set()) == (130, True), said
            first, relay.sent = relay.sent, 0
            assert hashlib.sha256(WEIGHTS).hexdigest() not in registry.blobs()
            again = self.push(package, relay, tmp_path)
            out, err = again.communicate(timeout=100)
            assert again.returncode == 0, err
            assert first < 2.2 * UPLOAD
            assert relay.sent < len(WEIGHTS) - 1.8 * UPLOAD
            assert not any(name.startswith("uploads/") for name in cached())
            named = out.split()[1]
            same(package, Fetching().fetch(named).folder)

    def test_a_registry_that_has_forgotten(self, package, tmp_path):
        """What was begun is begun again, and the file of it is replaced."""
        with docker_registry(tmp_path / "registry") as registry:
            store = RegistryStore(registry.host, Access(patience=2), lambda _: None)
            (blob,) = (one for one in _described(package) if one.media_type == FILE)
            gone = f"http://{registry.host}/v2/{NAME}/blobs/uploads/none?_state=x"
            for number, place in enumerate((gone, "http://127.0.0.1:1/x", "?")):
                begun = _Begun(registry.host, f"{NAME}{number}", blob)
                begun.keep(place)
                with (package.folder / "weights.bin").open("rb") as file:
                    store.write_blob(f"{NAME}{number}", blob, file)
                assert store.has_blob(f"{NAME}{number}", blob.digest)
                assert begun.place() == ""


def _age(folder):
    """Two days pass."""
    when = time.time() - 2 * 86400
    for path in folder.iterdir():
        os.utime(path, (when, when), follow_symlinks=False)


class TestSomethingElse:
    """A place that holds something else than was pushed: refused with the reason, and nothing in the cache."""

    def refused(self, place, error, words, trust=None):
        with pytest.raises(error, match=words):
            place.fetching(trust).fetch(f"jinaai://{NAME}")
        assert cached() == set()
        assert not any(Path(os.environ["XDG_CACHE_HOME"]).rglob("executor.py"))

    def layer(self, place, kind):
        return next(
            one for one in parse_manifest(place.store().manifest(NAME, "latest")[1]).layers if one.media_type == kind
        )

    @pytest.mark.parametrize("kind", [FILE, "application/vnd.jina.executor.source.v1.tar+gzip"])
    def test_other_bytes(self, place, package, kind):
        push(package, place.store(), NAME, ["latest"])
        file = place.file(self.layer(place, kind).digest)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        self.refused(place, Damaged, "the content has the digest")

    @pytest.mark.parametrize("kind", [FILE, "application/vnd.jina.executor.source.v1.tar+gzip"])
    def test_fewer_bytes(self, place, package, kind):
        push(package, place.store(), NAME, ["latest"])
        file = place.file(self.layer(place, kind).digest)
        os.truncate(file, file.stat().st_size // 2)
        self.refused(place, Damaged, r"ended after \d+ of \d+ bytes")

    def test_no_bytes(self, place, package):
        push(package, place.store(), NAME, ["latest"])
        place.file(self.layer(place, FILE).digest).unlink()
        self.refused(place, NotFound, "no blob|404")

    def test_another_manifest(self, place, package):
        pushed = push(package, place.store(), NAME, ["latest"])
        file = place.file(pushed.digest)
        file.write_bytes(file.read_bytes().replace(b'"Upper"', b'"Other"'))
        self.refused(place, JinaError, "digest|500|manifest")

    def test_a_signature_by_somebody_else(self, place, package, tmp_path):
        ada, bob = (make_key(tmp_path, name) for name in ("ada", "bob"))
        store = place.store()
        pushed = push(package, store, NAME, ["latest"])
        trust = Trust("keys", (ada[1],))
        self.refused(place, PermissionDenied, "is not signed", trust)
        sign(store, NAME, NAME, pushed, bob[0])
        self.refused(place, PermissionDenied, "no signature by any of the keys", trust)
        sign(store, NAME, NAME, pushed, ada[0])
        same(package, place.fetching(trust).fetch(f"jinaai://{NAME}").folder)

    def test_a_signature_of_another_version(self, place, package, tmp_path):
        """A signature is moved to a package that was not signed."""
        ada = make_key(tmp_path, "ada")
        store = place.store()
        first = push(package, store, NAME, ["v1"])
        signature = sign(store, NAME, NAME, first, ada[0])
        (package.folder / "executor.py").write_text(EXECUTOR + "# evil\n")
        second = push(package, store, NAME, ["latest"])
        data = store.manifest(NAME, signature.digest)[1]
        store.write_manifest(NAME, data, [second.digest.replace(":", "-") + ".sig"])
        self.refused(place, PermissionDenied, "no signature by any of the keys", Trust("keys", (ada[1],)))

    def test_a_digest_that_is_not_there(self, place, package):
        push(package, place.store(), NAME, ["latest"])
        with pytest.raises(ConfigError):
            place.fetching().fetch(f"jinaai://{NAME}@sha256:{'0' * 64}")
        assert cached() == set()
