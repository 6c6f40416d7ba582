"""Archives (.tar.gz) of packages and of image layers: written the same everywhere, and read with suspicion.

The same entries give the same tar, byte for byte, on every machine. How it is compressed is the business of the zlib
that Python was built with: releases of zlib.net seldom change it, its rewrites (such as zlib-ng) do. The digest of an
archive may therefore differ between two machines with different zlibs; the digest of the tar in it, which `pack` gives
and which the configuration of an image holds, never does.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import struct
import tarfile
import tempfile
import unicodedata
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

from jina.errors import ConfigError
from jina.hub.oci import CHUNK, PART, Damaged

Entry = tuple[str, Path | bytes, bool]
"""Name in the archive, content (the path of a folder: an entry for the folder alone), and whether it is a program."""

_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"
"""Deflate, no name, no time, level not told, operating system not told."""
_LEVEL: Final = 6
_LONGEST_NAME: Final = 4096
_LONGEST_HEADER: Final = 18 * tarfile.BLOCKSIZE
"""Room for a name and a link of the longest kind; some versions of tarfile take quadratic time for a header."""
_LONGEST_PART: Final = 255
_DEEPEST: Final = 64
_LONGEST_CHAIN: Final = 40
"""Links that lead to links: Linux follows no more."""


def pack(entries: Iterable[Entry], target: IO[bytes], *, owner: int = 0) -> str:
    """Write a .tar.gz: sorted, without times, all of one owner. Gives the digest of the tar in it.

    Paths are followed where they are links. The folders of an entry are not added by themselves.
    """
    listed = sorted(((name.encode(), content, program) for name, content, program in entries), key=lambda one: one[0])
    compressed = _Gzip(target)
    last = None
    # A stream of tar's own would pad and buffer in its own way; this one only needs `write` and `tell`.
    with tarfile.open(fileobj=cast("Any", compressed), mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for raw, content, program in listed:
            name = raw.decode()
            if raw == last:
                raise ConfigError(f"an archive would hold {name!r} twice")
            last = raw
            _add(archive, name, content, program, owner)
    return compressed.close()


def _add(archive: tarfile.TarFile, name: str, content: Path | bytes, program: bool, owner: int) -> None:
    about = tarfile.TarInfo(name)
    about.uid = about.gid = owner
    about.mode = 0o755 if program else 0o644
    if isinstance(content, bytes):
        about.size = len(content)
        archive.addfile(about, io.BytesIO(content))
    elif content.is_dir():
        about.type, about.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(about)
    else:
        with content.open("rb") as file:
            about.size = os.fstat(file.fileno()).st_size
            archive.addfile(about, file)


class _Gzip:
    """Compresses what is written, always in pieces of the same size, and takes the digest of it before."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._waiting = bytearray()
        self._hash = hashlib.sha256()
        self._crc = 0
        self._size = 0
        target.write(_GZIP_HEADER)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._size + len(self._waiting)

    def write(self, data: bytes) -> int:
        """Take bytes."""
        self._waiting += data
        while len(self._waiting) >= CHUNK:
            self._compress(bytes(self._waiting[:CHUNK]))
            del self._waiting[:CHUNK]
        return len(data)

    def close(self) -> str:
        """Write the end; gives the digest of all that was written."""
        self._compress(bytes(self._waiting))
        self._waiting.clear()
        self._target.write(self._deflate.flush() + struct.pack("<LL", self._crc, self._size & 0xFFFFFFFF))
        return f"sha256:{self._hash.hexdigest()}"

    def _compress(self, data: bytes) -> None:
        self._hash.update(data)
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._target.write(self._deflate.compress(data))


UNREADABLE = (
    tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, ValueError, OverflowError, RecursionError,
)  # fmt: skip
"""What tarfile and gzip raise for content that is none of theirs."""


class Names:
    """The names of an archive, each checked as it is added; raises `Damaged` for one that must not be unpacked."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kinds: dict[str, tuple[str, str]] = {}

    def add(self, name: str, kind: str) -> PurePosixPath | None:
        """The path of an entry of the kind `folder`, `file` or `link`; None for the folder of the archive itself."""
        path = _safe(name)
        if path is None:
            if kind == "folder":
                return None
            raise Damaged(f"an archive holds {name!r}, which names no file")
        for folder in reversed(path.parents[:-1]):
            self._take(folder, "folder", again=True)
        self._take(path, kind, again=kind == "folder")
        return path

    def kind(self, path: str) -> str:
        """`folder`, `file` or `link`; empty where nothing of that name was added."""
        text, kind = self._kinds.get(_key(path), ("", ""))
        return kind if text == path else ""

    def _take(self, path: PurePosixPath, kind: str, *, again: bool) -> None:
        text = str(path)
        key = _key(text)
        known = self._kinds.get(key)
        if known is None:
            if len(self._kinds) >= self._most:
                raise Damaged(f"an archive holds more than {self._most} files and folders")
            self._kinds[key] = (text, kind)
        elif known[0] != text:
            raise Damaged(f"an archive holds {known[0]!r} and {text!r}, which are one name on other systems")
        elif not again or known[1] != kind:
            raise Damaged(f"an archive holds {text!r} twice, as a {known[1]} and as a {kind}")


def _key(text: str) -> str:
    """The same for two names that are one: macOS and Windows ask neither for case nor for composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _safe(name: str) -> PurePosixPath | None:
    def refuse(why: str) -> Damaged:
        return Damaged(f"an archive holds {name[:200]!r}, {why}")

    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise refuse("which is not UTF-8") from None
    if size > _LONGEST_NAME:
        raise refuse(f"a name of more than {_LONGEST_NAME} bytes")
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise refuse("a name with control characters")
    if name.startswith("/") or "\\" in name or name[1:2] == ":":
        raise refuse("which is not a relative path with / between its parts")
    if ".." in name.split("/"):
        raise refuse("which leads out of the folder")
    path = PurePosixPath(name)
    if len(path.parts) > _DEEPEST:
        raise refuse(f"more than {_DEEPEST} folders deep")
    if any(len(part.encode()) > _LONGEST_PART for part in path.parts):
        raise refuse(f"a part of a name of more than {_LONGEST_PART} bytes")
    return path if path.parts else None


def unpack(source: IO[bytes], folder: Path, *, most_bytes: int, most_files: int) -> list[str]:
    """Unpack a .tar.gz into a folder that is not there yet: all of it or, where it raises, nothing. Gives the names.

    Raises `Damaged` for anything but files, folders, and symbolic links that stay within the folder; for names that
    lead out of it, are there twice, or differ only by case; and where the content, or what says where it is, is larger
    than allowed. Of the modes only "is a program" is kept; owners and times are not.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=PART, dir=folder.parent))
    try:
        names = _extract(source, part, most_bytes, most_files)
        part.chmod(0o755)
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part)
        raise
    return names


def _extract(source: IO[bytes], part: Path, most_bytes: int, most_files: int) -> list[str]:
    names, found = Names(most_files), []
    links: dict[str, str] = {}
    # Headers and padding take at most a few blocks for each entry.
    reader = _Bounded(source, most_bytes + (most_files + 1) * 8 * tarfile.BLOCKSIZE + tarfile.RECORDSIZE)
    left = most_bytes
    try:
        with tarfile.open(fileobj=cast("Any", reader), mode="r:") as archive:
            while (member := archive.next()) is not None:
                cast("Any", archive).members.clear()  # they would all be kept
                path = names.add(member.name, _kind(member))
                left -= member.size
                if left < 0:
                    raise Damaged(f"an archive holds more than {most_bytes} bytes")
                if path is None:
                    continue
                found.append(str(path))
                if member.issym():
                    links[str(path)] = member.linkname
                else:
                    _write(reader, member, part / path)
            reader.end()
    except Damaged:
        raise
    except UNREADABLE as error:
        raise Damaged(f"an archive cannot be read: {error or type(error).__name__}") from error
    _Links(names, links).make(part)
    return found


def _kind(member: tarfile.TarInfo) -> str:
    if member.isdir():
        return "folder"
    if member.issym():
        return "link"
    if member.isreg() and getattr(member, "sparse", None) is None and member.size >= 0:
        return "file"
    raise Damaged(f"an archive holds {member.name[:200]!r}, which is neither a file, a folder nor a symbolic link")


def _write(reader: _Bounded, member: tarfile.TarInfo, target: Path) -> None:
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        reader.copy(member.size, file)
    target.chmod(0o755 if member.mode & 0o100 else 0o644)


class _Links:
    """The symbolic links of an archive, followed by names alone: what is on disk is not asked."""

    def __init__(self, names: Names, links: dict[str, str]) -> None:
        self._names = names
        self._links = links
        self._ends: dict[str, list[str]] = {}

    def make(self, part: Path) -> None:
        """Make them when all else is there: nothing is ever written through one."""
        for place, to in self._links.items():
            if not to or to.startswith("/") or "\0" in to or len(to) > _LONGEST_NAME:
                raise Damaged(f"an archive holds the link {place}, which leads to {to[:200]!r}")
            if self._end(place, _LONGEST_CHAIN) is None:
                raise Damaged(f"an archive holds the link {place}, which leads to {to[:200]!r}: not within it")
        for place, to in self._links.items():
            (part / place).parent.mkdir(parents=True, exist_ok=True)
            (part / place).symlink_to(to)

    def _end(self, place: str, chain: int) -> list[str] | None:
        """The parts of the path that a link leads to; None where it leads out, nowhere, or in a circle.

        Each link is followed once, so that the time is that of reading them all.
        """
        if place in self._ends:
            return self._ends[place]
        here: list[str] = place.split("/")[:-1]
        for step in self._links[place].split("/"):
            if step in {"", "."}:
                continue
            if step == "..":
                if not here:
                    return None
                here.pop()
                continue
            here.append(step)
            path = "/".join(here)
            kind = self._names.kind(path)
            if not kind:
                return None
            if kind == "link":
                found = self._end(path, chain - 1) if chain else None
                if found is None:
                    return None
                here = list(found)
        self._ends[place] = here
        return here


class _Bounded:
    """What a .tar.gz decompresses to, as tarfile reads it: forward only, at most so many bytes, short headers only."""

    def __init__(self, source: IO[bytes], most: int) -> None:
        self._content = gzip.GzipFile(fileobj=source, mode="rb")
        self._most = most
        self._at = 0

    def tell(self) -> int:
        """Where it is."""
        return self._at

    def seek(self, position: int) -> int:
        """Skip to there; tarfile never goes back when it is read from the first entry to the last."""
        if position < self._at:
            raise tarfile.ReadError("it would have to be read twice")
        while self._at < position and self._read(min(position - self._at, CHUNK)):
            pass
        return self._at

    def read(self, size: int) -> bytes:
        """The next bytes of headers. tarfile takes long names and extended headers in one piece, however long."""
        if not 0 <= size <= _LONGEST_HEADER:
            raise Damaged(f"an archive has a header of {size} bytes")
        return self._read(size)

    def copy(self, size: int, target: IO[bytes]) -> None:
        """Copy so many bytes."""
        while size:
            data = self._read(min(size, CHUNK))
            if not data:
                raise Damaged("an archive ends within a file")
            target.write(data)
            size -= len(data)

    def end(self) -> None:
        """Read to the end, of which tarfile has read one block. It takes a damaged header for the end, too."""
        zeros = 0
        while data := self._read(CHUNK):
            if any(data):
                raise Damaged("an archive has a damaged header")
            zeros += len(data)
        if zeros < tarfile.BLOCKSIZE:
            raise Damaged("an archive has no end")

    def _read(self, size: int) -> bytes:
        data = self._content.read(size)
        self._at += len(data)
        if self._at > self._most:
            raise Damaged(f"an archive decompresses to more than {self._most} bytes")
        return data
