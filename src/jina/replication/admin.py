"""What operates a group: questions to its agents, the groups on this machine, the agent's program and its folders."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import importlib
import os
import platform
import re
import secrets
import socket
import ssl
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from jina.config.types import is_name
from jina.errors import (
    ConfigError,
    InternalError,
    JinaError,
    MissingExtra,
    RuntimeFailToStart,
    Unavailable,
    UsageError,
    ending_of,
    install_command,
)
from jina.replication.agent_client import ADMIN, ERROR, STATUS, Frame, Reader, frame_head
from jina.version import __version__


class Credentials(NamedTuple):
    """Files of a replica's certificate, of its key and of the authorities; without these, those of the system."""

    certfile: str
    keyfile: str
    ca_file: str | None = None


def wrap_tls(sock: socket.socket, host: str, credentials: Credentials) -> ssl.SSLSocket:
    """The connection by TLS 1.3.

    An agent is trusted as it trusts others, see `consensus/tls.go`: by the very same certificate, or by one of the
    authorities that is for the host.
    """
    own = _context(credentials, strict=False).wrap_socket(sock)
    if own.getpeercert(binary_form=True) == _first(credentials.certfile):
        return own
    try:
        address = own.getpeername()[:2]
        timeout = own.gettimeout()
    finally:
        own.close()
    again = socket.create_connection(address, timeout=timeout)
    try:
        return _context(credentials, strict=True).wrap_socket(again, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(
            f"the agent at {host} is not trusted: {error.verify_message}",
            help="give the authority that signed the certificates of the group: ssl_ca_certs, or --ssl-ca-certs",
        ) from None
    finally:
        again.close()  # nothing happens where the safe one has taken it over


def _context(credentials: Credentials, *, strict: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=credentials.ca_file)
        context.load_cert_chain(credentials.certfile, credentials.keyfile)
    except OSError as error:  # of ssl too
        raise ConfigError(
            f"{credentials.certfile}, {credentials.keyfile} or the authorities cannot be read: {error}"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if not strict:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _first(path: str) -> bytes:
    with open(path, encoding="ascii") as file:
        text = file.read()
    begin = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----", begin) + len("-----END CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(text[begin:end])


_LONG = 70.0
"""Seconds that a group may take for a change, such as to bring a new member up to date."""
_NONCE = 32
_WITH_KEY = 0x20
"""In the first byte: a proof follows."""
_LONGEST_SOCKET = 100
"""Bytes of a path that fit into the address of a socket on every system."""
_AGENT = "see that the replica runs (`jina status` on its machine); what the agent logs says more"
_ADDRESS = "give the address at which the other agents reach it, as in `raft_peers`"
_KEY = "give the name and the key file of its group (`raft_key_file`, or --key-file)"


class Peer(NamedTuple):
    """An agent by the address at which other agents reach it; it answers those who have the key of its group."""

    address: str
    group: str
    generation: str = ""
    credentials: Credentials | None = None
    key: str = ""


AgentAddress = str | Peer
"""Where an agent is asked: the path of its socket, or as a peer."""


def ask(agent: AgentAddress, kind: int, body: bytes = b"", seconds: float = 30.0) -> bytes:
    """The answer of the agent at `agent`; raises `Unavailable` where it gives none.

    What it refuses, however often it is asked, is a `UsageError`.
    """
    try:
        frame = _answer(agent, kind, body, seconds)
    except OSError as error:
        raise Unavailable(f"the consensus agent does not answer: {error}", help=_AGENT) from None
    except InternalError as error:
        raise Unavailable(f"it is not a consensus agent: {error.message}", help=_ADDRESS) from None
    if frame is None:
        keyless = isinstance(agent, Peer) and not agent.key and agent.credentials is None
        more = ": does it ask for the key of its group (--key-file)?" if keyless else ""
        raise Unavailable(f"the connection to the consensus agent was lost before it answered{more}", help=_AGENT)
    if frame.kind != ERROR:
        return bytes(frame.body)
    fault = msgspec.json.decode(frame.body)
    kind_of_error = UsageError if fault["code"] == "refused" else Unavailable
    raise kind_of_error(str(fault["text"]))


def _answer(agent: AgentAddress, kind: int, body: bytes, seconds: float) -> Frame | None:
    reader, deadline = Reader(), time.monotonic() + seconds
    # An agent that refuses closes; unread bytes of the question turn that into a reset.
    with _connected(agent, kind, seconds) as sock, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        sock.sendall(frame_head(kind, 1, len(body)) + body)
        while data := sock.recv(1 << 16):
            for frame in reader.feed(data):
                return frame
            sock.settimeout(max(0.01, deadline - time.monotonic()))
    return None


def agent_status(agent: AgentAddress, seconds: float = 5.0) -> dict[str, Any]:
    """What an agent tells of its replica and its group; `{"error": ...}` where it does not answer."""
    try:
        content: dict[str, Any] = msgspec.json.decode(ask(agent, STATUS, seconds=seconds))
        return content
    except JinaError as error:
        return {"error": error.message}


def administer(agent: AgentAddress, do: str, **options: Any) -> bytes:
    """Send an agent an admin command: `snapshot`, `transfer` of the leadership, `add` or `remove` a member."""
    return ask(agent, ADMIN, msgspec.json.encode({"do": do, **options}), seconds=_LONG)


def _connected(agent: AgentAddress, kind: int, seconds: float) -> socket.socket:
    if isinstance(agent, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(seconds)
            with socket_path(agent) as path:
                sock.connect(path)
        except OSError:
            sock.close()
            raise
        return sock
    host, _, port = agent.address.rpartition(":")
    sock = socket.create_connection((host.strip("[]"), int(port)), timeout=min(seconds, 5.0))
    if agent.credentials is not None:
        sock = wrap_tls(sock, host.strip("[]"), agent.credentials)
    sock.settimeout(seconds)
    hello = _greeting(agent, kind)
    if not agent.key:
        sock.sendall(hello)
        return sock
    try:
        _introduce(sock, hello, agent.key.encode())
    except BaseException:
        sock.close()
        raise
    return sock


def _introduce(sock: socket.socket, hello: bytes, key: bytes) -> None:
    """Prove to an agent that we have the key of its group, and check its proof: see `consensus/auth.go`."""
    mine = os.urandom(_NONCE)
    hello = bytes((hello[0] | _WITH_KEY,)) + hello[1:]
    sock.sendall(hello + mine + b"\0")  # no replica, so without an id
    theirs = _read(sock, _NONCE)
    name = _read(sock, _read(sock, 1)[0])

    def proof(side: bytes) -> bytes:
        parts = (b"jina-raft 1 " + side, hello, mine, b"", theirs, name)
        said = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
        return hmac.digest(key, said, "sha256")

    if not hmac.compare_digest(_read(sock, hashlib.sha256().digest_size), proof(b"called")):
        raise Unavailable("the process that answers does not have the key of the group", help=_KEY)
    sock.sendall(proof(b"caller"))


def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise Unavailable("the agent does not accept this name and key of a group", help=_KEY)
        data += more
    return data


@contextlib.contextmanager
def socket_path(path: str) -> Iterator[str]:
    """A name of `path` by which a socket can be made or reached there however long `path` is; it holds in the context.

    Raises `OSError` where the folder does not exist.
    """
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        yield path
        return
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(path)}"
    finally:
        os.close(folder)


def _greeting(peer: Peer, kind: int) -> bytes:
    """What a connection begins with, see `consensus/mux.go`: one for the status may ask for nothing else."""
    text = peer.group
    if kind != STATUS and peer.generation:
        text += f"\0{peer.generation}"
    return (b"S" if kind == STATUS else b"P") + hashlib.sha256(text.encode()).digest()[:16]


def failure_of(agent: str) -> tuple[str, str]:
    """Why an agent does not start, and what to do; empty where it has not told."""
    try:
        with open(f"{agent}.failed", encoding="utf-8", errors="replace") as file:
            result, _, way_out = file.read().partition("\n")
    except OSError:
        return "", ""
    return result, way_out


def look_for_failure(agent: str, name: str) -> None:
    """Raise where an agent has told why it does not start."""
    result, way_out = failure_of(agent)
    if not result:
        return
    raise RuntimeFailToStart(f"the consensus agent of {name} does not start: {result}", help=way_out)


_FOLDER = re.compile(r"rep-(\d+)")
_IDENTITY = "identity.json"
_AGENT_FILE = "agent.json"
KEY_FILE: Final = "key"
"""In the folder of a replica: what its agent proves to others that it has."""
_LEAST_KEY: Final = 32
_LONGEST_KEY: Final = 4096
_PATIENCE = 15.0
_PAUSE = 0.1


class _Identity(msgspec.Struct):
    """What the agent noted of whose folder it is."""

    group: str
    replica: int


class Group(msgspec.Struct):
    """The replicas of one log: where their agents are asked, or which folders they have."""

    name: str
    agents: dict[int, AgentAddress] = msgspec.field(default_factory=dict)
    folders: dict[int, str] = msgspec.field(default_factory=dict)

    def status(self) -> list[dict[str, Any]]:
        """What each agent tells, in the order of the replicas."""
        return [{"replica": number, **agent_status(self.agents[number])} for number in sorted(self.agents)]

    def any_member(self, *, leading: bool | None = None) -> AgentAddress:
        """An agent that serves; one that leads or one that follows where `leading` says so and there is one."""
        statuses = [one for one in self.status() if "error" not in one]
        if not statuses:
            raise UsageError(f"no agent of {self.name} answers: it does not run")
        wanted = [
            one for one in statuses if one["serving"] and (leading is None or (one["role"] == "Leader") is leading)
        ]
        return self.agents[(wanted or statuses)[0]["replica"]]

    def change(self, do: str, **options: Any) -> None:
        """Send the leader a command; retried for a while as long as there is no leader or it changes."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                administer(self.any_member(leading=True), do, **options)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)
            else:
                return


def groups_of_workspace(workspace: str, name: str | None = None) -> list[Group]:
    """The groups whose folders are in a workspace, with the agents that run on them.

    `name` is that of a Deployment, which has a group for each shard, or of one group.
    """
    groups: dict[str, Group] = {}
    root = Path(os.path.abspath(os.path.expanduser(workspace))) / "raft"
    for path in _folders(root):
        known = _identity(path)
        if name not in {None, known.group, known.group.partition("/")[0]}:
            continue
        group = groups.setdefault(known.group, Group(known.group))
        group.folders[known.replica] = str(path)
        if (path / _AGENT_FILE).is_file():
            group.agents[known.replica] = msgspec.json.decode((path / _AGENT_FILE).read_bytes())["socket"]
    return list(groups.values())


def _identity(folder: Path) -> _Identity:
    try:
        known = msgspec.json.decode((folder / _IDENTITY).read_bytes(), type=_Identity)
        check_name(known.group)
        return known
    except (OSError, msgspec.MsgspecError, UsageError) as error:
        raise UsageError(f"{folder / _IDENTITY} cannot be read: {error}") from None


def group_of_peer(address: str, name: str, credentials: Credentials | None = None, key: str = "") -> Group:
    """The group that the agent at an address belongs to, with all the members that it knows."""
    status = agent_status(Peer(address, name, credentials=credentials, key=key))
    if "error" in status:
        raise UsageError(f"no agent of a group {name!r} answers at {address}: {status['error']}")
    peers = {
        int(number): Peer(where, name, status["generation"], credentials, key)
        for number, where in status["peers"].items()
    }
    return Group(name, {**peers, status["replica"]: Peer(address, name, status["generation"], credentials, key)})


def folder_of(workspace: str, group: str, replica: int) -> str:
    """Where a replica of a group has its log and its snapshots."""
    root = os.path.abspath(os.path.expanduser(workspace))
    check_name(group)
    return os.path.join(root, "raft", group, f"rep-{replica}")


def folders_in(root: str) -> dict[int, str]:
    """By replica: the folders in that of a group that an agent has worked in."""
    found = (path for path in Path(root).glob("rep-*") if (path / _IDENTITY).is_file())
    return {int(match[1]): str(path) for path in found if (match := _FOLDER.fullmatch(path.name))}


def check_name(group: str) -> None:
    """Raise `UsageError` unless a text is the name of a group: that of a Deployment, or of a shard of one.

    It becomes part of a path, and may come from a file of unknown origin.
    """
    name, slash, shard = group.partition("/")
    if not is_name(name) or (slash and not (shard.isascii() and shard.isdecimal())):
        raise UsageError(f"{group!r} is not the name of a group: a Deployment's name, or NAME/SHARD")


def read_key(path: str) -> str:
    """The key of a group that a file holds; raises `UsageError` where there is none."""
    try:
        with open(os.path.expanduser(path), encoding="ascii") as file:
            key = file.read(_LONGEST_KEY + 1).strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"the key of the group cannot be read from {path}: {error}") from None
    if not _LEAST_KEY <= len(key) <= _LONGEST_KEY or not key.isprintable():
        raise UsageError(
            f"{path}: the key of a group must be one line of {_LEAST_KEY} to {_LONGEST_KEY} characters",
            help="openssl rand -hex 32 writes one",
        )
    return key


def key_in(folder: str) -> str:
    """The key that a replica keeps in its folder; empty where it has none."""
    path = os.path.join(folder, KEY_FILE)
    return read_key(path) if os.path.lexists(path) else ""


def shared_key(folders: Iterable[str]) -> str:
    """The key of a group whose replicas, which are started together, have these folders; made where none has one.

    It is in each of the folders then, for this user alone. Raises `UsageError` where two have different ones.
    """
    known = {folder: key_in(folder) for folder in folders}
    keys: dict[str, str] = {}
    for folder, key in known.items():
        if key:
            keys.setdefault(key, folder)
    if len(keys) > 1:
        first, second, *_ = (os.path.join(folder, KEY_FILE) for folder in keys.values())
        raise UsageError(
            f"{first} and {second} are keys of different groups",
            help="if these are replicas of one group, delete the files: all get a new one",
        )
    key = next(iter(keys), "") or secrets.token_hex(32)
    for folder, own in known.items():
        if not own:
            keep_key(folder, key)
    return key


def keep_key(folder: str, key: str) -> None:
    """Write it whole or not at all, readable for this user from the beginning on."""
    descriptor, path = tempfile.mkstemp(dir=folder, prefix=f"{KEY_FILE}-")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(path, os.path.join(folder, KEY_FILE))
    except BaseException:
        os.unlink(path)
        raise


def one_group(groups: Iterable[Group], where: str, instead: Callable[[], str]) -> Group:
    """The only group; raises `UsageError` where there is none, with what may be meant `instead`, or several."""
    found = sorted(groups, key=lambda group: group.name)
    if not found:
        raise UsageError(f"there is no stateful Deployment {where}", help=instead())
    if len(found) > 1:
        names = ", ".join(group.name for group in found)
        raise UsageError(f"there are several stateful Deployments {where}: {names}", help="name one of them")
    return found[0]


def _folders(root: Path) -> Iterator[Path]:
    for pattern in ("*/rep-*", "*/*/rep-*"):  # of a Deployment, of the shards of one
        for path in sorted(root.glob(pattern)):
            if _FOLDER.fullmatch(path.name) and (path / _IDENTITY).is_file():
                yield path


_AGENT_TIMEOUT = 30.0
"""Seconds that the program gets to say its version."""
_BY_HAND = "dev"
"""The version of a program that was built without `consensus/build.py`."""
_AGAIN = (
    f"pip install --force-reinstall --no-deps --find-links dist rejina-raft=={__version__}"
    " (dist: the folder that `make wheels` fills); in a checkout make agent"
)


def agent_path() -> str:
    """The program; raises `MissingExtra` where it is not installed."""
    try:
        return str(importlib.import_module("jina_raft").PATH)
    except ImportError:
        raise MissingExtra(
            "a stateful Deployment needs the consensus agent, which is not installed",
            help=f"{install_command('stateful')} (dist: the folder that `make wheels` fills); in a checkout make agent",
        ) from None


def checked_agent() -> str:
    """The program, once it has told its version; raises `RuntimeFailToStart` where it cannot run, or is of another."""
    program = agent_path()
    name = f"the consensus agent {program}"
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_AGENT_TIMEOUT, check=False
        )
    except OSError as error:
        why, way_out = cannot_run(program, error)
        raise RuntimeFailToStart(f"the consensus agent {why}", help=way_out) from None
    except subprocess.TimeoutExpired:
        raise RuntimeFailToStart(f"{name} does not say its version within {_AGENT_TIMEOUT:g} s", help=_AGAIN) from None
    if done.returncode != 0:
        said = cause_of_crash(done.stderr.decode(errors="replace").splitlines())
        raise RuntimeFailToStart(
            f"{name} {ending_of(done.returncode)}" + (f": {said}" if said else ""),
            help=f"see what `{program} --version` says, or {_AGAIN}",
        )
    version = done.stdout.decode(errors="replace").strip()
    if version not in {__version__, _BY_HAND}:
        raise RuntimeFailToStart(f"{name} is of version {version}, jina is of {__version__}", help=_AGAIN)
    return program


def cannot_run(program: str, error: OSError) -> tuple[str, str]:
    """Why the system does not start the program, with its path, and what to do about it."""
    if isinstance(error, PermissionError):
        return _not_permitted(program)
    if isinstance(error, FileNotFoundError):
        if os.path.exists(program):
            return f"{program} needs an interpreter or a loader that is not on this machine", _AGAIN
        return f"{program} is missing", _AGAIN
    if error.errno == errno.ENOEXEC:
        return f"{program} is not a program for this machine ({platform.system()} {platform.machine()})", _AGAIN
    return f"{program} cannot be started: {error.strerror}", ""


def _not_permitted(program: str) -> tuple[str, str]:
    try:
        mode = stat.S_IMODE(os.stat(program).st_mode)
        noexec = os.statvfs(program).f_flag & getattr(os, "ST_NOEXEC", 0)
    except OSError as error:
        return f"{program} cannot be reached: {error.strerror}", "give this user the right to enter its folder"
    if noexec:
        way_out = "mount it with exec, or install jina and the agent into an environment on another file system"
        return f"{program} is on a file system that is mounted noexec", way_out
    if not mode & 0o111:
        return f"{program} is not executable (its mode is {mode:04o})", f"chmod +x {program}"
    return f"{program} may not be executed by this user (its mode is {mode:04o})", f"chmod a+rx {program}"


def cause_of_crash(lines: Sequence[str]) -> str:
    """The line that names the cause among the last that the program said: a Go program that dies writes many."""
    return next((line for line in lines if line.startswith(("panic:", "fatal error:"))), lines[-1] if lines else "")


IN_USE: Final = "another agent runs here"
"""In what the program says of a folder that is in use."""


class Disk(msgspec.Struct):
    """What the folder of a replica holds: how far its log goes, and which replicas it lists as members."""

    id: str
    replica: int
    group: str
    generation: str
    term: int
    last: int
    last_term: int
    snapshot: int
    members: dict[str, str]
    unreadable: dict[int, str] = {}
    """Entries of the log that no worker can read, and why: `recover` skips them."""
    aside: str = ""
    """Where the previous content was moved to."""


def inspect_folder(folder: str) -> Disk:
    """Read a folder; raises `UsageError` where it is not a folder of a replica, is damaged, or its agent runs."""
    return _do("inspect", dir=folder)


def members_of(folders: Iterable[str]) -> set[int]:
    """The numbers of the replicas that vote, by the newest of the folders of a group; none where nothing tells."""
    disks: list[Disk] = []
    for folder in folders:
        with contextlib.suppress(UsageError):  # its agent will tell what is wrong with it
            disks.append(inspect_folder(folder))
    newest = max(disks, key=lambda disk: (disk.last_term, disk.last), default=None)
    found = {} if newest is None else newest.members
    return {int(member.partition("-")[0]) for member, suffrage in found.items() if suffrage == "Voter"}


def restore_folder(
    folder: str, *, group: str, replica: int, replicas: list[int], generation: str, state: str, term: int
) -> Disk:
    """Make the folder of one replica of a group that begins with a snapshot; what was there is renamed."""
    return _do(
        "restore",
        dir=folder,
        group=group,
        replica=replica,
        replicas=replicas,
        generation=generation,
        state=state,
        term=term,
    )


def recover_folder(folder: str, generation: str) -> Disk:
    """Make the replica in a folder the only member of its group, with all that its log holds."""
    return _do("recover", dir=folder, generation=generation)


def _do(what: str, **options: Any) -> Disk:
    done = subprocess.run(  # noqa: S603 - our own program
        [checked_agent(), "offline"],
        input=msgspec.json.encode({"do": what, **options}),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        cause = cause_of_crash(done.stderr.decode(errors="replace").strip().splitlines())
        raise UsageError(cause.removeprefix("jina-raft: ") or f"the agent's program {ending_of(done.returncode)}")
    return msgspec.json.decode(done.stdout, type=Disk)
