"""From what `uses` says to a folder of this machine: packages of registries and of git, by digest, each fetched once.

    hub://HOST/REPOSITORY[:TAG|@DIGEST]      a registry
    hub:///FOLDER/NAME[:TAG|@DIGEST]         a registry in a folder, its path in percent encoding
    jinahub://NAME[:TAG|@DIGEST]             JINA_HUB_REGISTRY, a folder of this user unless it is set
    jinaai://USER/NAME[:TAG|@DIGEST]         the same
    git+https://HOST/PATH[@REF][#subdirectory=FOLDER], and git+ssh://, git+file://

A package is unpacked below the user's cache under its digest, and stays there. `jina.lock` says which digest each name
stands for: with it, no registry is asked what a tag means.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from jina.config.paths import user_cache
from jina.errors import BadConfigSource, ConfigError, PermissionDenied, missing_extra
from jina.hub.archives import unpack
from jina.hub.oci import LayoutStore, NotFound, Reference, Store, docker_name, whole
from jina.hub.packages import Progress, config_of, manifest_of, pull
from jina.hub.signatures import Trust, verify

if TYPE_CHECKING:
    from jina.hub.registry import Access

LOCK: Final = "jina.lock"
_SCHEME: Final = re.compile(r"\s*(hub|jinahub|jinaai|git\+https|git\+http|git\+ssh|git\+file)://", re.IGNORECASE)
_HOST_FIRST: Final = re.compile(r"[A-Za-z0-9.-]+:[0-9]+/")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_GIT_SECONDS: Final = 600.0
_GIT_BYTES: Final = 4 << 30
_GIT_FILES: Final = 100_000
_NAMES_BYTES: Final = 4 << 20


_FORMS: Final = "write jinahub://NAME[:TAG], jinaai://USER/NAME[:TAG] or hub://HOST/REPOSITORY[:TAG]"


def is_reference(uses: Any) -> bool:
    """Whether `uses` names a package that is to be fetched."""
    return isinstance(uses, str) and _SCHEME.match(uses) is not None and "\n" not in uses.strip()


@dataclass(frozen=True, slots=True)
class Fetched:
    """A package on this machine."""

    folder: Path
    version: str
    """Its digest; of a git repository, the commit."""

    @property
    def config(self) -> str:
        """The path of its configuration."""
        return str(self.folder / config_of(self.folder))


@dataclass(frozen=True, slots=True)
class Fetching:
    """How packages are fetched."""

    offline: bool = False
    """Ask nobody: take what is in the cache."""
    force: bool = False
    """Fetch again what is in the cache."""
    lock: Path | None = None
    """The lock file that decides; None where there is none."""
    trust: Trust | None = None
    """What a package must show; None: what the environment says."""
    registry: str = ""
    """Where names without a host are looked up; see `registry_named`."""
    access: Access | None = None
    progress: Progress | None = None

    def fetch(self, uses: str) -> Fetched:
        """Fetch what `uses` names, unless it is there; raises `ConfigError` or what the registry says."""
        uses = uses.strip()
        pinned = self.pinned(uses)
        trust = self.trust or Trust.from_environment()
        if uses.lower().startswith("git+"):
            return self._from_git(GitSource.parse(uses), uses, pinned, trust)
        return self._from_registry(Named.parse(uses, self.registry), uses, pinned, trust)

    def pinned(self, uses: str) -> str:
        """What the lock file says; empty without one. Raises `ConfigError` where it says nothing."""
        uses = uses.strip()
        if self.lock is None:
            return ""
        pins = read_lock(self.lock)
        if uses not in pins:
            raise ConfigError(f"{self.lock} does not pin {uses}", help=f"jina hub lock {uses} adds it")
        return pins[uses]

    def _from_registry(self, package: Named, uses: str, pinned: str, trust: Trust) -> Fetched:
        digest = pinned or package.reference.digest
        if trust.policy == "digest" and not digest:
            raise PermissionDenied(
                f"{uses} is not pinned to a digest, which JINA_HUB_TRUST=digest asks for",
                help="write NAME@sha256:..., or pin it: jina hub lock",
            )
        if not digest and self.offline:
            digest = self._known(uses)
        target = _cache() / "packages" / digest.replace(":", "-") if digest else None
        # Signatures are asked for at each use: a key may have been withdrawn since the package was fetched.
        if target is not None and target.is_dir() and not self.force and trust.policy != "keys":
            return Fetched(target, digest)
        if self.offline:
            raise self._not_cached(uses, target, digest)
        store = package.open(self.access)
        repository = package.reference.repository
        entry, manifest = manifest_of(store, repository, digest or package.reference.wanted)
        if trust.policy == "keys":
            verify(store, repository, entry.digest, trust.keys)
        target = _cache() / "packages" / entry.digest.replace(":", "-")
        if self.force and target.is_dir():
            _remove(target)
        if not target.is_dir():
            progress = {"progress": self.progress} if self.progress else {}
            pull(store, repository, manifest, target, blobs=_cache() / "blobs", **progress)
        self._learn(uses, entry.digest)
        return Fetched(target, entry.digest)

    def _not_cached(self, uses: str, target: Path | None, digest: str) -> ConfigError | PermissionDenied:
        if target is not None and target.is_dir():
            return PermissionDenied(
                f"{uses}: signatures cannot be asked for offline", help="JINA_HUB_TRUST=digest goes offline"
            )
        what = f"{uses} ({digest})" if digest else uses
        return BadConfigSource(
            f"{what} is not in the cache, and offline nobody is asked for it", help=f"jina hub pull {uses}"
        )

    def _from_git(self, source: GitSource, uses: str, pinned: str, trust: Trust) -> Fetched:
        if trust.policy == "keys":
            raise PermissionDenied(
                f"{uses} has no signature, which JINA_HUB_TRUST=keys asks for",
                help="push it to a registry: jina hub push --sign KEY",
            )
        commit = pinned or (source.ref if _COMMIT.fullmatch(source.ref) else "")
        if trust.policy == "digest" and not commit:
            raise PermissionDenied(
                f"{uses} names no commit, which JINA_HUB_TRUST=digest asks for",
                help="write @COMMIT, or pin it: jina hub lock",
            )
        if not commit and self.offline:
            commit = self._known(uses)
        target = source.place(commit) if commit else None
        if target is not None and target.is_dir() and not self.force:
            return Fetched(target, commit)
        if self.offline:
            raise self._not_cached(uses, None, commit)
        commit, target = source.fetch(commit, force=self.force)
        self._learn(uses, commit)
        return Fetched(target, commit)

    def cached(self, uses: str, version: str = "") -> Fetched | None:
        """The package with that version, or with the one it had when it was fetched last, if it is in the cache."""
        version = version or self._known(uses.strip())
        if not version:
            return None
        git = uses.strip().lower().startswith("git+")
        place = GitSource.parse(uses).place(version) if git else _cache() / "packages" / version.replace(":", "-")
        return Fetched(place, version) if place.is_dir() else None

    def _name(self, uses: str) -> str:
        """A name with the registry that it is looked up in."""
        return uses if uses.startswith(("git+", "hub:")) else f"{uses} in {'/'.join(registry_named(self.registry))}"

    def _known(self, uses: str) -> str:
        """The version that a name had when it was fetched last; empty where it never was."""
        found = _names().get(self._name(uses), "")
        return found if isinstance(found, str) and _is_pin(found) else ""

    def _learn(self, uses: str, version: str) -> None:
        folder, name = _cache(), self._name(uses)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            names = _names()
            if names.get(name) != version:
                with whole(folder / "names.json") as file:
                    file.write(json.dumps({**names, name: version}, indent=1).encode())


def lock_for(folder: str | None) -> Path | None:
    """The lock beside a YAML file, else that of the working folder; None where there is none."""
    for place in filter(None, (folder, ".")):
        file = Path(place) / LOCK
        if file.is_file():
            return file
    return None


def read_lock(file: Path) -> dict[str, str]:
    """What `uses` says -> the digest or commit that it stands for."""
    try:
        pins = json.loads(file.read_bytes())["packages"]
    except FileNotFoundError:
        raise BadConfigSource(f"{file}: no such file", help="jina hub lock writes it") from None
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ConfigError(f"{file} is not a lock file: {error}", help="jina hub lock writes it again") from None
    good = isinstance(pins, dict) and all(isinstance(pin, str) and _is_pin(pin) for pin in pins.values())
    if not good:
        raise ConfigError(
            f"{file}: packages is not an object of digests and commits", help="jina hub lock writes it again"
        )
    return cast("dict[str, str]", pins)


def pinned_image(uses: str, folder: str | None) -> str:
    """The digest of an image that the lock of a folder, else of the working folder, pins; empty where there is none.

    Raises `ConfigError` where a lock does not have it.
    """
    return Fetching(lock=lock_for(folder)).pinned(uses)


def write_lock(file: Path, pins: Mapping[str, str]) -> None:
    """Write a lock file, sorted, whole or not at all."""
    text = json.dumps({"version": 1, "packages": dict(sorted(pins.items()))}, indent=2, ensure_ascii=False)
    with whole(file) as target:
        target.write(text.encode() + b"\n")


def _is_pin(text: str) -> bool:
    return _COMMIT.fullmatch(text.removeprefix("sha256:")) is not None


# --- registries ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Named:
    """A package by name: where its registry is, and what it is called there."""

    registry: str
    """HOST, or the path of a folder."""
    reference: Reference

    @classmethod
    def parse(cls, uses: str, registry: str = "") -> Named:
        """Take `hub://`, `jinahub://`, `jinaai://`, or a name in `registry`, apart."""
        scheme, found, rest = uses.strip().partition("://")
        scheme, rest = (scheme.lower(), rest) if found else ("jinahub", scheme)
        if scheme == "hub":
            if rest.startswith("/"):
                return cls._in_folder(uses, rest)
            reference = Reference.parse(rest)
            return cls(reference.registry, reference)
        if scheme not in {"jinahub", "jinaai"}:
            image = scheme == "docker" or scheme.endswith("+docker")
            raise ConfigError(
                f"{uses!r}: {scheme}:// names no package of a registry",
                help="it is an image, which Deployments and Flows use as it is" if image else _FORMS,
            )
        if not found and _HOST_FIRST.match(rest):
            raise ConfigError(f"{uses!r} is not the name of a package", help=f"with its registry: hub://{rest}")
        name, _, digest = rest.partition("@")
        name, slash, tag = name.partition("/") if scheme == "jinahub" and found else (name, "", "")
        if not slash:
            name, _, tag = name.partition(":")
        home, prefix = registry_named(registry)
        repository = f"{prefix}{name.lower()}"
        version = f"{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"
        text = f"{'registry' if home.startswith('/') else home}/{repository}{version}"
        try:
            reference = Reference.parse(text)
        except ConfigError as error:
            # Without the name by which a registry in a folder is parsed.
            raise ConfigError(f"{uses!r}: {error.message.rpartition(': ')[2]}", help=error.help) from None
        return cls(home, Reference("" if home.startswith("/") else home, reference.repository, tag, digest))

    @classmethod
    def _in_folder(cls, uses: str, path: str) -> Named:
        """What `hub:///FOLDER/NAME` names: each repository of a registry in a folder is a folder by itself."""
        folder, _, name = path.rpartition("/")
        folder = urllib.parse.unquote(folder)
        try:
            reference = Reference.parse(f"registry/{name}")
        except ConfigError as error:
            raise ConfigError(f"{uses}: {error.message}", help="write hub:///FOLDER/NAME[:TAG|@DIGEST]") from None
        return cls(os.path.abspath(folder or "/"), dataclasses.replace(reference, registry=""))

    @property
    def uses(self) -> str:
        """What names it wherever JINA_HUB_REGISTRY says something else, without its version."""
        place = urllib.parse.quote(self.registry) if self.registry.startswith("/") else self.registry
        return f"hub://{place.rstrip('/')}/{self.reference.repository}"

    def open(self, access: Access | None = None) -> Store:
        """The registry that it is in."""
        return open_registry(self.registry, access)


def registry_named(text: str = "") -> tuple[str, str]:
    """A registry as users name it: the host, or the absolute path of a folder; and what precedes names in it.

    Nothing: what JINA_HUB_REGISTRY says, else the folder `~/.local/share/jina/registry`.
    """
    text = text or os.environ.get("JINA_HUB_REGISTRY", "")
    if not text:
        home = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
        return os.path.abspath(os.path.join(home, "jina", "registry")), ""
    if text.startswith(("/", ".", "~")):
        return os.path.abspath(os.path.expanduser(text)), ""
    host, slash, prefix = text.removeprefix("hub://").partition("/")
    Reference.parse(f"{host}/{prefix.strip('/') or 'name'}")
    return host, f"{prefix.strip('/')}/" if slash and prefix.strip("/") else ""


def open_registry(name: str, access: Access | None = None) -> Store:
    """The registry at a host or in a folder, as `registry_named` gives it."""
    if name.startswith("/"):
        return LayoutStore(Path(name))
    if (error := missing_extra("urllib3", "hub", f"the registry {name}")) is not None:
        raise error
    from jina.hub.registry import RegistryStore

    return RegistryStore(name, access)


def image_named(uses: str, registry: str = "") -> Named:
    """The image that `docker://`, `jinahub+docker://` or `jinaai+docker://` names, in its registry."""
    scheme, _, rest = uses.strip().partition("://")
    if scheme.lower() != "docker":
        return Named.parse(f"{scheme.removesuffix('+docker')}://{rest}", registry)
    reference = Reference.parse(docker_name(rest))
    return Named(reference.registry, reference)


def image_digest(uses: str, registry: str = "", access: Access | None = None) -> str:
    """The digest of an image in its registry; raises `ConfigError` for one that is on this machine alone."""
    named = image_named(uses, registry)
    if named.reference.digest:
        return named.reference.digest
    try:
        return named.open(access).manifest(named.reference.repository, named.reference.wanted)[0].digest
    except NotFound as error:
        raise ConfigError(
            f"{uses}: {error.message}", help="only what is in a registry can be pinned: push the image to one"
        ) from None


# --- git ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GitSource:
    """A folder in a git repository."""

    address: str
    ref: str
    subdirectory: str

    @classmethod
    def parse(cls, uses: str) -> GitSource:
        """Take `git+SCHEME://...[@REF][#subdirectory=FOLDER]` apart."""
        address, _, fragment = uses.strip()[len("git+") :].partition("#")
        scheme, _, rest = address.partition("://")
        host, slash, path = rest.partition("/")
        if scheme.lower() == "https" and "@" in host:  # it would be shown and kept wherever the name is
            raise ConfigError(
                f"git+https://...@{host.rpartition('@')[2]}/{path}: a name must not hold credentials",
                help="git asks its credential helpers: see `git help credentials`",
            )
        path, _, ref = path.rpartition("@") if "@" in path else (path, "", "")
        options = dict(urllib.parse.parse_qsl(fragment, strict_parsing=True)) if fragment else {}
        subdirectory = options.pop("subdirectory", "").strip("/")
        if options or ".." in subdirectory.split("/"):
            raise ConfigError(f"{uses!r}: {fragment!r} is not understood", help="write #subdirectory=FOLDER")
        if scheme.lower() == "http":
            raise ConfigError(f"{uses!r}: git+http:// is not encrypted", help="write git+https://")
        if ref.startswith("-") or not slash or not path:
            raise ConfigError(
                f"{uses!r} names no repository", help="write git+https://HOST/PATH@REF#subdirectory=FOLDER"
            )
        return cls(f"{scheme.lower()}://{host}/{path}", ref, subdirectory)

    def place(self, commit: str) -> Path:
        """Where a commit of it is in the cache."""
        text = f"{self.address}#{self.subdirectory}"
        return _cache() / "git" / f"{commit}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def fetch(self, commit: str = "", *, force: bool = False) -> tuple[str, Path]:
        """Fetch the ref, or a commit of it, and unpack the folder; gives the commit and the place."""
        if shutil.which("git") is None:
            raise ConfigError(f"git+{self.address}: the program git is not installed")
        with tempfile.TemporaryDirectory() as folder:
            self._git(folder, "init", "--quiet", "--bare", ".")
            wanted = commit or self.ref or "HEAD"
            if not self._fetched(folder, wanted) and not _COMMIT.fullmatch(wanted):
                raise BadConfigSource(f"git+{self.address} has no {wanted!r}, or cannot be read")
            name = "FETCH_HEAD" if not _COMMIT.fullmatch(wanted) else wanted
            found = self._git(
                folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
            ).strip()
            if commit and found != commit:
                raise ConfigError(f"git+{self.address}: {wanted} is the commit {found}, not {commit}")
            target = self.place(found)
            if force and target.is_dir():
                _remove(target)
            if not target.is_dir():
                self._unpack(folder, found, target)
            return found, target

    def _fetched(self, folder: str, wanted: str) -> bool:
        """Fetch what is wanted alone; a commit that the server does not give by itself comes with all others."""
        try:
            self._git(folder, "fetch", "--quiet", "--depth=1", "--no-tags", "--end-of-options", self.address, wanted)
        except ConfigError:
            if not _COMMIT.fullmatch(wanted):
                return False
            refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
            self._git(folder, "fetch", "--quiet", "--end-of-options", self.address, *refs)
        return True

    def _unpack(self, folder: str, commit: str, target: Path) -> None:
        tree = f"{commit}:{self.subdirectory}" if self.subdirectory else commit
        archive = Path(folder) / "tree.tar.gz"
        self._git(folder, "archive", "--format=tar.gz", f"--output={archive}", tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
        try:
            with archive.open("rb") as file:
                unpack(file, part / "package", most_bytes=_GIT_BYTES, most_files=_GIT_FILES)
            config_of(part / "package")
            try:
                (part / "package").rename(target)
            except OSError:
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _git(self, folder: str, *words: str) -> str:
        # Hooks and settings of the repository are not read: it is bare and made here, and no file is checked out.
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https:ssh:file", "LC_ALL": "C"}
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
            environment.pop(name, None)
        try:
            done = subprocess.run(  # noqa: S603 - git, with words that begin with no dash
                ["git", *words], cwd=folder, env=environment, capture_output=True, text=True, errors="replace",  # noqa: S607 - the user's git
                stdin=subprocess.DEVNULL, timeout=_GIT_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ConfigError(f"git+{self.address}: git {words[0]} took more than {_GIT_SECONDS:g} s") from None
        if done.returncode:
            raise ConfigError(f"git+{self.address}: git {words[0]} failed: {done.stderr.strip()[-500:]}")
        return done.stdout


# --- the cache ----------------------------------------------------------------------------------------------------


def _cache() -> Path:
    return Path(user_cache()) / "hub"


def _names() -> dict[str, Any]:
    try:
        with (_cache() / "names.json").open("rb") as file:
            value = json.loads(file.read(_NAMES_BYTES))
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _remove(target: Path) -> None:
    """Remove a package from the cache; those that have it open keep their files."""
    aside = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
    os.rename(target, aside / "old")
    shutil.rmtree(aside)
