"""What ties a child to its supervisor: frames on the control socket, the parent-death signal, its name."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import msgspec

_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 20
MAX_FRAME = (1 << 32) - 1
_MOST_AT_ONCE = 253
"""Descriptors that the kernel puts into one message."""


def send_frame(sock: socket.socket, data: bytes) -> None:
    """Send one frame; blocks. Raises ValueError for more than 4 GiB."""
    if len(data) > MAX_FRAME:
        raise ValueError(f"a frame of {len(data)} bytes is over the limit of {MAX_FRAME}")
    sock.sendall(_LENGTH.pack(len(data)))
    sock.sendall(data)


def recv_frame(sock: socket.socket) -> bytes | None:
    """Read one frame from a blocking socket; None when the peer closed it before or within the frame."""
    head = _recv_exactly(sock, _LENGTH.size)
    if head is None:
        return None
    return _recv_exactly(sock, _LENGTH.unpack(head)[0])


def _recv_exactly(sock: socket.socket, size: int) -> bytes | None:
    buffer = bytearray()
    while len(buffer) < size:
        chunk = sock.recv(min(size - len(buffer), _CHUNK))
        if not chunk:
            return None
        buffer += chunk
    return bytes(buffer)


class FrameReader:
    """Cuts frames out of a stream of bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete with `data`."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[_LENGTH.size : end]))
            del self._buffer[:end]
        return frames


def send_link(sock: socket.socket, name: str, link: socket.socket) -> None:
    """Hand over a copy of a socket under a name; blocks."""
    data = msgspec.json.encode({"link": name})
    frame = _LENGTH.pack(len(data)) + data
    # The descriptor arrives with the first byte; the rest may follow.
    sent = socket.send_fds(sock, [frame], [link.fileno()])
    sock.sendall(frame[sent:])


def receive_messages(sock: socket.socket) -> Iterator[tuple[dict[str, Any], socket.socket | None]]:
    """The messages of the orchestrator, with the sockets of links (`send_link`).

    Ends when the peer closed or its process ended.
    """
    reader = FrameReader()
    descriptors: deque[int] = deque()
    flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    while True:
        try:
            data, received, _, _ = socket.recv_fds(sock, 1 << 16, _MOST_AT_ONCE, flags)
        except OSError:
            return
        if not data:
            return
        for descriptor in received:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's signature
        descriptors.extend(received)
        for frame in reader.feed(data):
            word = msgspec.json.decode(frame)
            yield word, socket.socket(fileno=descriptors.popleft()) if "link" in word else None


WIDTH = 48
"""Characters of a name that a process can be given after its start."""
_PR_SET_NAME = 15
_ARG_START, _ARG_END = 48 - 3, 49 - 3  # fields of proc_pid_stat(5), counted from the first after the name


def show(name: str) -> None:
    """Name this process: in full in the last word of its command line, if that has the room, shortened in `top`."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0)  # the kernel takes 15 bytes
    with contextlib.suppress(OSError, ValueError, IndexError):
        _write_last_argument(name.encode())


def _write_last_argument(name: bytes) -> None:
    """The kernel reads the command line from this process's own memory (PR_SET_MM in prctl(2))."""
    line, _, end = _command_line()
    old = line.rstrip(b"\0").rpartition(b"\0")[2]
    if old.strip() == name:
        return
    ctypes.memmove(end - 1 - len(old), name[: len(old)].ljust(len(old)), len(old))


def _command_line() -> tuple[bytes, int, int]:
    """It, and where in memory it begins and ends; raises `ValueError` where it is somewhere else."""
    with open("/proc/self/cmdline", "rb") as file:
        line = file.read()
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    if not start or end - start != len(line) or ctypes.string_at(start, len(line)) != line:
        raise ValueError("the command line was not found in memory")
    return line, start, end


def hide(words: Sequence[str], flags: Collection[str]) -> None:
    """Overwrite what follows some flags in the command line of this process, which every user can read."""
    if sys.platform != "linux" or not any(word.partition("=")[0] in flags for word in words):
        return
    with contextlib.suppress(OSError, ValueError, IndexError):
        _overwrite([os.fsencode(flag) for flag in flags])


def _overwrite(flags: Collection[bytes]) -> None:
    line, start, _ = _command_line()
    at, secret = start, False
    for word in line.split(b"\0")[:-1]:
        flag, given, value = word.partition(b"=")
        secret = flag in flags or (secret and not word.startswith(b"--"))
        if secret and flag not in flags:
            ctypes.memset(at, ord("*"), len(word))
        elif secret and given:
            ctypes.memset(at + len(word) - len(value), ord("*"), len(value))
        at += len(word) + 1


CLOSE_LIMIT = 0.9
"""Seconds that `close()` gets once the orchestrator has ended: a little less than the kernel grants."""
OnMessage = Callable[[dict[str, Any], socket.socket | None], None]
"""Gets a message of the orchestrator, and the socket of a link where it is one."""
_PR_SET_PDEATHSIG = 1
_ORPHANED = 75  # EX_TEMPFAIL: not read by a program, but distinct in logs of init systems


def reset_signals() -> None:
    """Undo what a worker inherits from the thread that started it: blocked and ignored signals."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def die_with_parent(control: socket.socket) -> None:
    """Let the kernel end this process one second after the orchestrator's death (Linux only).

    No Python code can run while C code holds the GIL, so the handler of the parent-death signal is libc's
    own `alarm`: called with the signal's number, and SIGHUP is 1, it makes the kernel send SIGALRM one second
    later, whose default action ends the process.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    libc.signal(int(signal.SIGHUP), ctypes.cast(libc.alarm, ctypes.c_void_p))
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGHUP), 0, 0, 0)
    if os.getppid() != _creator_of(control):  # it died before the call above
        os._exit(_ORPHANED)


def _creator_of(control: socket.socket) -> int:
    credentials = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


def watch(control: socket.socket, abandon: Callable[[], None], on_message: OnMessage) -> None:
    """From a thread: pass messages of the orchestrator to `on_message`, and end when it has ended.

    Then `abandon` is called, which asks the process to stop without waiting for requests in flight and returns at
    once, and the process exits after `CLOSE_LIMIT` seconds.
    """
    threading.Thread(target=_watch, args=(control, abandon, on_message), name="lifeline", daemon=True).start()


def _watch(control: socket.socket, abandon: Callable[[], None], on_message: OnMessage) -> None:
    for word, link in receive_messages(control):
        on_message(word, link)
    deadline = time.monotonic() + CLOSE_LIMIT
    try:
        abandon()
    finally:
        time.sleep(max(0.0, deadline - time.monotonic()))
        # What user code started (data loaders, servers) lives in this process group; nothing else ends it.
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(_ORPHANED)
