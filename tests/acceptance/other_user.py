"""Tries what a second user of a machine may try: reads JSON from stdin, becomes `uid`, prints what it got."""

import contextlib
import json
import os
import socket
import sys
from pathlib import Path

from jina.net.sockets import holder


def become(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def walk(folder):
    """What can be read, and where something can be written, below a folder."""
    got = []
    if os.access(folder, os.W_OK):
        got.append(f"writes in {folder}")
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                got += walk(entry.path)
            elif os.access(entry.path, os.R_OK) and entry.is_file():
                got.append(f"reads {entry.path}")
            elif os.access(entry.path, os.W_OK):
                got.append(f"writes {entry.path}")
    return got


def connect(address):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(10)
        try:
            sock.connect(address.replace("@", "\0", 1))
            return [f"is told {sock.recv(1 << 16)!r}"]
        except OSError as error:
            return [type(error).__name__]


def process(pid):
    """What a process shows of itself: its command line, and what else can be opened of it."""
    got = [Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")]
    for name in ("environ", "mem", "fd", "cwd", "maps"):
        with contextlib.suppress(OSError):
            path = f"/proc/{pid}/{name}"
            got.append(f"opens {name} {os.listdir(path) if name in {'fd', 'cwd'} else Path(path).read_bytes()[:9]}")
    return got


def bind(port):
    """Share a port with its holder, as processes of one user may."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen()
        except OSError as error:
            return [type(error).__name__]
        return ["has the port"]


def pretend(names):
    """Sockets with names of another user's services, which never accept; ends with the standard input."""
    held = []
    for name in names:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(name.replace("@", "\0", 1))
        sock.listen(0)
        held.append(sock)
        for _ in range(2):
            guest = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            guest.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                guest.connect(name.replace("@", "\0", 1))
            held.append(guest)
    sys.stdout.write("pretending\n")
    sys.stdout.flush()
    sys.stdin.read()
    return held


TRIES = {"pretend": pretend, "holder": holder, "walk": walk, "connect": connect, "process": process, "bind": bind}

if __name__ == "__main__":
    asked = json.loads(sys.stdin.readline())
    become(asked.pop("uid"))
    sys.stdout.write(json.dumps({what: [TRIES[what](one) for one in many] for what, many in asked.items()}))
