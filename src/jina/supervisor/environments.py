"""The environment of a package: what its requirements name, installed by uv or pip and kept in the user's cache.

A worker whose plan has requirements becomes the Python of that environment. It holds what the worker itself needs as
well: these distributions are there before the installer runs, which keeps those that fit the requirements, replaces
the others, and refuses requirements that do not go together with ours. The user's own environment is only read.

    environments/DIGEST             the environment: a link, made when it is complete
    environments/.DIGEST-RANDOM     where it is
    environments/.DIGEST.lock       locked by who makes it; shared by those who run in it
    environments/DIGEST.log         what the installer said
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import runpy
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final, NoReturn
from urllib.parse import urlsplit
from urllib.request import url2pathname

from jina.config.paths import user_cache
from jina.errors import DISTRIBUTION, BadConfigSource, ConfigError, NotSupportedError
from jina.hub.requirements import normal_name, project_dependencies, requirement_lines
from jina.version import __version__

SECONDS: Final = 1800.0
"""How long making an environment may take, with the wait for another process that makes it."""
_KEPT: Final = 90 * 86400.0
"""Seconds after its last use at which an environment is removed, when another one is made."""
_LINES: Final = 20
"""Lines of the installer's output that an error repeats: the last ones say why it failed."""
_LOOK: Final = 0.1
_MOST_FILES: Final = 100_000
_EXTRAS: Final = frozenset({"websockets", "otel"})
"""Extras of ours that workers use, where they are installed."""
_OURS: Final = frozenset({"jina", DISTRIBUTION})
"""What is never installed for a package: workers run this very jina, whichever version its author had."""
_WHEELS: Final = "wheels"
"""Folder of a package with wheels that may be installed from, as images are built."""
_NAME: Final = re.compile(r"(?P<name>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(?:\[(?P<extras>[^\]]*)\])?(?![\w/:\\])")
_EXTRA: Final = re.compile(r"""extra\s*==\s*['"](?P<name>[^'"]+)['"]""")
_PR_SET_PDEATHSIG: Final = 1
_SMOKE: Final = (
    "import jina.supervisor.child, jina.worker.process, jina.documents.document, docarray, jina.server.grpc;"
    " from jina.net.http2_library import library; library()"
)
"""What a worker imports: an environment in which that fails is none."""


def requirement_files(folders: Iterable[str]) -> list[str]:
    """The files of the first folder that says what its package requires: its lock, else its pyproject.toml, and
    requirements.txt. Empty where none does.
    """
    for folder in folders:
        found = [path for name in ("requirements.txt",) if os.path.isfile(path := os.path.join(folder, name))]
        project, lock = os.path.join(folder, "pyproject.toml"), os.path.join(folder, "uv.lock")
        if os.path.isfile(project):
            found = [*([lock] if os.path.isfile(lock) else []), project, *found]
        if found:
            return found
    return []


def users_path(entries: Sequence[str]) -> list[str]:
    """The entries of `sys.path` that are neither Python's own nor hold what is installed for it."""
    paths = sysconfig.get_paths()
    python = os.path.realpath(paths["stdlib"])
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    installed = {
        os.path.realpath(path) for path in (*site.getsitepackages(), *user, paths["purelib"], paths["platlib"])
    }
    zipped = os.path.basename(python).replace(".", "") + ".zip"

    def of_user(entry: str) -> bool:
        path = os.path.realpath(entry)
        own = path == python or path.startswith(f"{python}{os.sep}lib-dynload") or os.path.basename(path) == zipped
        return not own and path not in installed

    return [entry for entry in entries if of_user(entry)]


# --- what is required ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Reading:
    """Requirements, as files of pip say them."""

    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    extras: set[str] = field(default_factory=set)
    """Those of ours that the package asks for."""

    def file(self, path: str) -> None:
        """Read a file with all that it includes."""
        try:
            for line in requirement_lines(path):
                if not line.included:
                    self.add(line.text, constraints=line.constraint)
        except ConfigError as error:
            raise error.prefix("install_requirements") from None

    def add(self, line: str, *, constraints: bool = False) -> None:
        """Take one requirement, or one option of the installer."""
        if line == "--require-hashes":  # what workers need has none; those that are given are checked in any case
            return
        match = _NAME.match(line)
        if match is not None and normal_name(match["name"]) in _OURS:
            named = {normal_name(extra.strip()) for extra in (match["extras"] or "").split(",")}
            self.extras |= _EXTRAS if "standard" in named else named & _EXTRAS
        else:
            (self.constraints if constraints else self.lines).append(line)


def _local_path(line: str) -> str:
    """The file or folder of this machine that a requirement may name; empty for one of an index."""
    text = re.sub(r"^(-e|--editable|-f|--find-links)(\s*=\s*|\s+)", "", line)
    text = text.partition(" @ ")[2] or text
    text = text.partition(" ;")[0].strip().strip("'\"")
    if text.startswith("file://"):
        return text
    return "" if "://" in text else re.sub(r"\[[^\]]*\]$", "", text)


def _stamp(path: Path) -> str:
    """What differs when a file or folder differs; empty where there is none, which the installer will say."""
    if not path.exists():
        return ""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    found = hashlib.sha256()
    count = 0
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        for name in sorted(files):
            count += 1
            status = os.stat(os.path.join(folder, name), follow_symlinks=False)
            found.update(f"{folder}/{name} {status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogateescape"))
        if count > _MOST_FILES:
            raise ConfigError(f"install_requirements: {path} has more than {_MOST_FILES:,} files")
    return found.hexdigest()


# --- an environment -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment for some files of requirements, made or not."""

    files: tuple[str, ...]
    lines: tuple[str, ...]
    """Requirements without ours, all files that were included in them."""
    constraints: tuple[str, ...]
    ours: tuple[str, ...]
    """What workers need besides."""
    digest: str

    @classmethod
    def read(cls, files: Sequence[str]) -> Environment:
        """The environment that files of `requirement_files` ask for; raises `ConfigError` for what cannot be read."""
        reading, locked = _Reading(), any(os.path.basename(file) == "uv.lock" for file in files)
        stamps = []
        for file in files:
            name = os.path.basename(file)
            if name == "uv.lock" or (name == "pyproject.toml" and locked):
                stamps.append(f"{name} {_stamp(Path(file))}")
            elif name == "pyproject.toml":
                for line in _dependencies(file):
                    reading.add(line)
            else:
                reading.file(file)
        folder = Path(files[0]).parent
        if (folder / _WHEELS).is_dir():
            stamps.append(_stamp(folder / _WHEELS))
        for number, line in enumerate(reading.lines):
            local = _local_path(line)
            if local.startswith("file:"):
                stamps.append(_stamp(Path(url2pathname(urlsplit(local).path))))
            elif local and (path := folder / local).exists():
                # An address, since installers do not agree on where relative paths begin, nor on blanks in them.
                reading.lines[number] = line.replace(local, path.absolute().as_uri())
                stamps.append(_stamp(path))
        ours = _our_requirements(reading.extras)
        parts = [*reading.lines, "", *reading.constraints, "", *ours, "", *stamps, "", *_platform()]
        digest = hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]
        return cls(tuple(files), tuple(reading.lines), tuple(reading.constraints), tuple(ours), digest)

    @property
    def shown(self) -> str:
        """The files, as errors name them."""
        return " and ".join(self.files)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is required."""
        required = [line for line in self.lines if not line.startswith("-") or line.startswith(("-e", "--editable"))]
        return not required and not self._lock

    @property
    def folder(self) -> Path:
        """Where it is, or will be."""
        return root() / self.digest

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def is_made(self) -> bool:
        """Whether it is complete; one whose Python was removed since is not."""
        return self.python.exists()

    @property
    def _lock(self) -> str:
        return next((file for file in self.files if os.path.basename(file) == "uv.lock"), "")

    def make(
        self,
        *,
        offline: bool = False,
        seconds: float = SECONDS,
        apart: bool = True,
        check: Callable[[], None] = lambda: None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> int:
        """Make it, unless it is there: by one process at a time, whole or not at all.

        Gives a descriptor that keeps it from being removed while it is open. `on_wait` is called before it is made or
        waited for, `check` a few times a second meanwhile: it may raise, or end this process. The installer has a
        process group of its own, which is ended with it, where it is `apart`. Raises `ConfigError` with the end of its
        output.
        """
        folder = root()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_uid != os.getuid():  # who could put programs there
                raise ConfigError(
                    f"install_requirements: {folder} belongs to another user",
                    help="set XDG_CACHE_HOME to a folder of your own",
                )
            lock = os.open(
                folder / f".{self.digest}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise ConfigError(
                f"install_requirements: {error.filename}: {error.strerror}",
                help="set XDG_CACHE_HOME to a folder in which this user can write",
            ) from None
        try:
            self._make(lock, offline, _Pace(time.monotonic() + seconds, check, apart), on_wait)
        except BaseException:
            os.close(lock)
            raise
        os.utime(self.folder)
        return lock

    def _make(self, lock: int, offline: bool, pace: _Pace, on_wait: Callable[[], None]) -> None:
        waited = False
        while True:
            # Who runs in it shares the lock: it is taken for this process alone only to make it, or to remove it.
            if _taken(lock, fcntl.LOCK_SH):
                if self.is_made:
                    return
                if offline:
                    raise self._missing()
                fcntl.flock(lock, fcntl.LOCK_UN)
            if not waited:
                on_wait()
                waited = True
            if _taken(lock, fcntl.LOCK_EX):
                if not self.is_made:
                    self._build(pace)
                fcntl.flock(lock, fcntl.LOCK_SH)
                return
            pace.wait(f"another process makes the environment for {self.shown}")

    def _missing(self) -> ConfigError:
        return BadConfigSource(
            f"install_requirements: the environment for {self.shown} is not made, and offline nothing is installed",
            help="start it once without offline, or make it before: jina hub pull URI --install-requirements",
        )

    def _build(self, pace: _Pace) -> None:
        _remove_leftovers(self.digest)
        log = root() / f"{self.digest}.log"
        place = Path(tempfile.mkdtemp(prefix=f".{self.digest}-", dir=root()))
        try:
            descriptor = os.open(log, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w+b") as said:
                self._fill(place, _Steps(said, str(log), os.path.dirname(self.files[0]), self.shown, pace))
            link = place / "published"
            link.symlink_to(place.name)
            link.replace(self.folder)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise

    def _fill(self, place: Path, steps: _Steps) -> None:
        from jina.hub.images import uv

        program, scratch = uv(), place / "requirements"
        if program is None and importlib.util.find_spec("pip") is None:
            raise ConfigError(
                f"install_requirements: neither uv nor pip is here to install {self.shown}", help="pip install uv"
            )
        python = place / "bin" / "python"
        made = [program, "venv", "--allow-existing", "--no-project"] if program else [sys.executable, "-m", "venv"]
        made += ["--python", sys.executable] if program else ["--without-pip"]
        steps.run([*made, str(place)])
        scratch.mkdir()
        packages = _packages_of(place)
        for found in _closure(self.ours):
            _copy_distribution(found, packages)
        steps.run(self._installer(program, python, scratch, steps))
        _add_ours(packages)
        steps.run([str(python), "-P", "-c", _SMOKE])

    def _installer(self, program: str | None, python: Path, scratch: Path, steps: _Steps) -> list[str]:
        written = {
            "requirements.txt": self.lines,
            "ours.txt": self.ours,
            "constraints.txt": self.constraints,
            "overrides.txt": [f"{name}; sys_platform == 'never'" for name in sorted(_OURS)],
        }
        for name, lines in written.items():
            (scratch / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        arguments = [word for name in ("requirements.txt", "ours.txt") for word in ("-r", str(scratch / name))]
        arguments += ["-c", str(scratch / "constraints.txt")]
        wheels = Path(self.files[0]).parent / _WHEELS
        arguments += ["--find-links", str(wheels)] if wheels.is_dir() else []
        if self._lock:
            arguments += ["-r", self._exported(program, scratch, steps)]
        if program is None:
            words = ["-m", "pip", "--python", str(python), "install", "--no-input", "--disable-pip-version-check"]
            return [sys.executable, *words, *arguments]
        from jina.hub.images import no_index

        words = ["pip", "install", "--no-progress", "--python", str(python), "--overrides"]
        return [program, *words, str(scratch / "overrides.txt"), *no_index(), *arguments]

    def _exported(self, program: str | None, scratch: Path, steps: _Steps) -> str:
        """What uv.lock pins, as a file for an installer."""
        if program is None:
            raise ConfigError(f"install_requirements: {self._lock} needs uv, which is not here", help="pip install uv")
        words = ["export", "--quiet", "--frozen", "--no-emit-project", "--no-dev", "--no-hashes", "--directory"]
        file = str(scratch / "locked.txt")
        steps.run([program, *words, os.path.dirname(self._lock), "--output-file", file])
        return file


def root() -> Path:
    """The folder of all environments of this user."""
    return Path(user_cache()) / "environments"


def _dependencies(file: str) -> list[str]:
    try:
        found = project_dependencies(file)
    except BadConfigSource as error:
        raise error.prefix("install_requirements") from None
    if found is None:
        raise ConfigError(
            f"install_requirements: {file}: dynamic dependencies are known only when the project is built",
            help="list them under [project] dependencies, or in requirements.txt",
        )
    return found


def _platform() -> list[str]:
    """What an environment is for: this Python, this jina where it is, this machine's platform."""
    python = f"{sys.implementation.cache_tag} {sys.version} {os.path.realpath(sys.base_prefix)}"
    return [python, sysconfig.get_platform(), __version__, _own_folder()]


def _own_folder() -> str:
    return os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _our_requirements(extras: set[str]) -> list[str]:
    """What workers of this jina need of others: with extras that are installed here, or that the package asks for."""
    try:
        required = metadata.distribution(DISTRIBUTION).requires or []
    except metadata.PackageNotFoundError:
        raise ConfigError(
            f"install_requirements: the distribution {DISTRIBUTION} is not installed for {sys.executable}, so that it"
            " is not known what a worker needs",
            help="install it by uv or pip rather than putting its folder into PYTHONPATH",
        ) from None
    found = []
    for line in required:
        text, _, marker = line.partition(";")
        extra = _EXTRA.search(marker)
        if extra is None:
            found.append(line)
        elif extra["name"] in extras or (extra["name"] in _EXTRAS and _distribution(text) is not None):
            found.append(text.strip())
    return sorted(set(found))


def _distribution(requirement: str) -> metadata.Distribution | None:
    match = _NAME.match(requirement)
    try:
        return metadata.distribution(match["name"]) if match else None
    except metadata.PackageNotFoundError:
        return None


def _closure(requirements: Iterable[str]) -> list[metadata.Distribution]:
    """What is installed here of requirements, and of theirs."""
    found: dict[str, metadata.Distribution] = {}
    left = list(requirements)
    while left:
        if (one := _distribution(left.pop())) is not None and (name := normal_name(one.metadata["Name"])) not in found:
            found[name] = one
            left += [line for line in one.requires or () if not _EXTRA.search(line)]
    return list(found.values())


def _copy_distribution(found: metadata.Distribution, packages: Path) -> None:
    """Put the files of a distribution, and their bytecode, into a folder: as links of the same files where possible."""
    for file in found.files or ():
        path = str(file)
        source = str(found.locate_file(file))
        if path.startswith("..") or path.endswith(".pyc") or not os.path.isfile(source):
            continue
        pairs = [(source, packages / path)]
        if path.endswith(".py"):
            cached = importlib.util.cache_from_source(source)
            pairs.append((cached, (packages / path).parent / "__pycache__" / os.path.basename(cached)))
        for old, new in pairs:
            if os.path.isfile(old):
                _copy(old, new)


def _copy(old: str, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(old, new)  # installers replace files, they do not write into them
    except FileExistsError:
        return
    except OSError:  # another file system, or not this user's file
        shutil.copy2(old, new)


def _add_ours(packages: Path) -> None:
    """Put this very jina into an environment, whatever the installer has put in its place."""
    own = metadata.distribution(DISTRIBUTION)
    info = packages / f"{DISTRIBUTION}-{own.version}.dist-info"
    for old in (packages / "jina", packages / "jina_cli", *packages.glob("jina-*.dist-info"), packages / "jina.py"):
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    (packages / "jina").symlink_to(_own_folder())
    info.mkdir(exist_ok=True)
    for name in ("METADATA", "entry_points.txt"):
        if (text := own.read_text(name)) is not None:
            (info / name).write_text(text, encoding="utf-8")


def _packages_of(place: Path) -> Path:
    return place / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


# --- locks, steps and leftovers -----------------------------------------------------------------------------------


def _taken(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_leftovers(digest: str) -> None:
    """Remove what killed processes left half made, and environments that have not been used for long.

    The lock of `digest` is this process's.
    """
    for lock_file in root().glob(".*.lock"):
        name = lock_file.name[1 : -len(".lock")]
        with lock_file.open("rb") as lock:
            if name == digest or _taken(lock.fileno(), fcntl.LOCK_EX):
                _remove_unused(name, keep=name == digest)


def _remove_unused(name: str, *, keep: bool) -> None:
    published = root() / name
    with contextlib.suppress(OSError):
        if not keep and published.is_symlink() and time.time() - published.stat().st_mtime > _KEPT:
            published.unlink()
    current = os.readlink(published) if published.is_symlink() else ""
    for place in root().glob(f".{name}-*"):
        if place.name != current:
            shutil.rmtree(place, ignore_errors=True)
    if not published.is_symlink() and not keep:
        (root() / f"{name}.log").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Pace:
    """Until when an environment has to be made, and what is looked at meanwhile."""

    deadline: float
    check: Callable[[], None]
    apart: bool

    def wait(self, what: str) -> None:
        """Wait a moment; raises `ConfigError` saying what for when it is too late."""
        self.check()
        if time.monotonic() > self.deadline:
            raise ConfigError(f"install_requirements: {what}, for too long", help=f"its output is in {root()}")
        time.sleep(_LOOK)


@dataclass(frozen=True, slots=True)
class _Steps:
    """Runs what makes an environment, one after the other."""

    said: IO[bytes]
    log: str
    folder: str
    shown: str
    pace: _Pace

    def run(self, command: Sequence[str]) -> None:
        """Run a program to its end; raises `ConfigError` with the end of its output."""
        environment = {key: value for key, value in os.environ.items() if key not in _NOT_FOR_OTHERS}
        with subprocess.Popen(  # noqa: S603 - uv, pip or Python, with arguments that are no shell's
            command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said,
            process_group=0 if self.pace.apart else -1,
            preexec_fn=None if _libc is None else _die_with_parent,  # noqa: PLW1509 - there are no threads yet
        ) as child:  # fmt: skip
            try:
                status = self._status(child)
            finally:
                self._end(child)
        if status:
            raise ConfigError(
                f"install_requirements: {self.shown} cannot be installed:\n{self._last_lines()}",
                help=f"the whole output is in {self.log}; what a worker of jina needs is installed with it",
            )

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        """End it, with what it has started where that is a group of its own, such as builds of distributions."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.pace.apart:
                os.killpg(child.pid, signal.SIGKILL)
            else:
                child.kill()

    def _status(self, child: subprocess.Popen[bytes]) -> int:
        while True:
            try:
                return child.wait(_LOOK)
            except subprocess.TimeoutExpired:
                self.pace.check()
                if time.monotonic() > self.pace.deadline:
                    raise ConfigError(
                        f"install_requirements: {self.shown} was not installed in time; so far:\n{self._last_lines()}"
                    ) from None

    def _last_lines(self) -> str:
        self.said.flush()
        self.said.seek(max(0, self.said.seek(0, os.SEEK_END) - (1 << 16)))
        return "\n".join(self.said.read().decode(errors="replace").strip().splitlines()[-_LINES:])


_NOT_FOR_OTHERS: Final = frozenset({"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"})
"""Variables that would bring one Python's packages to another."""
_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    assert _libc is not None
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


# --- running in one -----------------------------------------------------------------------------------------------


def become(environment: Environment, lock: int, words: Sequence[str]) -> NoReturn:
    """Run the Python of an environment with these arguments instead of this process, which keeps its id."""
    variables = {key: value for key, value in os.environ.items() if key not in _NOT_FOR_OTHERS}
    programs = str(environment.python.parent)
    variables["PATH"] = os.pathsep.join(filter(None, [programs, variables.get("PATH", "")]))
    variables["VIRTUAL_ENV"] = str(environment.folder)
    os.set_inheritable(lock, True)  # noqa: FBT003 - the standard library's signature; it is in use as long as that runs
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    options = [f"-W{option}" for option in sys.warnoptions]
    python = str(environment.python)
    os.execve(python, [python, "-P", *options, *words], variables)  # noqa: S606 - our own module


_entered = False
"""Whether this process runs in the environment of its package, see `run_again`."""


def enter(files: Sequence[str], words: Sequence[str] | None, *, offline: bool = False) -> None:
    """Become the Python of the environment for `files`, running `jina` with `words` again; nothing if it is that.

    Raises `NotSupportedError` where there are no words: a program cannot be begun again.
    """
    if _entered or not files:
        return
    environment = Environment.read(files)
    if environment.is_empty:
        return
    if words is None:
        raise refusal(files, "this process")
    before = signal.signal(signal.SIGTERM, _exit)  # so that the installer is ended first
    try:
        lock = environment.make(offline=offline, on_wait=partial(_say, environment))
    finally:
        signal.signal(signal.SIGTERM, before)
    state = json.dumps(users_path(sys.path))
    become(environment, lock, ["-c", _AGAIN, state, *words])


def _exit(number: int, frame: Any) -> NoReturn:  # noqa: ARG001 - the signature of handlers
    sys.exit(128 + number)


_AGAIN: Final = "from jina.supervisor.environments import run_again; run_again()"


def _say(environment: Environment) -> None:
    sys.stderr.write(f"installing {environment.shown} into {environment.folder}\n")
    sys.stderr.flush()


def refusal(files: Sequence[str], place: str) -> NotSupportedError:
    """The error for requirements where no process can be started for them."""
    shown = " ".join(f"-r {file}" for file in files)
    return NotSupportedError(
        f"install_requirements: {place} has its environment already, and nothing is installed into that",
        help=f"install them yourself (`pip install {shown}`) and leave install_requirements out; or serve the Executor"
        " in a process of its own: `with Deployment(..., install_requirements=True):`",
    )


def run_again() -> None:
    """Run `jina` with the words after the first, which are the user's entries of `sys.path`."""
    global _entered
    _entered = True
    sys.path += [entry for entry in json.loads(sys.argv[1]) if entry not in sys.path]
    sys.argv = ["jina", *sys.argv[2:]]
    runpy.run_module("jina", run_name="__main__")
