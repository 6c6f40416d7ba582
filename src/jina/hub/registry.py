"""A registry that speaks the OCI Distribution protocol (https://github.com/opencontainers/distribution-spec, 1.1).

Every transfer survives a registry that goes away for a while: uploads go on where the registry says they are,
downloads where they broke off. What a registry answers is read within bounds and checked by its digest.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import random
import re
import signal
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import urllib3
from urllib3.exceptions import HTTPError, SSLError
from urllib3.response import BaseHTTPResponse

from jina.config.paths import user_cache
from jina.errors import BadServer, ConfigError, PermissionDenied, RemoteError, Unauthenticated, Unavailable, quoted
from jina.hub.credentials import Credentials, credentials_for
from jina.hub.oci import (
    IMAGE_INDEX,
    MANIFEST_BYTES,
    MANIFESTS,
    Checked,
    Damaged,
    Descriptor,
    Index,
    Manifest,
    NotFound,
    Source,
    check_digest,
    check_repository,
    check_tag,
    digest_of,
    is_repository,
    is_tag,
    parse_manifest,
    parts,
    sweep,
    whole,
)

UPLOAD: Final = 8 << 20
"""Bytes of one piece of an upload: what is sent again where a connection breaks."""
PATIENCE: Final = 60.0
"""Seconds for which a registry that does not answer, or answers that it cannot now, is asked again."""
_UPLOAD_SECONDS: Final = 7 * 86400.0
"""For so long an upload that was broken off is gone on with: as long as docker-registry keeps one."""
_LONGEST_WAIT: Final = 5.0
_LONGEST_ADVICE: Final = 30.0
"""The longest Retry-After that is heeded."""
_PAGES: Final = 200
"""Pages of a list of tags or repositories that are read."""
_REDIRECTS: Final = 5
_RESTARTS: Final = 3
_UNREAD: Final = 64 << 10
"""Bytes of an answer that nobody wants to see which are read to keep the connection."""
_CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_LOOPBACK: Final = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?")
_ALIASES: Final = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}


@dataclass(frozen=True, slots=True)
class Access:
    """How registries are reached, beside what the environment says."""

    insecure: frozenset[str] = frozenset()
    """Hosts that are spoken to without TLS."""
    ca_file: str = ""
    """Certificates of authorities that are trusted besides."""
    patience: float = PATIENCE

    @classmethod
    def from_environment(cls, *, ca_file: str = "", insecure: Iterable[str] = ()) -> Access:
        """What `JINA_HUB_CA_FILE` and `JINA_HUB_INSECURE` say, and what is given beside them."""
        hosts = os.environ.get("JINA_HUB_INSECURE", "").split(",")
        named = frozenset(host.strip() for host in (*hosts, *insecure) if host.strip())
        return cls(named, ca_file or os.environ.get("JINA_HUB_CA_FILE", ""))


class _Waits:
    """How long to go on after failures: growing pauses until the patience ends."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self.progressed()

    def progressed(self) -> None:
        """The registry answered: the patience begins again."""
        self._until = time.monotonic() + self._patience
        self._pause = 0.1

    def after(self, error: Exception, advice: float | None = None) -> None:
        """Wait before the next try; raises the error where there was none in time."""
        pause = self._pause * random.uniform(0.5, 1.0) if advice is None else min(advice, _LONGEST_ADVICE)  # noqa: S311 - spreads retries
        if time.monotonic() + pause > self._until:
            raise error
        time.sleep(pause)
        self._pause = min(self._pause * 2, _LONGEST_WAIT)


class _Begun:
    """Where an upload of one blob stands, in the user's cache: another process may go on with it.

    A file each, for this user alone, since what a registry names may be all that is needed to write there.
    """

    def __init__(self, host: str, repository: str, blob: Descriptor) -> None:
        name = hashlib.sha256(f"{host}/{repository}@{blob.digest}".encode()).hexdigest()
        self._folder = Path(user_cache()) / "hub" / "uploads"
        self._file = self._folder / f"{name}.json"

    def place(self) -> str:
        """What the registry named last; empty where nothing was begun, or a process that runs does it."""
        try:
            found = json.loads(self._file.read_bytes())
            place, process = str(found["place"]), int(found["process"])
        except (OSError, ValueError, LookupError, TypeError):
            return ""
        return "" if process != os.getpid() and _runs(process) else place

    def keep(self, place: str) -> None:
        """Remember it; a cache that cannot be written makes the next upload begin again."""
        with contextlib.suppress(OSError):
            if not self._file.exists():
                self._sweep()
            with whole(self._file, mode=0o600) as file:
                file.write(json.dumps({"place": place, "process": os.getpid()}).encode())

    def drop(self) -> None:
        """It is over."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Registries forget uploads, too."""
        sweep(self._folder)
        for file in self._folder.glob("*.json"):
            if file.stat().st_mtime < time.time() - _UPLOAD_SECONDS:
                file.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _before_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back until the end of this; a second one is not held back."""
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            signal.default_int_handler(number, frame)
        asked.append(number)

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if asked:
            raise KeyboardInterrupt


class _OutOfPlace(ConfigError):
    """A piece of an upload does not begin where the registry is."""


class _Restart(Exception):
    """The registry lost an upload, which has to begin again; the cause says how it answered."""


class RegistryStore:
    """A registry at a host; see `jina.hub.oci.Store`. May be used by one thread at a time."""

    def __init__(
        self,
        host: str,
        access: Access | None = None,
        credentials: Callable[[str], Credentials | None] = credentials_for,
    ) -> None:
        self.host = host
        self._access = access or Access.from_environment()
        self._credentials = credentials
        self._loopback = _LOOPBACK.fullmatch(host) is not None
        scheme = "http" if host in self._access.insecure else "https"
        self._base = f"{scheme}://{_ALIASES.get(host, host)}"
        self._found_scheme = scheme == "http" or not self._loopback
        self._tokens: dict[str, str] = {}
        """What to send as Authorization, by scope."""
        self._pool = _pool(self._base, self._access.ca_file)

    # --- Store ----------------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Ask whether a registry is there and takes the credentials; raises what is wrong."""
        _leave(self._ask("GET", "/v2/", ""))

    def manifest(self, repository: str, wanted: str) -> tuple[Descriptor, bytes]:
        """See `Store`."""
        path = f"/v2/{check_repository(repository)}/manifests/{_wanted(wanted)}"
        try:
            answer, data = self._read(path, _pull(repository), {"Accept": ", ".join(MANIFESTS)})
        except NotFound:
            raise NotFound(f"{self.host}/{repository}: no {wanted}") from None
        digest = digest_of(data)
        said = wanted if wanted.startswith("sha256:") else answer.headers.get("Docker-Content-Digest", digest)
        if said.startswith("sha256:") and digest != said:
            raise Damaged(
                f"{self.host}/{repository}: the manifest {wanted} has the digest {digest}, not {quoted(said)}"
            )
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        parsed = parse_manifest(data, kind)
        return Descriptor(parsed.media_type, digest, len(data), artifact_type=parsed.artifact_type), data

    def has_blob(self, repository: str, digest: str) -> bool:
        """See `Store`."""
        return self._has(f"/v2/{check_repository(repository)}/blobs/{check_digest(digest)}", repository)

    def _has(self, path: str, repository: str) -> bool:
        try:
            self._ask("HEAD", path, _pull(repository), {"Accept": ", ".join(MANIFESTS)}).release_conn()
        except NotFound:
            return False
        return True

    @contextlib.contextmanager
    def read_blob(self, repository: str, blob: Descriptor) -> Iterator[Any]:
        """See `Store`; goes on where a connection broke."""
        source = _Download(self, f"/v2/{check_repository(repository)}/blobs/{blob.digest}", _pull(repository), blob)
        try:
            yield Checked(source, blob)
        finally:
            source.close()

    def write_blob(self, repository: str, blob: Descriptor, source: Source) -> None:
        """See `Store`; goes on where the registry says that it is, or begins again where it lost the upload."""
        if self.has_blob(repository, blob.digest):
            return None
        lost = f"{self.host}/{repository}: the registry lost the upload of {blob.digest}"
        content, begun = Checked(source, blob), _Begun(self.host, repository, blob)
        for number in range(1, _RESTARTS + 1):
            try:
                return self._upload(repository, blob, content, begun)
            except _Restart as restart:
                begun.drop()
                if self.has_blob(repository, blob.digest):
                    return None
                if number == _RESTARTS:
                    raise Unavailable(f"{lost} {number} times", help=str(restart.__cause__ or "")) from None
            try:
                content.seek(0)
            except io.UnsupportedOperation:
                raise Unavailable(f"{lost}, and what it is read from cannot be read a second time") from None
        return None

    def write_manifest(self, repository: str, data: bytes, tags: Iterable[str] = ()) -> Descriptor:
        """See `Store`; where the registry has no list of referrers, the index that takes its place is kept."""
        parsed = parse_manifest(data)
        named = [check_tag(tag) for tag in tags]
        missing = [one.digest for one in parts(parsed) if not self._has_part(repository, parsed, one.digest)]
        if missing:
            raise NotFound(f"{self.host}/{repository}: a manifest needs blobs that are not there: {', '.join(missing)}")
        entry = Descriptor(parsed.media_type, digest_of(data), len(data), artifact_type=parsed.artifact_type)
        listed = False
        for name in named or [entry.digest]:
            path = f"/v2/{check_repository(repository)}/manifests/{name}"
            answer = self._ask("PUT", path, _push(repository), {"Content-Type": parsed.media_type}, data)
            _leave(answer)
            listed = "OCI-Subject" in answer.headers
        if isinstance(parsed, Manifest) and parsed.subject is not None and not listed:
            self._list_referrer(repository, parsed, entry)
        return entry

    def _has_part(self, repository: str, parsed: Manifest | Index, digest: str) -> bool:
        kind = "manifests" if isinstance(parsed, Index) else "blobs"
        return self._has(f"/v2/{check_repository(repository)}/{kind}/{check_digest(digest)}", repository)

    def tags(self, repository: str) -> list[str]:
        """See `Store`."""
        path = f"/v2/{check_repository(repository)}/tags/list?n=1000"
        return sorted({tag for tag in self._pages(path, _pull(repository), "tags") if is_tag(tag)})

    def repositories(self) -> list[str]:
        """The names of all repositories, of registries that tell: the specification does not ask it of them."""
        found = self._pages("/v2/_catalog?n=1000", "registry:catalog:*", "repositories")
        return sorted({name for name in found if is_repository(name)})

    def referrers(self, repository: str, digest: str, artifact_type: str = "") -> list[Descriptor]:
        """See `Store`."""
        try:
            path = f"/v2/{check_repository(repository)}/referrers/{check_digest(digest)}"
            index = parse_manifest(self._read(path, _pull(repository))[1], IMAGE_INDEX)
        except NotFound:
            index = self._listed_referrers(repository, digest)
        found = index.manifests if isinstance(index, Index) else ()
        return [one for one in found if not artifact_type or one.artifact_type == artifact_type]

    def _listed_referrers(self, repository: str, digest: str) -> Index:
        try:
            found = parse_manifest(self.manifest(repository, digest.replace(":", "-"))[1])
        except NotFound:
            return Index(())
        return found if isinstance(found, Index) else Index(())

    def _list_referrer(self, repository: str, parsed: Manifest, entry: Descriptor) -> None:
        """Keep the index under the tag `sha256-...` that tells referrers where the registry itself does not."""
        assert parsed.subject is not None
        before = self._listed_referrers(repository, parsed.subject.digest)
        own = Descriptor(entry.media_type, entry.digest, entry.size, parsed.annotations, parsed.kind)
        entries = (*(one for one in before.manifests if one.digest != own.digest), own)
        tag = parsed.subject.digest.replace(":", "-")
        _leave(
            self._ask(
                "PUT", f"/v2/{repository}/manifests/{tag}", _push(repository), {"Content-Type": IMAGE_INDEX},
                Index(entries).to_bytes(),
            )
        )  # fmt: skip

    def _pages(self, path: str, scope: str, key: str) -> Iterator[Any]:
        for _ in range(_PAGES):
            answer, data = self._read(path, scope)
            listed = _json(data).get(key) or []
            if not isinstance(listed, list):
                raise BadServer(f"the registry's answer has no list of {key}")
            yield from listed
            link = re.match(r'\s*<([^>]+)>\s*;\s*rel="?next"?', answer.headers.get("Link", ""))
            if link is None:
                return
            path = self._next(path, link[1])

    def _read(self, path: str, scope: str, headers: Mapping[str, str] | None = None) -> tuple[BaseHTTPResponse, bytes]:
        """The answer to a GET with all of its text, asked for again where it broke off."""
        waits = _Waits(self._access.patience)
        while True:
            answer = self._ask("GET", path, scope, headers)
            try:
                return answer, _bounded(answer)
            except (HTTPError, OSError) as error:
                waits.after(self.explained(error))

    # --- uploads --------------------------------------------------------------------------------------------------

    def _upload(self, repository: str, blob: Descriptor, source: Checked, begun: _Begun) -> None:
        offset, place = self._going_on(repository, blob, begun)
        if not place:
            path = f"/v2/{check_repository(repository)}/blobs/uploads/"
            answer = self._ask("POST", path, _push(repository), body=b"")
            _leave(answer)
            place = self._location(answer)
        try:
            left = offset
            while left and (data := source.read(min(left, UPLOAD))):  # it is checked, and was sent before
                left -= len(data)
            while piece := _exactly(source, UPLOAD):
                place = self._append(repository, place, offset, piece, begun)
                offset += len(piece)
        except Damaged:
            begun.drop()
            with contextlib.suppress(RemoteError, ConfigError, HTTPError):
                _leave(self._once("DELETE", place, _push(repository)))
            raise
        self._finish(repository, place, blob)
        begun.drop()

    def _going_on(self, repository: str, blob: Descriptor, begun: _Begun) -> tuple[int, str]:
        """How many bytes the registry has of an upload that was broken off, and the place to go on; else neither."""
        if not (place := begun.place()):
            return 0, ""
        try:
            offset, place = self._stands_at(repository, place, _Waits(0))
        except (_Restart, RemoteError):
            begun.drop()
            return 0, ""
        return (offset, place) if 0 < offset <= blob.size else (0, "")

    def _append(self, repository: str, place: str, offset: int, piece: bytes, begun: _Begun) -> str:
        """Send a piece that begins at `offset`, and give the place for the next one.

        Ctrl-C waits for the end of a piece: of one that is broken off, a registry may have any part, and then lose all.
        """
        waits, begin = _Waits(self._access.patience), offset
        while True:
            rest = piece[begin - offset :]
            headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{begin}-{begin + len(rest) - 1}"}
            try:
                with _before_interrupt():
                    answer = self._once("PATCH", place, _push(repository), headers, rest)
                    _leave(answer)
                    place = self._location(answer)
                    begun.keep(place)
            except (HTTPError, OSError, NotFound, _OutOfPlace) as error:  # it is asked below what it has
                waits.after(self.explained(error), getattr(error, "retry_after", None) or None)
            else:
                return place
            begin, place = self._stands_at(repository, place, waits)
            if begin == offset + len(piece):
                return place
            if not offset <= begin < offset + len(piece):
                raise _Restart

    def _stands_at(self, repository: str, place: str, waits: _Waits) -> tuple[int, str]:
        """How many bytes of an upload the registry has, and the place to go on."""
        while True:
            try:
                answer = self._once("GET", place, _push(repository))
                _leave(answer)
            except ConfigError as error:
                raise _Restart from error
            except (HTTPError, OSError) as error:
                waits.after(self.explained(error))
                continue
            last = re.fullmatch(r"(?:bytes=)?0-(\d{1,18})", answer.headers.get("Range", ""))
            # Of an upload without a byte some registries say 0-0, as of one with a single byte, which we never send.
            return int(last[1]) + 1 if last and int(last[1]) else 0, self._location(answer)

    def _finish(self, repository: str, place: str, blob: Descriptor) -> None:
        waits = _Waits(self._access.patience)
        address = f"{place}{'&' if '?' in place else '?'}digest={urllib.parse.quote(blob.digest)}"
        while True:
            try:
                _leave(self._once("PUT", address, _push(repository), {"Content-Type": "application/octet-stream"}, b""))
            except (NotFound, _OutOfPlace) as error:
                raise _Restart from error
            except (HTTPError, OSError) as error:
                waits.after(self.explained(error))
                if self.has_blob(repository, blob.digest):
                    return
            else:
                return

    def _location(self, answer: BaseHTTPResponse) -> str:
        location = answer.headers.get("Location", "")
        if not location:
            raise BadServer(f"{self.host}: the registry names no place for an upload")
        return self._next(f"{self._base}/", location)

    def _next(self, before: str, place: str) -> str:
        """The address that the registry names after another one; raises where it has less protection, or is none."""
        shown = quoted(place.partition("?")[0])
        try:
            address = urllib.parse.urljoin(self._absolute(before), place)
            parts_of = urllib.parse.urlsplit(address)
            good = bool(parts_of.hostname) and (parts_of.port is None or parts_of.port > 0)
        except ValueError:
            raise BadServer(f"{self.host}: the registry sends us to {shown}") from None
        if not good or parts_of.scheme not in {"http", "https"}:
            raise BadServer(f"{self.host}: the registry sends us to {shown}")
        if parts_of.scheme != "https" and self._base.startswith("https:"):
            raise BadServer(
                f"{self.host}: the registry sends us to {shown}, which has no TLS",
                help="a proxy before it that speaks TLS has to say so: X-Forwarded-Proto",
            )
        return address

    # --- requests -------------------------------------------------------------------------------------------------

    def _ask(
        self, method: str, path: str, scope: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> BaseHTTPResponse:
        """The answer, asked for again while the registry cannot give it; raises for all but success."""
        waits = _Waits(self._access.patience)
        while True:
            try:
                return self._once(method, path, scope, headers, body)
            except Unavailable as error:
                waits.after(error, error.retry_after or None)
            except (HTTPError, OSError) as error:
                if _is_certificate(error):
                    raise self.explained(error) from error
                waits.after(self.explained(error))

    def _once(
        self, method: str, place: str, scope: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> BaseHTTPResponse:
        """One request, with a second where the registry asks for credentials, or is plain HTTP on this machine."""
        answer = self._redirected(method, self._absolute(place), scope, dict(headers or {}), body)
        if answer.status == 401:
            challenge = answer.headers.get("WWW-Authenticate", "")
            _leave(answer)
            self._tokens[scope] = self._authorization(challenge, scope)
            answer = self._redirected(method, self._absolute(place), scope, dict(headers or {}), body)
        if 200 <= answer.status < 300:
            return answer
        raise self._refused(method, place, answer)

    def _absolute(self, place: str) -> str:
        return place if "://" in place else f"{self._base}{place}"

    def _redirected(
        self, method: str, url: str, scope: str, headers: dict[str, str], body: bytes | None
    ) -> BaseHTTPResponse:
        for _ in range(_REDIRECTS):
            own = urllib.parse.urlsplit(url).netloc == urllib.parse.urlsplit(self._base).netloc
            token = self._tokens.get(scope) if own else None  # another host has no business with our credentials
            answer = self._sent(method, url, {**headers, **({"Authorization": token} if token else {})}, body)
            target = answer.headers.get("Location") if answer.status in {301, 302, 303, 307, 308} else None
            if target is None:
                return answer
            _leave(answer)
            url = self._next(url, target)
        raise BadServer(f"{self.host}: the registry sends us on more than {_REDIRECTS} times")

    def _sent(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> BaseHTTPResponse:
        try:
            answer = self._pool.request(
                method, url, headers={"User-Agent": "jina-hub", **headers}, body=body, redirect=False, retries=False,
                preload_content=False, decode_content=False,
            )  # fmt: skip
        except SSLError as error:
            if self._found_scheme or ("WRONG_VERSION_NUMBER" not in str(error) and "record layer" not in str(error)):
                raise
            # A registry of this machine may speak plain HTTP, as for Docker.
            self._base = self._base.replace("https:", "http:", 1)
            self._found_scheme = True
            return self._sent(method, url.replace("https:", "http:", 1), headers, body)
        self._found_scheme = True
        return answer

    def _authorization(self, challenge: str, scope: str) -> str:
        """What to send as Authorization, for a challenge of the registry (RFC 9110, 11.6.1)."""
        kind, _, rest = challenge.partition(" ")
        found = self._credentials(self.host)
        if kind.lower() == "bearer":
            return f"Bearer {self._token(dict(_CHALLENGE.findall(rest)), scope, found)}"
        if kind.lower() != "basic":
            raise Unauthenticated(f"{self.host}: the registry asks for {quoted(kind)}, which is not supported")
        if found is None or self._tokens.get(scope):
            raise self._unauthenticated(had=found is not None)
        return found.basic

    def _unauthenticated(self, had: bool) -> Unauthenticated:
        what = "does not take the credentials" if had else "asks for credentials"
        return Unauthenticated(f"{self.host}: the registry {what}", help=f"jina hub login {self.host}")

    def _token(self, challenge: Mapping[str, str], scope: str, found: Credentials | None) -> str:
        realm = challenge.get("realm", "")
        parts_of = urllib.parse.urlsplit(realm)
        if parts_of.scheme != "https" and not (parts_of.scheme == "http" and self._base.startswith("http:")):
            raise BadServer(f"{self.host}: the registry names {quoted(realm)} for tokens, which has no TLS")
        fields = {"service": challenge.get("service", ""), "scope": challenge.get("scope") or scope}
        query = {name: text for name, text in fields.items() if text}
        if found is not None and found.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": found.identity_token, "client_id": "jina", **query}
            body, kind = urllib.parse.urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
            answer = self._sent("POST", realm, kind, body)
        else:
            headers = {} if found is None else {"Authorization": found.basic}
            mark = "&" if "?" in realm else "?"
            answer = self._sent("GET", f"{realm}{mark}{urllib.parse.urlencode(query)}", headers, None)
        if answer.status in {401, 403}:
            _leave(answer)
            raise self._unauthenticated(had=found is not None)
        if answer.status != 200:
            raise self._refused("GET", realm, answer)
        value = _json(_bounded(answer))
        token = value.get("token") or value.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise BadServer(f"{self.host}: {quoted(realm)} gave no token")
        return token

    def _refused(self, method: str, place: str, answer: BaseHTTPResponse) -> Exception:
        path = urllib.parse.urlsplit(place).path
        where = f"{self.host}: {method} {path if path.isprintable() else quoted(path)}"
        text = f"{where}: {answer.status}{_reason(answer)}"
        if answer.status == 401:
            had = self._credentials(self.host) is not None
            if had and "insufficient_scope" in answer.headers.get("WWW-Authenticate", ""):
                return PermissionDenied(f"{where}: the user may not do this", help=f"jina hub login {self.host}")
            return self._unauthenticated(had)
        if answer.status == 403:
            return PermissionDenied(text, help=f"jina hub login {self.host}")
        if answer.status in {404, 410}:
            return NotFound(text)
        if answer.status in _AGAIN:
            error = Unavailable(text)
            advice = answer.headers.get("Retry-After", "")
            error.retry_after = float(advice) if advice.isdecimal() else 0.0
            return error
        if answer.status == 416:
            return _OutOfPlace(text)
        return ConfigError(text) if answer.status < 500 else BadServer(text)

    def explained(self, error: Exception) -> Exception:
        """An error of a connection as one of ours; others as they are."""
        if not isinstance(error, HTTPError | OSError) or isinstance(error, RemoteError | ConfigError):
            return error
        if _is_certificate(error):
            return Unavailable.unreached(
                f"{self.host}: the registry's certificate is not trusted: {_last(error)}",
                help="name the authority's certificate: --ca-file FILE, or JINA_HUB_CA_FILE",
            )
        return Unavailable.unreached(
            f"{self.host}: the registry cannot be reached: {_last(error)}",
            help="see whether it runs and the name is right",
        )

    def reading(self, path: str, scope: str, start: int) -> BaseHTTPResponse:
        """The answer to a GET from byte `start` on."""
        answer = self._once("GET", path, scope, {"Range": f"bytes={start}-"} if start else {})
        if start and answer.status != 206:  # the server sends all of it again
            left = start
            while left and (skipped := answer.read(min(left, 1 << 20))):
                left -= len(skipped)
        return answer

    def waits(self) -> _Waits:
        """Patience for one transfer."""
        return _Waits(self._access.patience)


class _Download:
    """The bytes of a blob, asked for from where a connection broke."""

    def __init__(self, store: RegistryStore, path: str, scope: str, blob: Descriptor) -> None:
        self._store, self._path, self._scope, self._blob = store, path, scope, blob
        self._got = 0
        self._waits = store.waits()
        self._answer: BaseHTTPResponse | None = None

    def seek(self, place: int) -> None:
        """Ask for it from its beginning again."""
        del place
        self.close()
        self._got = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes; empty at the end."""
        while True:
            try:
                if self._answer is None:
                    if self._got >= self._blob.size > 0:
                        return b""  # it broke behind the last byte
                    self._answer = self._store.reading(self._path, self._scope, self._got)
                data = self._answer.read1(size)  # what there is: `read` loses all of it where a connection breaks
            except (HTTPError, OSError, Unavailable) as error:
                self.close()
                explained = self._store.explained(error)
                if _is_certificate(error):
                    raise explained from error
                self._waits.after(explained, getattr(error, "retry_after", None) or None)
                continue
            except _OutOfPlace:  # there is nothing behind what came
                raise self._short() from None
            if data or self._got >= self._blob.size or size == 0:
                self._got += len(data)
                self._waits.progressed()
                return data
            # It ended early without an error of HTTP: what there is may be all there is, but is asked for again.
            self.close()
            self._waits.after(self._short())

    def _short(self) -> Damaged:
        return Damaged(f"{self._blob.digest} ended after {self._got} of {self._blob.size} bytes")

    def close(self) -> None:
        """Give the connection back, or close it in the middle of an answer."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()
            answer.release_conn()


def _pool(base: str, ca_file: str) -> urllib3.PoolManager:
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{ca_file}: the certificates cannot be read: {error}") from None
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=10.0, read=60.0), "ssl_context": context, "maxsize": 4, "retries": False,
    }  # fmt: skip
    host = urllib.parse.urlsplit(base).hostname or ""
    proxy = urllib.request.getproxies().get(urllib.parse.urlsplit(base).scheme)
    if proxy and not urllib.request.proxy_bypass(host) and not _LOOPBACK.fullmatch(host):
        user = urllib.parse.urlsplit(proxy)
        if user.username:
            name, secret = urllib.parse.unquote(user.username), urllib.parse.unquote(user.password or "")
            code = base64.b64encode(f"{name}:{secret}".encode()).decode()
            options["proxy_headers"] = {"Proxy-Authorization": f"Basic {code}"}
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def _is_certificate(error: Exception) -> bool:
    return isinstance(error, SSLError) and "CERTIFICATE" in str(error).upper()


def _last(error: Exception) -> str:
    """The reason at the bottom of an error of urllib3, which wraps several."""
    reason = getattr(error, "reason", None)
    return _last(reason) if isinstance(reason, Exception) else str(error)


def _wanted(text: str) -> str:
    return check_digest(text) if text.startswith("sha256:") else check_tag(text)


def _pull(repository: str) -> str:
    return f"repository:{repository}:pull"


def _push(repository: str) -> str:
    return f"repository:{repository}:pull,push"


def _exactly(source: Checked, size: int) -> bytes:
    """That many bytes, fewer only at the end."""
    pieces, left = [], size
    while left and (data := source.read(left)):
        pieces.append(data)
        left -= len(data)
    return b"".join(pieces)


def _leave(answer: BaseHTTPResponse) -> None:
    """Give the connection back when the rest of an answer is short, else close it."""
    left = _UNREAD
    while left and (piece := answer.read(left)):
        left -= len(piece)
    if not left:
        answer.close()
    answer.release_conn()


def _bounded(answer: BaseHTTPResponse, most: int = MANIFEST_BYTES) -> bytes:
    data = bytearray()
    while len(data) <= most and (piece := answer.read(most + 1 - len(data))):
        data += piece
    if len(data) > most:
        answer.close()
        raise Damaged(f"the registry sends more than {most} bytes for a text of JSON")
    answer.release_conn()
    return bytes(data)


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadServer("the registry's answer is not a JSON object")
    return value


def _reason(answer: BaseHTTPResponse) -> str:
    """What the registry says about a failure, cut short."""
    try:
        if answer.status in {404, 410}:
            _leave(answer)
            return ""
        value = json.loads(answer.read(4096))
        first = value["errors"][0]
        text = f"{first.get('code', '')} {first.get('message', '')}".strip()
    except (ValueError, LookupError, TypeError, AttributeError, HTTPError, OSError, RecursionError):
        return ""
    finally:
        answer.close()
    return f" {quoted(text)}" if text else ""
