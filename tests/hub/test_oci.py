"""Names, descriptors and manifests, and a registry in a folder."""

import io
import json
import threading

import pytest

from jina.errors import ConfigError
from jina.hub.oci import (
    EMPTY,
    IMAGE_LAYER,
    TAG_NAME,
    Damaged,
    Descriptor,
    Index,
    LayoutStore,
    Manifest,
    NotFound,
    Reference,
    canonical,
    copy_manifest,
    digest_of,
    parse_manifest,
)

DIGEST = "sha256:" + "a" * 64


class TestReferences:
    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("localhost:5000/my/executor", ("localhost:5000", "my/executor", "", "")),
            ("ghcr.io/team/name:v1.2", ("ghcr.io", "team/name", "v1.2", "")),
            (f"ghcr.io/team/name@{DIGEST}", ("ghcr.io", "team/name", "", DIGEST)),
            (f"[::1]:5000/a-b/c__d:latest@{DIGEST}", ("[::1]:5000", "a-b/c__d", "latest", DIGEST)),
        ],
    )
    def test_parts(self, text, parts):
        reference = Reference.parse(text)
        assert (reference.registry, reference.repository, reference.tag, reference.digest) == parts
        assert str(reference) == text

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "name",
            "host/",
            "host/Upper",
            "host/a//b",
            "host/a:",
            "host/a:.x",
            "host/a@sha256:12",
            "ho st/a",
            "host/../a",
            "host/a:b:c",
        ],
    )
    def test_mistakes_are_named(self, text):
        with pytest.raises(ConfigError) as caught:
            Reference.parse(text)
        assert repr(text) in str(caught.value)
        assert caught.value.help

    def test_what_is_asked_for(self):
        assert Reference.parse("h/a").wanted == "latest"
        assert Reference.parse("h/a:v1").wanted == "v1"
        assert Reference.parse(f"h/a:v1@{DIGEST}").wanted == DIGEST


class TestManifests:
    def test_the_same_value_gives_the_same_bytes(self):
        assert canonical({"b": 1, "a": "ü"}) == canonical({"a": "ü", "b": 1}) == '{"a":"ü","b":1}'.encode()

    def test_there_and_back(self):
        subject = Descriptor("application/x", DIGEST, 3)
        layer = Descriptor(IMAGE_LAYER, DIGEST, 7, {"title": "ä"})
        manifest = Manifest(Descriptor(EMPTY, DIGEST, 2), (layer,), {"k": "v"}, "application/vnd.x", subject)
        assert parse_manifest(manifest.to_bytes()) == manifest
        index = Index((Descriptor(manifest.media_type, DIGEST, 9, platform={"os": "linux", "architecture": "arm64"}),))
        assert parse_manifest(index.to_bytes()) == index

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"[" * 100_000,
            b"[]",
            b"{}",
            b'{"schemaVersion": 1}',
            b'{"schemaVersion": 2}',
            b'{"schemaVersion": 2, "mediaType": "text/html", "layers": []}',
            b'{"schemaVersion": 2, "layers": []}',
            b'{"schemaVersion": 2, "layers": [], "manifests": []}',
            b'{"schemaVersion": 2, "layers": {}, "config": {}}',
            b'{"schemaVersion": 2, "manifests": [{"mediaType": "a", "digest": "sha256:../../x", "size": 1}]}',
            b'{"schemaVersion": 2, "manifests": [{"mediaType": "a", "digest": "%s", "size": -1}]}' % DIGEST.encode(),
            b'{"schemaVersion": 2, "manifests": [{"mediaType": "a", "digest": "%s", "size": true}]}' % DIGEST.encode(),
            b'{"schemaVersion": 2, "manifests": [], "annotations": {"a": 1}}',
            b'{"schemaVersion": 2, "manifests": [], "artifactType": 1}',
            b" " * (4 << 20) + b"{}",
        ],
        ids=range(16),
    )
    def test_what_is_none_is_refused(self, data):
        with pytest.raises(Damaged):
            parse_manifest(data)


def put(store, repository="my/package", text=b"hello", tags=("latest",), **more):
    config = Descriptor.of(EMPTY, b"{}")
    layer = Descriptor.of(IMAGE_LAYER, text)
    store.write_blob(repository, config, io.BytesIO(b"{}"))
    store.write_blob(repository, layer, io.BytesIO(text))
    return store.write_manifest(repository, Manifest(config, (layer,), **more).to_bytes(), tags)


@pytest.fixture
def store(tmp_path):
    return LayoutStore(tmp_path / "a registry with spaces and ümlaut")


class TestLayout:
    def test_there_and_back(self, store):
        entry = put(store, tags=["latest", "v1"])
        assert store.tags("my/package") == ["latest", "v1"]
        assert store.repositories() == ["my/package"]
        for wanted in ("latest", "v1", entry.digest):
            found, data = store.manifest("my/package", wanted)
            assert (found.digest, digest_of(data)) == (entry.digest, entry.digest)
        layer = parse_manifest(data).layers[0]
        with store.read_blob("my/package", layer) as blob:
            assert blob.read() == b"hello"

    def test_it_is_a_layout_as_the_specification_says(self, store):
        put(store)
        folder = store.root / "my/package"
        assert json.loads((folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
        index = json.loads((folder / "index.json").read_bytes())
        assert index["schemaVersion"] == 2
        assert [one["annotations"][TAG_NAME] for one in index["manifests"]] == ["latest"]

    def test_a_tag_moves_and_the_old_manifest_stays(self, store):
        old, new = put(store), put(store, text=b"newer")
        assert store.manifest("my/package", "latest")[0].digest == new.digest
        assert store.manifest("my/package", old.digest)[0].digest == old.digest

    def test_what_is_not_there_is_named_with_what_is(self, store):
        with pytest.raises(NotFound, match="no repository a"):
            store.manifest("a", "latest")
        put(store, tags=["v1"])
        with pytest.raises(NotFound, match=r"(?s)no v2.*it has: v1"):
            store.manifest("my/package", "v2")
        with pytest.raises(NotFound, match="blobs that are not there"):
            store.write_manifest("b", Manifest(Descriptor(EMPTY, DIGEST, 2), ()).to_bytes())

    def test_a_damaged_blob_is_refused(self, store):
        entry = put(store)
        layer = parse_manifest(store.manifest("my/package", "latest")[1]).layers[0]
        file = store.root / "my/package/blobs/sha256" / layer.digest.removeprefix("sha256:")
        for content in (b"hellO", b"hell", b"hello!"):
            file.write_bytes(content)
            with pytest.raises(Damaged), store.read_blob("my/package", layer) as blob:
                blob.drain()
        with pytest.raises(Damaged):
            store.write_blob("my/package", Descriptor(EMPTY, DIGEST, 5), io.BytesIO(b"other"))
        assert sorted(one.name for one in file.parent.iterdir() if one.name.startswith(".")) == []
        assert entry.size

    def test_referrers(self, store):
        package = put(store)
        other = put(store, text=b"x", tags=["other"])
        signature = put(store, text=b"signature", tags=(), subject=package, artifact_type="application/vnd.sig")
        assert [one.digest for one in store.referrers("my/package", package.digest)] == [signature.digest]
        assert store.referrers("my/package", package.digest, "application/vnd.sbom") == []
        assert store.referrers("my/package", other.digest) == []

    def test_many_writers_at_once(self, store):
        threads = [
            threading.Thread(target=put, args=(store,), kwargs={"text": b"%d" % n, "tags": [f"v{n}"]})
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.tags("my/package") == sorted(f"v{n}" for n in range(20))

    def test_copies_between_stores(self, store, tmp_path):
        one = put(store, tags=())
        index = Index((one,))
        store.write_manifest("my/package", index.to_bytes(), ["both"])
        other = LayoutStore(tmp_path / "other")
        copied = copy_manifest(store, other, "my/package", "their/copy", "both", ["v1"])
        assert copied.digest == digest_of(index.to_bytes())
        assert other.manifest("their/copy", one.digest)[0].digest == one.digest
