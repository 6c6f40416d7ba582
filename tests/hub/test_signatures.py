"""Signatures in cosign's form, and whom they convince."""

import base64
import io
import json
import subprocess

import pytest

from jina.errors import ConfigError, PermissionDenied
from jina.hub.oci import EMPTY, Descriptor, LayoutStore, Manifest, parse_manifest
from jina.hub.packages import attach, read_all
from jina.hub.signatures import KIND, PAYLOAD, SIGNATURE, Trust, key_files, sign, verify


@pytest.fixture
def store(tmp_path):
    return LayoutStore(tmp_path / "registry")


@pytest.fixture
def package(store):
    config = Descriptor.of(EMPTY, b"{}")
    store.write_blob("a", config, io.BytesIO(b"{}"))
    return store.write_manifest("a", Manifest(config, (), {"x": "y"}).to_bytes(), ["latest"])


def make_key(folder, name):
    """A key pair, made as the documentation says."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, timeout=30)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, timeout=30)
    return private, public


@pytest.fixture
def ada(tmp_path):
    return make_key(tmp_path, "ada")


@pytest.fixture
def bob(tmp_path):
    return make_key(tmp_path, "bob")


def test_a_signature_convinces_by_its_key_alone(store, package, ada, bob):
    sign(store, "a", "host/a", package, ada[0])
    assert verify(store, "a", package.digest, [bob[1], ada[1]]) == ada[1]
    with pytest.raises(PermissionDenied, match="no signature by any of the keys"):
        verify(store, "a", package.digest, [bob[1]])


def test_a_second_signature_leaves_the_first(store, package, ada, bob):
    sign(store, "a", "host/a", package, ada[0])
    sign(store, "a", "host/a", package, bob[0])
    for _, public in (ada, bob):
        assert verify(store, "a", package.digest, [public]) == public


def test_the_form_of_cosign(store, package, ada, tmp_path):
    sign(store, "a", "host/a", package, ada[0])
    manifest = parse_manifest(store.manifest("a", f"{package.digest.replace(':', '-')}.sig")[1])
    (layer,) = manifest.layers
    assert layer.media_type == "application/vnd.dev.cosign.simplesigning.v1+json"
    payload = read_all(store, "a", layer, 1 << 16)
    assert json.loads(payload) == {
        "critical": {
            "identity": {"docker-reference": "host/a"},
            "image": {"docker-manifest-digest": package.digest},
            "type": "cosign container image signature",
        },
        "optional": None,
    }
    (tmp_path / "payload").write_bytes(payload)
    (tmp_path / "signature").write_bytes(base64.b64decode(layer.annotations["dev.cosignproject.cosign/signature"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", ada[1], "-rawin", "-in", tmp_path / "payload"]
    subprocess.run([*command, "-sigfile", tmp_path / "signature"], check=True, timeout=30, stdout=subprocess.DEVNULL)
    assert [one.artifact_type for one in store.referrers("a", package.digest)] == [KIND]


def test_no_signature(store, package, ada):
    with pytest.raises(PermissionDenied, match="is not signed"):
        verify(store, "a", package.digest, [ada[1]])
    with pytest.raises(ConfigError, match="no key"):
        verify(store, "a", package.digest, [])


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (b"{}", "AAAA"),
        (b"[]", ""),
        (b"not json", "AAAA"),
        (b'{"critical": {"type": "cosign container image signature", "image": {}}}', "AAAA"),
        (b'{"critical": 1}', "%%%"),
    ],
)
def test_what_is_no_signature(store, package, ada, payload, signature):
    tag = f"{package.digest.replace(':', '-')}.sig"
    attach(store, "a", package, KIND, [(PAYLOAD, payload, {SIGNATURE: signature})], [tag])
    with pytest.raises(PermissionDenied, match="no signature by any"):
        verify(store, "a", package.digest, [ada[1]])


def test_a_signature_of_another_package(store, package, ada):
    config = Descriptor.of(EMPTY, b"{}")
    other = store.write_manifest("a", Manifest(config, (), {"x": "z"}).to_bytes(), ["other"])
    sign(store, "a", "host/a", other, ada[0])
    stolen = parse_manifest(store.manifest("a", f"{other.digest.replace(':', '-')}.sig")[1]).layers[0]
    layer = (PAYLOAD, read_all(store, "a", stolen, 1 << 16), dict(stolen.annotations))
    attach(store, "a", package, KIND, [layer], [f"{package.digest.replace(':', '-')}.sig"])
    with pytest.raises(PermissionDenied, match="no signature by any"):
        verify(store, "a", package.digest, [ada[1]])


def test_keys_that_are_none(store, package, ada, tmp_path):
    rsa = tmp_path / "rsa.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed448", "-out", rsa], check=True, timeout=30)
    with pytest.raises(ConfigError, match="not an ed25519 key"):
        sign(store, "a", "host/a", package, rsa)
    with pytest.raises(ConfigError, match="not a private key"):
        sign(store, "a", "host/a", package, ada[1])
    with pytest.raises(ConfigError, match="openssl genpkey"):
        sign(store, "a", "host/a", package, tmp_path / "none.pem")
    sign(store, "a", "host/a", package, ada[0])
    with pytest.raises(ConfigError, match="not a public key"):
        verify(store, "a", package.digest, [ada[0]])


def test_who_is_trusted(monkeypatch, ada, bob, tmp_path):
    monkeypatch.delenv("JINA_HUB_TRUST", raising=False)
    assert Trust.from_environment() == Trust("any")
    monkeypatch.setenv("JINA_HUB_TRUST", "keys")
    monkeypatch.setenv("JINA_HUB_KEYS", f"{tmp_path}:/one/more.pub")
    assert [file.name for file in Trust.from_environment().keys] == ["ada.pub", "bob.pub", "more.pub"]
    assert key_files("") == ()
    monkeypatch.setenv("JINA_HUB_TRUST", "all")
    with pytest.raises(ConfigError, match="not one of any, digest, keys"):
        Trust.from_environment()
