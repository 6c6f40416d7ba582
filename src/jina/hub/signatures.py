"""Signatures of packages: ed25519 over the digest, in the form of cosign (simple signing), and who is trusted.

A signature is stored as cosign stores it, under the tag `sha256-DIGEST.sig`, and refers to the package, as in OCI 1.1.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jina.errors import ConfigError, PermissionDenied, missing_extra
from jina.hub.oci import Damaged, Descriptor, Manifest, NotFound, Store, canonical, parse_manifest
from jina.hub.packages import attach, read_all

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KIND: Final = "application/vnd.dev.cosign.artifact.sig.v1+json"
PAYLOAD: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE: Final = "dev.cosignproject.cosign/signature"
_TYPE: Final = "cosign container image signature"
_PAYLOAD_BYTES: Final = 64 << 10
_MOST: Final = 100
"""Signatures of one package that are tried."""
POLICIES: Final = ("any", "digest", "keys")


@dataclass(frozen=True, slots=True)
class Trust:
    """What packages have to show before they are used: nothing, a digest that the user wrote, or a signature."""

    policy: str = "any"
    keys: tuple[Path, ...] = ()

    @classmethod
    def from_environment(cls) -> Trust:
        """What `JINA_HUB_TRUST` and `JINA_HUB_KEYS` say."""
        policy = os.environ.get("JINA_HUB_TRUST", "") or "any"
        if policy not in POLICIES:
            raise ConfigError(f"JINA_HUB_TRUST: {policy!r} is not one of {', '.join(POLICIES)}")
        return cls(policy, key_files(os.environ.get("JINA_HUB_KEYS", "")))


def key_files(text: str) -> tuple[Path, ...]:
    """The files of public keys that a list of files and folders names, `:` between them."""
    found: list[Path] = []
    for part in filter(None, text.split(os.pathsep)):
        path = Path(part).expanduser()
        found += sorted(path.glob("*.pub")) if path.is_dir() else [path]
    return tuple(found)


def sign(store: Store, repository: str, name: str, package: Descriptor, key_file: Path) -> Descriptor:
    """Store a signature by the private key in a file; those that are there stay. `name` is what others call it."""
    key = _private(key_file)
    payload = canonical(
        {
            "critical": {
                "identity": {"docker-reference": name},
                "image": {"docker-manifest-digest": package.digest},
                "type": _TYPE,
            },
            "optional": None,
        }
    )
    layers = [
        (PAYLOAD, read_all(store, repository, layer, _PAYLOAD_BYTES), dict(layer.annotations))
        for layer in _layers(store, repository, package.digest)
    ]
    signature = base64.b64encode(key.sign(payload)).decode()
    layers.append((PAYLOAD, payload, {SIGNATURE: signature}))
    return attach(store, repository, package, KIND, layers, [_tag(package.digest)])


def verify(store: Store, repository: str, digest: str, keys: Sequence[Path]) -> Path:
    """The file of the key that signed the digest; raises `PermissionDenied` where none of them did."""
    if not keys:
        raise ConfigError("no key to verify signatures with", help="name public keys: --key FILE, or JINA_HUB_KEYS")
    layers = _layers(store, repository, digest)
    if not layers:
        raise PermissionDenied(f"{repository}@{digest} is not signed", help="jina hub push --sign KEY signs a package")
    public = [(file, _public(file)) for file in keys]
    for layer in layers[:_MOST]:
        payload = read_all(store, repository, layer, _PAYLOAD_BYTES)
        if _signed_digest(payload) != digest:
            continue
        try:
            signature = base64.b64decode(layer.annotations.get(SIGNATURE, ""), validate=True)
        except ValueError:  # not base64, or not even ASCII
            continue
        for file, key in public:
            if _is_by(key, signature, payload):
                return file
    names = ", ".join(str(file) for file in keys)
    raise PermissionDenied(f"{repository}@{digest} has no signature by any of the keys {names}")


def signatures(store: Store, repository: str, digest: str) -> int:
    """How many signatures a registry has for a digest, by whichever keys."""
    return len(_layers(store, repository, digest))


def _layers(store: Store, repository: str, digest: str) -> list[Descriptor]:
    """The signatures of a package: those below the tag, and others that refer to it.

    Of two that sign at once the later one moves the tag, and knows nothing of the earlier one.
    """
    found: dict[tuple[str, str], Descriptor] = {}
    referrers = (one.digest for one in store.referrers(repository, digest, KIND)[:_MOST])
    for name in (_tag(digest), *referrers):
        try:
            manifest = parse_manifest(store.manifest(repository, name)[1])
        except NotFound:
            continue
        if not isinstance(manifest, Manifest):
            raise Damaged(f"{repository}:{name} is an image index, not signatures")
        for layer in manifest.layers:
            if layer.media_type == PAYLOAD:
                found.setdefault((layer.digest, layer.annotations.get(SIGNATURE, "")), layer)
    return list(found.values())


def _tag(digest: str) -> str:
    return f"{digest.replace(':', '-')}.sig"


def _signed_digest(payload: bytes) -> str:
    try:
        critical = json.loads(payload)["critical"]
        return str(critical["image"]["docker-manifest-digest"]) if critical["type"] == _TYPE else ""
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def _is_by(key: Ed25519PublicKey, signature: bytes, payload: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, payload)
    except InvalidSignature:
        return False
    return True


def _private(file: Path) -> Ed25519PrivateKey:
    """The private key of a PEM file; a passphrase is taken from `JINA_HUB_KEY_PASSPHRASE`."""
    _needed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    passphrase = os.environ.get("JINA_HUB_KEY_PASSPHRASE", "")
    try:
        key = load_pem_private_key(file.read_bytes(), passphrase.encode() or None)
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: no such key", help=f"make one: openssl genpkey -algorithm ed25519 -out {file}"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{file} is not a private key in PEM: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"{file} is not an ed25519 key", help=f"make one: openssl genpkey -algorithm ed25519 -out {file}"
        )
    return key


def _public(file: Path) -> Ed25519PublicKey:
    _needed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{file} is not a public key in PEM: {error}", help="openssl pkey -in KEY -pubout -out KEY.pub writes it"
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{file} is not an ed25519 key")
    return key


def _needed() -> None:
    if (error := missing_extra("cryptography", "hub", "a signature")) is not None:
        raise error
