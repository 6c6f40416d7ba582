"""The registry protocol: against Debian's docker-registry, and against servers that misbehave."""

import base64
import contextlib
import io
import json
import os
import threading
import urllib.parse
from pathlib import Path

import pytest
from tests.certificates import Authority
from tests.hub.registries import PASSWORD, USER, docker_registry, odd, sha

from jina.errors import BadServer, ConfigError, PermissionDenied, Unauthenticated, Unavailable
from jina.hub.credentials import Credentials
from jina.hub.oci import (
    EMPTY,
    IMAGE_INDEX,
    IMAGE_LAYER,
    IMAGE_MANIFEST,
    Damaged,
    Descriptor,
    LayoutStore,
    Manifest,
    NotFound,
)
from jina.hub.registry import UPLOAD, Access, RegistryStore

QUICK = Access(patience=2.0)


def ada(host):
    return Credentials(USER, PASSWORD)


def nobody(host):
    return None


def put(store, repository="my/package", text=b"hello", tags=("latest",), **more):
    config, layer = Descriptor.of(EMPTY, b"{}"), Descriptor.of(IMAGE_LAYER, text)
    store.write_blob(repository, config, io.BytesIO(b"{}"))
    store.write_blob(repository, layer, io.BytesIO(text))
    return store.write_manifest(repository, Manifest(config, (layer,), **more).to_bytes(), tags)


def read(store, blob, repository="my/package"):
    with store.read_blob(repository, blob) as source:
        content = b""
        while data := source.read(1 << 16):
            content += data
    return content


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def secured(tmp_path_factory, certificate):
    with docker_registry(tmp_path_factory.mktemp("secured"), certificate=certificate, auth="basic") as registry:
        yield registry


@pytest.fixture
def store(secured):
    return RegistryStore(secured.host, Access(ca_file=secured.certificate.authority, patience=20), ada)


class TestDockerRegistry:
    def test_there_and_back(self, store):
        entry = put(store, tags=["latest", "v1"])
        assert store.tags("my/package") == ["latest", "v1"]
        assert "my/package" in store.repositories()
        for wanted in ("latest", "v1", entry.digest):
            found, data = store.manifest("my/package", wanted)
            assert (found.digest, sha(data)) == (entry.digest, entry.digest)
        assert read(store, Descriptor.of(IMAGE_LAYER, b"hello")) == b"hello"

    def test_what_is_not_there(self, store):
        with pytest.raises(NotFound):
            store.manifest("my/nothing", "latest")
        assert not store.has_blob("my/package", sha(b"other"))
        with pytest.raises(NotFound, match="blobs that are not there"):
            store.write_manifest("my/package", Manifest(Descriptor(EMPTY, sha(b"?"), 1), ()).to_bytes())

    def test_referrers_without_the_call_for_them(self, store):
        package = put(store, "with/referrers")
        signatures = [
            put(store, "with/referrers", text, (), subject=package, artifact_type="application/vnd.sig")
            for text in (b"one", b"two")
        ]
        found = store.referrers("with/referrers", package.digest)
        assert [one.digest for one in found] == [one.digest for one in signatures]
        assert store.referrers("with/referrers", package.digest, "application/vnd.sbom") == []

    def test_a_wrong_password_and_none(self, secured):
        access = Access(ca_file=secured.certificate.authority, patience=2)
        wrong = RegistryStore(secured.host, access, lambda host: Credentials(USER, "wrong"))
        with pytest.raises(Unauthenticated, match="does not take the credentials") as caught:
            wrong.ping()
        assert "wrong" not in str(caught.value)
        assert f"jina hub login {secured.host}" in caught.value.help
        with pytest.raises(Unauthenticated, match="asks for credentials"):
            RegistryStore(secured.host, access, nobody).ping()

    def test_a_certificate_of_strangers(self, secured):
        with pytest.raises(Unavailable, match="certificate is not trusted") as caught:
            RegistryStore(secured.host, Access(patience=2), ada).ping()
        assert "--ca-file" in caught.value.help

    @pytest.mark.slow
    def test_a_blob_of_several_pieces(self, store):
        text = os.urandom(2 * UPLOAD + 12345)
        blob = Descriptor.of(IMAGE_LAYER, text)
        store.write_blob("large", blob, io.BytesIO(text))
        assert read(store, blob, "large") == text

    def test_a_blob_that_is_another_is_not_stored(self, store):
        blob = Descriptor(IMAGE_LAYER, sha(b"right"), 5)
        with pytest.raises(Damaged):
            store.write_blob("large", blob, io.BytesIO(b"wrong"))
        assert not store.has_blob("large", blob.digest)

    def test_plain_http_on_this_machine(self, tmp_path):
        with docker_registry(tmp_path) as registry:
            put(RegistryStore(registry.host, QUICK, nobody))
            assert RegistryStore(registry.host, Access(frozenset({registry.host})), nobody).tags("my/package")


class Pausing(io.BytesIO):
    """A source that kills and starts the registry at a byte."""

    def __init__(self, data, at, registry):
        super().__init__(data)
        self.at, self.registry, self.done = at, registry, False

    def read(self, size=-1):
        if not self.done and self.tell() >= self.at:
            self.done = True
            self.registry.kill()
            threading.Timer(0.5, self.registry.start).start()
        return super().read(size)


class TestARegistryThatDies:
    @pytest.mark.slow
    def test_an_upload_goes_on(self, tmp_path):
        text = os.urandom(3 * UPLOAD)
        blob = Descriptor.of(IMAGE_LAYER, text)
        with docker_registry(tmp_path) as registry:
            store = RegistryStore(registry.host, Access(patience=30), nobody)
            store.write_blob("a", blob, Pausing(text, UPLOAD + 5, registry))
            assert registry.blobs() == {blob.digest.removeprefix("sha256:")}
            assert read(store, blob, "a") == text

    def test_a_download_goes_on(self, tmp_path):
        text = os.urandom(2 * UPLOAD)
        blob = Descriptor.of(IMAGE_LAYER, text)
        with docker_registry(tmp_path) as registry:
            store = RegistryStore(registry.host, Access(patience=30), nobody)
            store.write_blob("a", blob, io.BytesIO(text))
            content = b""
            with store.read_blob("a", blob) as source:
                while data := source.read(1 << 20):
                    content += data
                    if len(content) == 3 << 20:
                        registry.kill()
                        registry.start()
            assert content == text

    def test_nothing_is_visible_of_an_upload_that_ended(self, tmp_path):
        text = os.urandom(2 * UPLOAD)
        with docker_registry(tmp_path) as registry:
            store = RegistryStore(registry.host, Access(patience=1), nobody)
            source = Pausing(text, UPLOAD, registry)
            source.done = True
            blob = Descriptor.of(IMAGE_LAYER, text)
            reads = iter(range(100))
            whole = source.read

            def read_and_kill(size=-1):
                if next(reads) > 0:
                    registry.kill()
                return whole(size)

            source.read = read_and_kill
            with pytest.raises(Unavailable, match="cannot be reached"):
                store.write_blob("a", blob, source)
            registry.start()
            assert registry.blobs() == set()
            assert not store.has_blob("a", blob.digest)


MANIFEST = Manifest(Descriptor.of(EMPTY, b"{}"), ()).to_bytes()


class _Losing:
    """A registry that loses its first `lost` uploads, and stores the others."""

    def __init__(self, lost):
        self.lost, self.body, self.stored, self.posts = lost, b"", {}, 0

    def __call__(self, method, path, headers, body):
        if method == "HEAD":
            return (200 if path.rpartition("/")[2] in self.stored else 404), {}, b""
        if method == "POST":
            self.body, self.posts = b"", self.posts + 1
            return 202, {"Location": f"/up/{self.posts}"}, b""
        if method == "PATCH" and self.posts > self.lost:
            self.body += body
            return 202, {"Location": path}, b""
        if method == "PUT":
            digest = urllib.parse.unquote(path.rpartition("digest=")[2])
            assert sha(self.body) == digest
            self.stored[digest] = self.body
            return 201, {}, b""
        return 404, {}, b""


class TestALostUpload:
    """It begins again, whatever it is read from."""

    TEXT = os.urandom(300_000)
    BLOB = Descriptor.of(IMAGE_LAYER, TEXT)

    @pytest.fixture(params=["file", "folder", "registry"])
    def source(self, request, tmp_path):
        """The text as a file, from a folder, and from a registry that breaks every download once."""
        if request.param == "file":
            yield contextlib.nullcontext(io.BytesIO(self.TEXT))
        elif request.param == "folder":
            store = LayoutStore(tmp_path)
            store.write_blob("a", self.BLOB, io.BytesIO(self.TEXT))
            yield store.read_blob("a", self.BLOB)
        else:

            def answer(method, path, headers, body):
                start = int(headers.get("Range", "bytes=0-")[6:-1])
                cut = {} if start else {"X-Break": "100000"}
                return (206 if start else 200), cut, self.TEXT[start:]

            with odd(answer) as server:
                store = RegistryStore(server.host, Access(frozenset({server.host}), patience=5), nobody)
                yield store.read_blob("a", self.BLOB)

    def test_it_begins_again(self, source):
        registry = _Losing(2)
        with odd(registry) as server, source as content:
            store = RegistryStore(server.host, Access(frozenset({server.host}), patience=5), nobody)
            store.write_blob("a", self.BLOB, content)
        assert registry.stored == {self.BLOB.digest: self.TEXT}

    def test_all_of_it_is_read_at_once(self, source):
        with source as content:
            assert content.read() == self.TEXT

    def test_not_for_ever(self, source):
        with odd(_Losing(10)) as server, source as content:
            store = RegistryStore(server.host, Access(frozenset({server.host}), patience=5), nobody)
            with pytest.raises(Unavailable, match=r"lost the upload .* 3 times"):
                store.write_blob("a", self.BLOB, content)

    def test_a_source_that_cannot_be_read_twice(self):
        read_end, write_end = os.pipe()
        with odd(_Losing(1)) as server, open(read_end, "rb") as content:
            os.write(write_end, b"hello")
            os.close(write_end)
            store = RegistryStore(server.host, Access(frozenset({server.host}), patience=5), nobody)
            with pytest.raises(Unavailable, match="cannot be read a second time"):
                store.write_blob("a", Descriptor.of(IMAGE_LAYER, b"hello"), content)


class TestOddServers:
    def test_a_token_is_fetched_once_for_a_scope(self):
        def answer(method, path, headers, body):
            if path.startswith("/token"):
                assert headers["Authorization"] == Credentials(USER, PASSWORD).basic
                assert "scope=repository%3Aa%3Apull" in path
                return 200, {}, b'{"token": "abc"}'
            if headers.get("Authorization") != "Bearer abc":
                realm = f'Bearer realm="http://{server.host}/token",service="s",scope="repository:a:pull"'
                return 401, {"WWW-Authenticate": realm}, b""
            return 200, {"Content-Type": IMAGE_MANIFEST}, MANIFEST

        with odd(answer) as server:
            store = RegistryStore(server.host, Access(frozenset({server.host}), patience=2), ada)
            for _ in range(2):
                assert store.manifest("a", "latest")[1] == MANIFEST
            assert len(server.asked) == 4

    def test_an_identity_token_is_exchanged(self):
        def answer(method, path, headers, body):
            if path.startswith("/token"):
                assert (method, b"refresh_token=long-lived" in body) == ("POST", True)
                return 200, {}, b'{"access_token": "abc"}'
            if headers.get("Authorization") != "Bearer abc":
                return 401, {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token"'}, b""
            return 200, {}, b"{}"

        with odd(answer) as server:
            access = Access(frozenset({server.host}), patience=2)
            RegistryStore(server.host, access, lambda host: Credentials("", "", "long-lived")).ping()

    def test_a_realm_without_tls_gets_no_password(self, certificate):
        challenge = 'Bearer realm="http://127.0.0.1:1/token"'
        with odd(lambda *_: (401, {"WWW-Authenticate": challenge}, b""), certificate) as server:
            store = RegistryStore(server.host, Access(ca_file=certificate.authority, patience=2), ada)
            with pytest.raises(BadServer, match="no TLS"):
                store.ping()

    def test_another_host_is_sent_no_credentials(self):
        blob = Descriptor.of(IMAGE_LAYER, b"hello")
        with odd(lambda *_: (200, {}, b"hello")) as other:

            def answer(method, path, headers, body):
                if "Authorization" not in headers:
                    return 401, {"WWW-Authenticate": "Basic realm=x"}, b""
                return 307, {"Location": f"http://{other.host}/there"}, b""

            with odd(answer) as server:
                store = RegistryStore(server.host, Access(frozenset({server.host}), patience=2), ada)
                assert read(store, blob, "a") == b"hello"
        assert [(path, "Authorization" in headers) for _, path, headers in other.asked] == [("/there", False)]

    def test_redirects_end(self):
        with (
            odd(lambda *_: (302, {"Location": "/v2/"}, b"")) as server,
            pytest.raises(BadServer, match="more than 5 times"),
        ):
            RegistryStore(server.host, Access(frozenset({server.host}), patience=2), nobody).ping()

    def test_a_busy_registry_is_asked_again(self):
        answers = iter([(429, {"Retry-After": "0"}), (503, {}), (200, {})])
        with odd(lambda *_: (*next(answers), b"{}")) as server:
            RegistryStore(server.host, Access(frozenset({server.host})), nobody).ping()
            assert len(server.asked) == 3

    def test_patience_ends(self):
        with (
            odd(lambda *_: (503, {}, b'{"errors": [{"code": "UNAVAILABLE", "message": "later"}]}')) as server,
            pytest.raises(Unavailable, match="503 'UNAVAILABLE later'"),
        ):
            RegistryStore(server.host, Access(frozenset({server.host}), patience=0.5), nobody).ping()

    @pytest.mark.parametrize("ranges", [True, False])
    def test_a_broken_download_goes_on(self, ranges):
        content = os.urandom(100_000)

        def answer(method, path, headers, body):
            start = int(headers.get("Range", "bytes=0-")[6:-1]) if ranges else 0
            rest = content[start:]
            cut = {"X-Break": "30000"} if len(server.asked) < 4 else {}
            return (206 if start else 200), cut, rest

        with odd(answer) as server:
            store = RegistryStore(server.host, Access(frozenset({server.host}), patience=5), nobody)
            assert read(store, Descriptor.of(IMAGE_LAYER, content), "a") == content
            assert len(server.asked) == 4

    def test_a_blob_that_is_shorter_or_longer_or_another(self):
        blob = Descriptor.of(IMAGE_LAYER, b"hello")
        for content in (b"hell", b"hello!", b"hallo"):
            with odd(lambda *_, content=content: (200, {}, content)) as server:
                store = RegistryStore(server.host, Access(frozenset({server.host}), patience=0.5), nobody)
                with pytest.raises(Damaged):
                    read(store, blob, "a")

    @pytest.mark.parametrize(
        ("content", "headers"),
        [
            (b"{}", {}),
            (b"<html>", {}),
            (MANIFEST, {"Docker-Content-Digest": sha(b"other")}),
            (MANIFEST + b" " * (5 << 20), {}),
        ],
    )
    def test_a_manifest_that_is_none(self, content, headers):
        with odd(lambda *_: (200, dict(headers), content)) as server, pytest.raises(Damaged):
            RegistryStore(server.host, Access(frozenset({server.host}), patience=1), nobody).manifest("a", "x")

    def test_another_manifest_than_the_digest_says(self):
        with odd(lambda *_: (200, {}, MANIFEST)) as server, pytest.raises(Damaged, match="has the digest"):
            RegistryStore(server.host, Access(frozenset({server.host}), patience=1), nobody).manifest("a", sha(b""))

    def test_tags_of_several_pages(self):
        def answer(method, path, headers, body):
            last = "last=" in path
            link = {} if last else {"Link": '</v2/a/tags/list?last=b&n=2>; rel="next"'}
            return 200, link, json.dumps({"tags": ["c"] if last else ["b", "a"]}).encode()

        with odd(answer) as server:
            store = RegistryStore(server.host, Access(frozenset({server.host}), patience=1), nobody)
            assert store.tags("a") == ["a", "b", "c"]

    @pytest.mark.slow
    def test_pages_without_an_end(self):
        link = {"Link": '</v2/a/tags/list?n=1>; rel="next"'}
        with odd(lambda *_: (200, dict(link), b'{"tags": ["a"]}')) as server:
            store = RegistryStore(server.host, Access(frozenset({server.host}), patience=1), nobody)
            assert store.tags("a") == ["a"]
            assert len(server.asked) == 200

    def test_the_call_for_referrers(self):
        package = Descriptor(IMAGE_MANIFEST, sha(b"p"), 1)
        entry = {"mediaType": IMAGE_MANIFEST, "digest": sha(b"s"), "size": 1, "artifactType": "application/vnd.sig"}
        index = json.dumps({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [entry]}).encode()
        with odd(lambda *_: (200, {"Content-Type": IMAGE_INDEX}, index)) as server:
            store = RegistryStore(server.host, Access(frozenset({server.host}), patience=1), nobody)
            assert [one.digest for one in store.referrers("a", package.digest)] == [sha(b"s")]
            assert store.referrers("a", package.digest, "application/other") == []
            assert server.asked[0][1] == f"/v2/a/referrers/{package.digest}"

    @pytest.mark.parametrize(("status", "kind"), [(403, PermissionDenied), (400, ConfigError), (501, BadServer)])
    def test_other_failures(self, status, kind):
        with odd(lambda *_: (status, {}, b"\x00no json")) as server, pytest.raises(kind, match=str(status)):
            RegistryStore(server.host, Access(frozenset({server.host}), patience=1), nobody).ping()

    def test_a_proxy_is_used_but_not_for_this_machine(self, monkeypatch):
        with odd(lambda *_: (200, {}, b"{}")) as proxy:
            monkeypatch.setenv("http_proxy", f"http://ada:secret@{proxy.host}")
            monkeypatch.setenv("no_proxy", "")
            RegistryStore("registry.test", Access(frozenset({"registry.test"}), patience=1), nobody).ping()
            with odd(lambda *_: (200, {}, b"{}")) as server:
                RegistryStore(server.host, Access(frozenset({server.host}), patience=1), nobody).ping()
                assert len(server.asked) == 1
        (asked,) = proxy.asked
        assert asked[1] == "http://registry.test/v2/"
        assert asked[2]["Proxy-Authorization"] == "Basic " + base64.b64encode(b"ada:secret").decode()

    def test_a_ca_file_that_is_none(self, tmp_path):
        Path(tmp_path / "ca").write_text("no certificate")
        with pytest.raises(ConfigError, match="certificates cannot be read"):
            RegistryStore("h", Access(ca_file=str(tmp_path / "ca")), nobody)
