"""What an OCI registry holds: names, descriptors, manifests, and a folder that holds them as a registry does.

Sources: OCI Image Format Specification 1.1 (descriptor, manifest, image index, image layout) and OCI Distribution
Specification 1.1 (names, tags, referrers). Everything here is checked when it is read: what a registry answers is input
like any other.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Protocol

from jina.errors import ConfigError, quoted

IMAGE_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX: Final = "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
IMAGE_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY: Final = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS: Final = (IMAGE_MANIFEST, IMAGE_INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
"""Media types of manifests that are understood; the last two are what Docker's registries say for the same."""

TAG_NAME: Final = "org.opencontainers.image.ref.name"
"""The annotation that gives an entry of a layout its tag."""

MANIFEST_BYTES: Final = 4 << 20
"""The largest manifest that a registry must take, by the specification, and the largest that is read."""
_MOST: Final = {"layers": 1000, "manifests": 20_000}
"""How many descriptors a manifest and an index may have."""
_DEEPEST_INDEX: Final = 4
"""An index may list indexes, but not without end."""
CHUNK: Final = 1 << 20
PART: Final = ".part-"
"""What the names of files and folders begin with that are not whole yet."""
_PART_SECONDS: Final = 86400.0

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_HOST = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?")


class NotFound(ConfigError, LookupError):
    """A registry has no such repository, tag, manifest or blob."""


class Damaged(ConfigError):
    """Content is not what its digest or its size says, or no valid manifest."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`HOST/REPOSITORY[:TAG][@DIGEST]`: one version of something in a registry."""

    registry: str
    """Host and port; empty for the registry in a local folder."""
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Take a reference apart; raises `ConfigError` that names the part that is wrong."""
        rest, _, digest = text.partition("@")
        if digest and not _DIGEST.fullmatch(digest):
            raise ConfigError(f"{text!r}: {digest!r} is not a digest", help="write sha256: and 64 hexadecimal digits")
        host, slash, path = rest.partition("/")
        if not slash:
            raise ConfigError(
                f"{text!r} names no repository", help="write HOST/REPOSITORY, such as localhost:5000/my/executor"
            )
        repository, _, tag = path.partition(":")
        if not _HOST.fullmatch(host):
            raise ConfigError(f"{text!r}: {host!r} is not a host", help="write HOST or HOST:PORT before the first /")
        check_repository(repository, text)
        if tag:
            check_tag(tag, text)
        elif path.endswith(":"):
            raise ConfigError(f"{text!r}: the tag after : is missing", help="write a tag, or leave out the :")
        return cls(host, repository, tag, digest)

    @property
    def wanted(self) -> str:
        """What to ask a registry for: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> Reference:
        """The same, pinned to a digest."""
        return Reference(self.registry, self.repository, self.tag, digest)

    @property
    def version(self) -> str:
        """`:TAG`, `@DIGEST` or both, as it was named; empty without either."""
        return f"{f':{self.tag}' if self.tag else ''}{f'@{self.digest}' if self.digest else ''}"

    def __str__(self) -> str:
        host = f"{self.registry}/" if self.registry else ""
        return f"{host}{self.repository}{self.version}"


def docker_name(image: str) -> str:
    """The name of an image with its registry: as Docker reads it, `docker.io` where it names none."""
    host, slash, _ = image.partition("/")
    if slash and (host == "localhost" or "." in host or ":" in host):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def check_repository(name: str, where: str = "") -> str:
    """The name, if a repository may be called so; raises `ConfigError` otherwise."""
    if not is_repository(name):
        raise ConfigError(
            f"{where or name!r}: {name!r} is not a repository",
            help="use lower-case letters, digits and single . _ - between them, parts separated by /",
        )
    return name


def check_tag(name: str, where: str = "") -> str:
    """The tag, if it may be called so; raises `ConfigError` otherwise."""
    if not is_tag(name):
        raise ConfigError(
            f"{where or name!r}: {name!r} is not a tag",
            help="use at most 128 letters, digits, _ . and -, no . or - first",
        )
    return name


def is_repository(name: Any) -> bool:
    """Whether a repository may be called so."""
    return isinstance(name, str) and _REPOSITORY.fullmatch(name) is not None and len(name) <= 255


def is_tag(name: Any) -> bool:
    """Whether a tag may be called so."""
    return isinstance(name, str) and _TAG.fullmatch(name) is not None


def check_digest(text: str) -> str:
    """The digest, if it is a SHA-256; raises `Damaged` otherwise."""
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise Damaged(f"{quoted(str(text))} is not a digest: sha256: and 64 hexadecimal digits are expected")
    return text


def digest_of(data: bytes) -> str:
    """`sha256:` and the hexadecimal SHA-256 of the bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no blanks: the same value gives the same bytes, and so the same digest."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What refers to content: its media type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    platform: Mapping[str, str] = field(default_factory=dict)
    """`os`, `architecture` and perhaps `variant`, in an image index."""

    @classmethod
    def of(cls, media_type: str, data: bytes, annotations: Mapping[str, str] | None = None) -> Descriptor:
        """The descriptor of bytes."""
        return cls(media_type, digest_of(data), len(data), dict(annotations or {}))

    @classmethod
    def from_json(cls, value: Any) -> Descriptor:
        """Read and check; raises `Damaged`."""
        if not isinstance(value, dict):
            raise Damaged("a descriptor is not a JSON object")
        media, size = value.get("mediaType"), value.get("size")
        if not isinstance(media, str) or not media or len(media) > 255:
            raise Damaged("a descriptor has no mediaType")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 50:
            raise Damaged(f"a descriptor has the size {quoted(str(size))}")
        kind = value.get("artifactType", "")
        if not isinstance(kind, str):
            raise Damaged("a descriptor's artifactType is no text")
        digest = check_digest(value.get("digest", ""))
        return cls(media, digest, size, _texts(value, "annotations"), kind, _platform(value.get("platform")))

    def to_json(self) -> dict[str, Any]:
        """As a manifest holds it."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        if self.platform:
            value["platform"] = dict(self.platform)
        return value


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image or artifact: a configuration and layers."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    subject: Descriptor | None = None
    """What this is about, such as the package of a signature."""
    media_type: str = IMAGE_MANIFEST

    def to_bytes(self) -> bytes:
        """As it is stored: canonical JSON."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        if self.subject is not None:
            value["subject"] = self.subject.to_json()
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return canonical(value)

    @property
    def kind(self) -> str:
        """The type of the artifact; that of the configuration where the manifest names none (as before OCI 1.1)."""
        return self.artifact_type or self.config.media_type


@dataclass(frozen=True, slots=True)
class Index:
    """Several manifests under one name, such as the platforms of an image."""

    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    media_type: str = IMAGE_INDEX

    def to_bytes(self) -> bytes:
        """As it is stored: canonical JSON."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "manifests": [one.to_json() for one in self.manifests],
        }
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return canonical(value)


def parse_json(data: bytes, what: str) -> Any:
    """Read JSON that anybody may have written; raises `Damaged` where it is none, or cannot be written again."""
    try:
        text = data.decode()  # json takes other encodings and halves of surrogate pairs, too
        value = json.loads(text)
        if "\\u" in text:
            canonical(value)  # raises where an escape stands for half of a pair
    except UnicodeError as error:
        raise Damaged(f"{what} is not UTF-8: {error}") from None
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{what} is not JSON: {error}") from None
    return value


def parse_manifest(data: bytes, media_type: str = "") -> Manifest | Index:
    """Read and check the bytes of a manifest; `media_type` is what the registry said. Raises `Damaged`."""
    if len(data) > MANIFEST_BYTES:
        raise Damaged(f"a manifest has {len(data)} bytes; at most {MANIFEST_BYTES} are read")
    value = parse_json(data, "a manifest")
    if not isinstance(value, dict) or value.get("schemaVersion") != 2:
        raise Damaged("a manifest is not a JSON object with schemaVersion 2")
    said = value.get("mediaType") or media_type or (IMAGE_INDEX if "manifests" in value else IMAGE_MANIFEST)
    if said not in MANIFESTS:
        raise Damaged(f"a manifest has the media type {quoted(str(said))}, which is not one of {', '.join(MANIFESTS)}")
    # Only one of the two lists may be there: a text that is both means different things to different readers.
    if ("manifests" in value) == ("layers" in value):
        raise Damaged("a manifest must have either layers or manifests")
    kind = value.get("artifactType", "")
    if not isinstance(kind, str):
        raise Damaged("the artifactType of a manifest is no text")
    annotations = _texts(value, "annotations")
    if said in {IMAGE_INDEX, DOCKER_INDEX}:
        return Index(_descriptors(value, "manifests"), annotations, kind, said)
    subject = value.get("subject")
    return Manifest(
        Descriptor.from_json(value.get("config")),
        _descriptors(value, "layers"),
        annotations,
        kind,
        None if subject is None else Descriptor.from_json(subject),
        said,
    )


def _descriptors(value: dict[str, Any], key: str) -> tuple[Descriptor, ...]:
    found = value.get(key)
    if not isinstance(found, list) or len(found) > _MOST[key]:
        raise Damaged(f"{key} of a manifest is not a list of at most {_MOST[key]}")
    return tuple(map(Descriptor.from_json, found))


def _texts(value: dict[str, Any], key: str) -> dict[str, str]:
    found = value.get(key) or {}
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise Damaged(f"{key} is not an object of texts")
    return found


def _platform(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Damaged("the platform of a descriptor is not a JSON object")
    return {key: text for key, text in value.items() if isinstance(text, str)}


class Store(Protocol):
    """Repositories of blobs and manifests: a registry, or a folder. All methods block; each may raise `NotFound`."""

    def manifest(self, repository: str, wanted: str) -> tuple[Descriptor, bytes]:
        """The manifest with a tag or a digest, its bytes checked against the digest."""
        ...

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository has the blob."""
        ...

    def read_blob(self, repository: str, blob: Descriptor) -> contextlib.AbstractContextManager[IO[bytes]]:
        """A blob to read from; the reader raises `Damaged` at its end where size or digest differ."""
        ...

    def write_blob(self, repository: str, blob: Descriptor, source: Source) -> None:
        """Store a blob unless it is there; nothing of it is visible before all of it is."""
        ...

    def write_manifest(self, repository: str, data: bytes, tags: Iterable[str] = ()) -> Descriptor:
        """Store a manifest, all of whose blobs are there, and let the tags name it."""
        ...

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository, sorted."""
        ...

    def referrers(self, repository: str, digest: str, artifact_type: str = "") -> list[Descriptor]:
        """The manifests whose subject is the one with that digest."""
        ...


class Source(Protocol):
    """What a blob is read from: a file, `Checked`, a download. `seek` is called with 0 alone, to begin again."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; empty at the end."""
        ...

    def seek(self, place: int, /) -> object:
        """Go back to the beginning; raises `OSError` where that cannot be."""
        ...


class Checked:
    """A reader that compares all it gave with the descriptor when the source ends; see `Store.read_blob`."""

    def __init__(self, source: Source, blob: Descriptor) -> None:
        self._source = source
        self._blob = blob
        self._begin()

    def _begin(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        """The next bytes; raises `Damaged` where there are more than the descriptor says, or others."""
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        data = self._source.read(min(size, self._blob.size - self._size + 1))  # one more shows that there is too much
        self._hash.update(data)
        self._size += len(data)
        if self._size > self._blob.size:
            raise Damaged(f"{self._blob.digest} has more than the {self._blob.size} bytes that its descriptor says")
        if not data and size != 0:
            self._end()
        return data

    def seek(self, place: int) -> int:
        """Begin again, where the source can; there is no other place to go to."""
        if place:
            raise OSError(f"{self._blob.digest} is read from its beginning to its end")
        self._source.seek(0)
        self._begin()
        return 0

    def readable(self) -> bool:
        """True: for those that ask."""
        return True

    def drain(self) -> None:
        """Read to the end, so that all is checked."""
        while self.read(CHUNK):
            pass

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._size < self._blob.size:
            raise Damaged(f"{self._blob.digest} ended after {self._size} of {self._blob.size} bytes")
        if f"sha256:{self._hash.hexdigest()}" != self._blob.digest:
            raise Damaged(f"{self._blob.digest}: the content has the digest sha256:{self._hash.hexdigest()}")


def copy(source: Source, target: IO[bytes]) -> None:
    """Copy all bytes, a piece at a time."""
    while data := source.read(CHUNK):
        target.write(data)


_OWN_NAMES: Final = frozenset({"blobs", "index.json", "oci-layout"})


class LayoutStore:
    """A registry in a folder: each repository is a folder in OCI image layout, which other tools read and write too.

    Several processes may use it at once: files appear whole or not at all, and `index.json` changes under a lock.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def repositories(self) -> list[str]:
        """The names of all repositories, sorted."""
        found = (file.parent.relative_to(self.root).as_posix() for file in self.root.glob("**/oci-layout"))
        return sorted(name for name in found if _REPOSITORY.fullmatch(name))

    def manifest(self, repository: str, wanted: str) -> tuple[Descriptor, bytes]:
        """See `Store`."""
        for entry in self._entries(repository):
            if wanted in {entry.digest, entry.annotations.get(TAG_NAME)}:
                break
        else:
            # The manifests of an index need not be listed.
            if wanted.startswith("sha256:") and self.has_blob(repository, wanted):
                data = _bounded(self._blob(repository, wanted))
                if digest_of(data) != wanted:
                    raise Damaged(f"{wanted}: the content has the digest {digest_of(data)}")
                return Descriptor(parse_manifest(data).media_type, wanted, len(data)), data
            raise NotFound(f"{self.root / repository}: no {wanted}", help=self._known(repository))
        return entry, self._content(repository, entry)

    def has_blob(self, repository: str, digest: str) -> bool:
        """See `Store`."""
        return self._blob(repository, digest).is_file()

    @contextlib.contextmanager
    def read_blob(self, repository: str, blob: Descriptor) -> Iterator[Any]:
        """See `Store`."""
        try:
            file = _open(self._blob(repository, blob.digest))
        except FileNotFoundError:
            raise NotFound(f"{self.root / repository}: no blob {blob.digest}") from None
        with file:
            yield Checked(file, blob)

    def write_blob(self, repository: str, blob: Descriptor, source: Source) -> None:
        """See `Store`."""
        target = self._blob(repository, blob.digest)
        if target.is_file():
            return
        self._make(repository)
        with whole(target) as file:
            copy(Checked(source, blob), file)

    def write_manifest(self, repository: str, data: bytes, tags: Iterable[str] = ()) -> Descriptor:
        """See `Store`."""
        parsed = parse_manifest(data)
        missing = [one.digest for one in parts(parsed) if not self.has_blob(repository, one.digest)]
        if missing:
            raise NotFound(f"{self.root / repository}: a manifest needs blobs that are not there: {', '.join(missing)}")
        entry = Descriptor(parsed.media_type, digest_of(data), len(data), artifact_type=parsed.artifact_type)
        target = self._blob(repository, entry.digest)
        if not target.is_file():
            self._make(repository)
            with whole(target) as file:
                file.write(data)
        self._name(repository, entry, [check_tag(tag) for tag in tags])
        return entry

    def tags(self, repository: str) -> list[str]:
        """See `Store`."""
        named = (entry.annotations.get(TAG_NAME) for entry in self._entries(repository))
        return sorted({tag for tag in named if tag and tag.isprintable()})

    def referrers(self, repository: str, digest: str, artifact_type: str = "") -> list[Descriptor]:
        """See `Store`."""
        listed = {one.digest: one for one in self._entries(repository) if one.media_type == IMAGE_MANIFEST}
        found: dict[str, Descriptor] = {}
        for entry in listed.values():
            try:
                parsed = parse_manifest(self._content(repository, entry))
            except NotFound:
                continue
            if isinstance(parsed, Manifest) and parsed.subject is not None and parsed.subject.digest == digest:
                kind = parsed.kind
                found[entry.digest] = Descriptor(entry.media_type, entry.digest, entry.size, parsed.annotations, kind)
        return [one for one in found.values() if not artifact_type or one.artifact_type == artifact_type]

    def _content(self, repository: str, entry: Descriptor) -> bytes:
        """The bytes of a manifest."""
        if entry.size > MANIFEST_BYTES:
            raise Damaged(f"a manifest has {entry.size} bytes; at most {MANIFEST_BYTES} are read")
        with self.read_blob(repository, entry) as source:
            data: bytes = source.read()
            return data

    def _blob(self, repository: str, digest: str) -> Path:
        algorithm, _, value = check_digest(digest).partition(":")
        return self._folder(repository) / "blobs" / algorithm / value

    def _folder(self, repository: str) -> Path:
        check_repository(repository)
        if taken := _OWN_NAMES.intersection(repository.split("/")):
            raise ConfigError(
                f"{repository} is not a repository of a folder, where {', '.join(sorted(taken))} is a file of another",
                help="choose another name",
            )
        return self.root / repository

    def _known(self, repository: str) -> str:
        known = ", ".join(self.tags(repository))
        return f"it has: {known}" if known else "it has no tags"

    def _entries(self, repository: str) -> list[Descriptor]:
        file = self._folder(repository) / "index.json"
        try:
            data = _bounded(file)
        except FileNotFoundError:
            raise NotFound(
                f"{self.root}: no repository {repository}",
                help=f"it has: {', '.join(self.repositories()) or 'no repository yet'}",
            ) from None
        index = parse_manifest(data, IMAGE_INDEX)
        if not isinstance(index, Index):
            raise Damaged(f"{file}: not an image index")
        return list(index.manifests)

    def _make(self, repository: str) -> None:
        folder = self._folder(repository)
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        sweep(blobs)
        if not (folder / "oci-layout").exists():
            with whole(folder / "oci-layout") as file:
                file.write(canonical({"imageLayoutVersion": "1.0.0"}))

    def _name(self, repository: str, entry: Descriptor, tags: list[str]) -> None:
        folder = self._folder(repository)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = self._entries(repository) if (folder / "index.json").exists() else []
            kept = [one for one in entries if one.annotations.get(TAG_NAME) not in tags]
            if tags:
                kept = [one for one in kept if one.digest != entry.digest or TAG_NAME in one.annotations]
                kept += [_tagged(entry, tag) for tag in tags]
            elif all(one.digest != entry.digest for one in kept):
                kept.append(entry)
            # What lost its last tag stays, found by its digest, as in a registry.
            known = {one.digest for one in kept}
            kept += [
                _tagged(one, "") for one in {one.digest: one for one in entries if one.digest not in known}.values()
            ]
            with whole(folder / "index.json") as file:
                file.write(Index(tuple(kept)).to_bytes())


class Layout(LayoutStore):
    """One folder in OCI image layout, as other tools write and read it, under whatever name of a repository."""

    def manifest(self, repository: str, wanted: str) -> tuple[Descriptor, bytes]:
        """See `Store`. What alone is there needs no tag to be the latest."""
        entries = self._entries(repository)
        alone = len({entry.digest for entry in entries}) == 1
        return super().manifest(repository, entries[0].digest if alone and wanted == "latest" else wanted)

    def _folder(self, repository: str) -> Path:
        del repository
        return self.root

    def _entries(self, repository: str) -> list[Descriptor]:
        if not (self.root / "index.json").exists():
            raise NotFound(f"{self.root} is not an OCI image layout", help="`skopeo copy ... oci:DIR` writes one")
        return super()._entries(repository)


def _open(file: Path) -> IO[bytes]:
    """A file of a layout, which others may have written: no pipe that never opens, no device that never ends."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Damaged(f"{file} is not a file")
    return os.fdopen(handle, "rb")


def _bounded(file: Path) -> bytes:
    with _open(file) as source:
        data = source.read(MANIFEST_BYTES + 1)
    if len(data) > MANIFEST_BYTES:
        raise Damaged(f"{file} has more than {MANIFEST_BYTES} bytes")
    return data


def parts(manifest: Manifest | Index) -> list[Descriptor]:
    """All that a manifest refers to and that must be stored before it."""
    return list(manifest.manifests) if isinstance(manifest, Index) else [manifest.config, *manifest.layers]


def _tagged(entry: Descriptor, tag: str) -> Descriptor:
    annotations = {key: text for key, text in entry.annotations.items() if key != TAG_NAME}
    if tag:
        annotations[TAG_NAME] = tag
    return Descriptor(entry.media_type, entry.digest, entry.size, annotations, entry.artifact_type, entry.platform)


def sweep(folder: Path) -> None:
    """Remove what processes that were killed have left unfinished in a folder, a day ago and earlier."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{PART}*"):
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime < time.time() - _PART_SECONDS:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextlib.contextmanager
def whole(target: Path, *, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """A file that takes its name when all is written and on disk; nothing of it stays where that fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=PART, dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def copy_manifest(
    source: Store, target: Store, repository: str, to: str, wanted: str, tags: Iterable[str] = (), *, depth: int = 0
) -> Descriptor:
    """Copy a manifest and all that it refers to from one store to another, what is there already excepted."""
    if depth > _DEEPEST_INDEX:
        raise Damaged(f"{repository}: indexes within indexes, more than {_DEEPEST_INDEX} deep")
    entry, data = source.manifest(repository, wanted)
    parsed = parse_manifest(data, entry.media_type)
    for part in parts(parsed):
        if isinstance(parsed, Index):
            copy_manifest(source, target, repository, to, part.digest, depth=depth + 1)
        elif not target.has_blob(to, part.digest):
            with source.read_blob(repository, part) as blob:
                target.write_blob(to, part, blob)
    return target.write_manifest(to, data, tags)


def free_space(folder: Path) -> int:
    """Bytes that are free where the folder is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
