"""Registries, folders and packages that attack: each is refused with a reason, in bounded time and memory."""

import contextlib
import io
import json
import multiprocessing
import os
import tarfile
import threading
import time
from pathlib import Path

import pytest
from tests.certificates import Authority
from tests.hub.registries import PASSWORD, USER, odd, sha
from tests.hub.test_archives import LINK, archive, unpacked
from tests.hub.test_registry import nobody, put, read
from tests.hub.test_signatures import make_key

from jina.errors import BadServer, ConfigError, JinaError, PermissionDenied, Unauthenticated
from jina.hub.credentials import Credentials
from jina.hub.images import Base, Place
from jina.hub.oci import (
    EMPTY,
    IMAGE_CONFIG,
    IMAGE_LAYER,
    MANIFEST_BYTES,
    Damaged,
    Descriptor,
    Index,
    LayoutStore,
    Manifest,
    canonical,
    copy_manifest,
    parse_manifest,
)
from jina.hub.packages import ARTIFACT, CONFIG, attach, metadata_of
from jina.hub.registry import Access, RegistryStore
from jina.hub.signatures import KIND, PAYLOAD, SIGNATURE, sign, verify

BLOB = Descriptor.of(IMAGE_LAYER, b"hello")
ESCAPE = "\x1b]0;owned\x07"
PROCESSES = multiprocessing.get_context("spawn")


def client(server, **options):
    return RegistryStore(server.host, Access(frozenset({server.host}), **{"patience": 1, **options}), nobody)


def secured(server, certificate, credentials=nobody):
    return RegistryStore(server.host, Access(ca_file=certificate.authority, patience=1), credentials)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca")).issue("127.0.0.1", "localhost")


@pytest.fixture
def store(tmp_path):
    return LayoutStore(tmp_path / "registry")


class TestRegistries:
    @pytest.mark.parametrize("place", ["http://other.test/up", "file:///etc/passwd", "https://[", "ftp://x/y", ""])
    def test_a_place_for_an_upload_without_tls_or_sense(self, certificate, place):
        def answer(method, path, headers, body):
            return (404 if method == "HEAD" else 202), {"Location": place}, b""

        refused = pytest.raises(BadServer, match=r"place for an upload|no TLS|sends us to")
        with odd(answer, certificate) as server, refused:
            secured(server, certificate).write_blob("a", BLOB, io.BytesIO(b"hello"))

    @pytest.mark.parametrize("place", ["http://other.test/up", "https://[", "file:///etc/passwd"])
    def test_a_redirect_without_tls_or_sense(self, certificate, place):
        with (
            odd(lambda *_: (302, {"Location": place}, b""), certificate) as server,
            pytest.raises(BadServer, match=r"no TLS|sends us to"),
        ):
            secured(server, certificate).ping()

    def test_the_next_page_of_a_list_without_tls(self, certificate):
        link = {"Link": '<http://other.test/v2/a/tags/list>; rel="next"'}
        with (
            odd(lambda *_: (200, dict(link), b'{"tags": ["a"]}'), certificate) as server,
            pytest.raises(BadServer, match="no TLS"),
        ):
            secured(server, certificate).tags("a")

    @pytest.mark.parametrize("listed", [5, "abc", {"a": 1}, True])
    def test_tags_that_are_no_list(self, listed):
        data = json.dumps({"tags": listed}).encode()
        with odd(lambda *_: (200, {}, data)) as server, pytest.raises(BadServer, match="no list of tags"):
            client(server).tags("a")

    def test_a_range_of_many_digits(self):
        def answer(method, path, headers, body):
            if method == "POST":
                return 202, {"Location": "/up"}, b""
            return (404 if method == "HEAD" else 503 if method == "PATCH" else 204), {"Range": "0-" + "9" * 5000}, b""

        with odd(answer) as server, pytest.raises(JinaError):
            client(server).write_blob("a", BLOB, io.BytesIO(b"hello"))

    @pytest.mark.parametrize("status", [200, 401, 404, 307])
    def test_an_answer_without_an_end_is_not_kept(self, status):
        """Where no body is wanted, one of 128 MiB is not read to its end, and so not kept either."""
        headers, body = {"WWW-Authenticate": "Basic realm=x", "Location": "/v2/"}, bytes(128 << 20)
        with odd(lambda *_: (status, dict(headers), body)) as server:
            with contextlib.suppress(JinaError):
                client(server).ping()
            assert 0 < len(server.asked) < 10
            assert server.sent < 96 << 20

    def test_names_that_a_terminal_would_obey(self):
        value = {"tags": ["good", ESCAPE, "a\nb", 7], "repositories": ["good", ESCAPE, "../x"]}
        with odd(lambda *_: (200, {}, json.dumps(value).encode())) as server:
            assert client(server).tags("a") == ["good"]
            assert client(server).repositories() == ["good"]

    @pytest.mark.parametrize(
        "headers", [{"Docker-Content-Digest": f"sha256:{ESCAPE}"}, {"Content-Type": f"x/{ESCAPE}"}]
    )
    def test_headers_that_a_terminal_would_obey(self, headers):
        with odd(lambda *_: (200, dict(headers), b'{"schemaVersion": 2, "layers": []}')) as server:
            with pytest.raises(Damaged) as caught:
                client(server).manifest("a", "x")
            assert "\x1b" not in str(caught.value)

    def test_a_token_server_that_a_terminal_would_obey(self):
        def answer(method, path, headers, body):
            if path.startswith("/token"):
                return 200, {}, b'{"token": "a b"}'
            return 401, {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token{ESCAPE}"'}, b""

        with odd(answer) as server, pytest.raises(BadServer, match="gave no token") as caught:
            client(server).ping()
        assert "\x1b" not in str(caught.value)

    def test_a_user_who_may_not_push_is_told_so(self):
        """A token without the scope is answered with 401 again."""

        def answer(method, path, headers, body):
            if path.startswith("/token"):
                return 200, {}, b'{"token": "abc"}'
            realm = f'Bearer realm="http://{server.host}/token",scope="repository:a:pull,push"'
            more = ',error="insufficient_scope"' if "Authorization" in headers else ""
            return 401, {"WWW-Authenticate": realm + more}, b""

        with odd(answer) as server:
            access = Access(frozenset({server.host}), patience=1)
            with pytest.raises(PermissionDenied, match="may not"):
                RegistryStore(server.host, access, lambda _: Credentials(USER, PASSWORD)).manifest("a", "x")
            with pytest.raises(Unauthenticated, match="asks for credentials"):
                RegistryStore(server.host, access, nobody).manifest("a", "x")

    def test_a_download_that_breaks_behind_its_last_byte(self):
        """A body in chunks whose end never comes: nothing is missing, and nothing is asked for behind the end."""

        def answer(method, path, headers, body):
            if "Range" in headers:
                return 416, {}, b""
            return (
                200,
                {"Content-Length": "", "Transfer-Encoding": "chunked", "X-Break": "10"},
                b"5\r\nhello\r\n0\r\n\r\n",
            )

        with odd(answer) as server:
            assert read(client(server), BLOB, "a") == b"hello"

    def test_the_reason_for_a_refused_upload_is_told(self):
        def answer(method, path, headers, body):
            if method == "PUT":
                return 400, {}, b'{"errors": [{"code": "DIGEST_INVALID", "message": "no"}]}'
            return (404 if method == "HEAD" else 202), {"Location": "/up"}, b""

        with odd(answer) as server, pytest.raises(ConfigError, match="DIGEST_INVALID"):
            client(server).write_blob("a", BLOB, io.BytesIO(b"hello"))

    def test_an_upload_that_is_refused_is_not_tried_for_a_minute(self):
        def answer(method, path, headers, body):
            if method == "PATCH":
                return 413, {}, b""
            return (404 if method == "HEAD" else 202), {"Location": "/up"}, b""

        with odd(answer) as server, pytest.raises(ConfigError, match="413"):
            client(server, patience=600).write_blob("a", BLOB, io.BytesIO(b"hello"))


class TestFolders:
    @pytest.mark.parametrize("name", ["a/blobs", "a/blobs/sha256/" + "0" * 64, "a/index.json", "a/oci-layout/b"])
    def test_a_repository_within_the_files_of_another(self, store, name):
        put(store, "a")
        with pytest.raises(ConfigError, match="not a repository of a folder"):
            put(store, name)

    @pytest.mark.parametrize("what", ["pipe", "zeros", "folder", "large"])
    @pytest.mark.parametrize("where", ["index.json", "blob"])
    def test_what_is_no_file_or_has_no_end(self, store, what, where):
        entry = put(store, "a")
        file = store.root / "a/index.json" if where == "index.json" else store._blob("a", entry.digest)
        file.unlink()
        if what == "pipe":
            os.mkfifo(file)
        elif what == "zeros":
            file.symlink_to("/dev/zero")
        elif what == "folder":
            file.mkdir()
        else:
            with file.open("wb") as made:
                made.truncate(1 << 40)
        for ask in (lambda: store.manifest("a", "latest"), lambda: store.manifest("a", entry.digest),
                    lambda: store.referrers("a", sha(b"x"))):  # fmt: skip
            with pytest.raises(ConfigError):
                ask()

    def test_a_manifest_that_says_that_it_is_large(self, store):
        entry = put(store, "a")
        listed = json.loads((store.root / "a/index.json").read_bytes())
        listed["manifests"][0]["size"] = MANIFEST_BYTES + 1
        (store.root / "a/index.json").write_bytes(canonical(listed))
        with pytest.raises(Damaged, match="at most"):
            store.manifest("a", entry.digest)

    def test_an_index_that_lists_one_manifest_many_times(self, store):
        """Each manifest is read once: the time is not that of the square of their number."""
        entry = put(store, "a")
        (store.root / "a/index.json").write_bytes(Index((entry,) * 10_000).to_bytes())
        began = time.process_time()
        assert store.referrers("a", sha(b"x")) == []
        assert time.process_time() - began < 5

    def test_indexes_within_indexes(self, tmp_path, store):
        entry = put(store, "a")
        for _ in range(20):
            entry = store.write_manifest("a", Index((entry,)).to_bytes(), ["deep"])
        with pytest.raises(Damaged, match="indexes"):
            copy_manifest(store, LayoutStore(tmp_path / "to"), "a", "a", "deep")

    @pytest.mark.slow
    def test_processes_that_push_at_once(self, store):
        """Each tag is there afterwards, and names what its process pushed."""
        started = [PROCESSES.Process(target=_push_some, args=(str(store.root), name)) for name in "bc"]
        for one in started:
            one.start()
        for one in started:
            one.join(60)
            assert one.exitcode == 0
        assert store.tags("a") == sorted(f"{name}{number}" for name in "bc" for number in range(8))
        for tag in store.tags("a"):
            manifest = parse_manifest(store.manifest("a", tag)[1])
            assert read(store, manifest.layers[0], "a") == tag.encode()
        assert [path for path in store.root.rglob(".*") if path.name != ".lock"] == []

    def test_signatures_that_are_made_at_once_all_count(self, store, tmp_path):
        package = put(store, "a")
        keys = [make_key(tmp_path, name) for name in ("ada", "bob", "eve")]
        barrier = threading.Barrier(len(keys))

        class Together(LayoutStore):
            """Reads what there is before another one writes."""

            waited = False

            def write_manifest(self, *words):
                if not self.waited:
                    self.waited = True
                    barrier.wait(20)
                return super().write_manifest(*words)

        signers = [
            threading.Thread(target=sign, args=(Together(store.root), "a", "host/a", package, private))
            for private, _ in keys
        ]
        for one in signers:
            one.start()
        for one in signers:
            one.join(30)
        for _, public in keys:
            assert verify(store, "a", package.digest, [public]) == public


def _push_some(root, name):
    store = LayoutStore(Path(root))
    for number in range(8):
        put(store, "a", f"{name}{number}".encode(), [f"{name}{number}"])


class TestManifests:
    @pytest.mark.parametrize(
        "text",
        [
            '{"schemaVersion": 2, "layers": [], "config": {"mediaType": "\\ud800", "digest": "DIGEST", "size": 1}}',
            '{"schemaVersion": 2, "layers": [], "artifactType": "\\udfff"}',
        ],
    )
    def test_half_a_letter(self, text):
        """Half of a surrogate pair can be written by no one again, nor be printed."""
        with pytest.raises(Damaged, match="UTF-8"):
            parse_manifest(text.replace("DIGEST", sha(b"")).encode())

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
    def test_other_encodings(self, encoding):
        with pytest.raises(Damaged):
            parse_manifest(Manifest(Descriptor.of(EMPTY, b"{}"), ()).to_bytes().decode().encode(encoding))

    @pytest.mark.parametrize("key", ["mediaType", "digest", "size"])
    def test_what_is_wrong_is_quoted_shortly(self, key):
        part = {"mediaType": "a", "digest": sha(b""), "size": 1, key: {"x" * 10_000: 1}}
        with pytest.raises(Damaged) as caught:
            parse_manifest(json.dumps({"schemaVersion": 2, "layers": [part], "config": part}).encode())
        assert len(str(caught.value)) < 1000

    def test_a_media_type_is_quoted_shortly(self):
        with pytest.raises(Damaged) as caught:
            parse_manifest(json.dumps({"schemaVersion": 2, "mediaType": ["x" * 10_000]}).encode())
        assert len(str(caught.value)) < 1000


def stored(store, config, media_type=CONFIG, layers=()):
    """A manifest with that configuration, as an attacker writes it."""
    blob = Descriptor.of(media_type, config)
    store.write_blob("a", blob, io.BytesIO(config))
    manifest = Manifest(blob, tuple(layers), {}, ARTIFACT if media_type == CONFIG else "")
    return store.write_manifest("a", manifest.to_bytes(), ["latest"]), manifest


class TestConfigurations:
    @pytest.mark.parametrize(
        "text",
        [
            b"[]",
            b"\xff",
            b"{" * 100_000,
            b'{"endpoints": 7}',
            b'{"endpoints": [7]}',
            b'{"endpoints": [{"path": "/x"}]}',
            b'{"endpoints": [{"path": "/x", "method": "m", "input": {}, "output": 1}]}',
            b'{"name": "\\ud800"}',
            b'{"name": ["x"]}',
        ],
    )
    def test_of_a_package(self, store, text):
        _, manifest = stored(store, text)
        with pytest.raises(Damaged, match="configuration of the package"):
            metadata_of(store, "a", manifest)

    @pytest.mark.parametrize(
        "value",
        [
            {"os": 1, "architecture": "amd64"},
            {"config": None, "rootfs": {"diff_ids": []}},
            {"config": {"Env": 7}},
            {"config": {"Env": [7]}},
            {"config": {"Labels": [1]}},
            {"rootfs": 7},
            {"rootfs": {"diff_ids": [7]}},
            {"history": 7},
        ],
    )
    def test_of_a_base_image(self, store, value):
        whole = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}, **value}
        stored(store, json.dumps(whole).encode(), IMAGE_CONFIG)
        with pytest.raises(ConfigError):
            Base.read(Place(store, "a", "latest"), "linux/amd64").python()

    def test_a_base_whose_layer_is_no_archive(self, store):
        garbage = b"\x1f\x8b\x08\x00" + bytes(1000)
        layer = Descriptor.of(IMAGE_LAYER, garbage)
        store.write_blob("a", layer, io.BytesIO(garbage))
        value = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [sha(b"")]}}
        stored(store, json.dumps(value).encode(), IMAGE_CONFIG, [layer])
        with pytest.raises(Damaged, match="layer of the base image"):
            Base.read(Place(store, "a", "latest"), "linux/amd64").python()


class TestLinks:
    def test_a_chain_that_would_take_hours(self, tmp_path):
        """Each of 1,000 links leads through the next one hundreds of times."""
        members = [(f"l{n}", LINK, 0, f"l{n + 1}/../" * 300 + f"l{n + 1}") for n in range(1000)]
        data = archive(*members, ("l1000/x", tarfile.REGTYPE, 1, ""))
        began = time.process_time()
        with pytest.raises(Damaged):
            unpacked(data, tmp_path / "to", 64 << 20, 10_000)
        assert time.process_time() - began < 20

    def test_many_that_are_sound(self, tmp_path):
        members = [(f"d{n}/l", LINK, 0, f"../d{n + 1}/" + "../d0/" * 600 + f"../d{n + 1}/l") for n in range(30)]
        data = archive(*members, ("d30/l", tarfile.REGTYPE, 3, ""))
        unpacked(data, tmp_path / "to", 64 << 20, 10_000)
        assert (tmp_path / "to/d0/l").read_bytes() == bytes(3)

    def test_out_and_in_again(self, tmp_path):
        """A link that leads out of the folder and back is as bad: what is outside may be a link itself."""
        data = archive(("l", LINK, 0, "../to/f"), ("f", tarfile.REGTYPE, 1, ""))
        with pytest.raises(Damaged, match="not within it"):
            unpacked(data, tmp_path / "to")


class TestSignatures:
    @pytest.mark.parametrize("text", ["é", "=", "AA", "A" * 88, ""])
    def test_what_is_none(self, store, tmp_path, text):
        package = put(store, "a")
        payload = {
            "critical": {
                "identity": {"docker-reference": "x"},
                "image": {"docker-manifest-digest": package.digest},
                "type": "cosign container image signature",
            }
        }
        tag = package.digest.replace(":", "-") + ".sig"
        attach(store, "a", package, KIND, [(PAYLOAD, canonical(payload), {SIGNATURE: text})], [tag])
        with pytest.raises(PermissionDenied, match="no signature by any"):
            verify(store, "a", package.digest, [make_key(tmp_path, "ada")[1]])
