"""Every place that makes a file, a folder or a socket, and why no other user of the machine can interfere there."""

import ast
from pathlib import Path

import jina

SOURCES = Path(jina.__file__).parent
NAMED = "the user names the file: it is made as by any program, and its folder is the user's to choose"
SECRET = "mode 0600 or 0700 from the beginning on, by a name that cannot be foreseen"
WITHIN = "in a folder of that kind, or in one of mode 0700"
CACHE = "in the cache of the user, below the home folder"
NAMELESS = "has no name by which others could reach it"

PLACES = {
    "check/checking.py": {"write": NAMED},
    "cli/tools.py": {"run_new": NAMED, "run_export_schema": NAMED},
    "cli/raft.py": {
        "run_raft_recover": WITHIN,
        "run_raft_restore_backup": "mode 0700; what is in it is written by the agent, with mode 0600",
    },
    "documents/files.py": {"File.save": NAMED},
    "documents/io.py": {"opened": NAMED},
    "documents/uploads.py": {"_made": SECRET, "create": SECRET, "offer": SECRET},
    "executor/configurable.py": {"_Methods.save_config": NAMED},
    "executor/base.py": {"create": "mode 0700"},
    "hub/archives.py": {"_Links.make": WITHIN, "_write": WITHIN, "pack": NAMELESS, "unpack": SECRET},
    "hub/build.py": {"_by_engine": SECRET, "_daemonless": SECRET, "_dockerfile": NAMED, "_wheel": WITHIN},
    "hub/bytecode.py": {"_main": WITHIN},
    "hub/checking.py": {"_main": WITHIN, "check_package": SECRET},
    "hub/credentials.py": {"_write": "mode 0700, in the user's home folder"},
    "hub/dockerfiles.py": {"own_wheels": NAMED, "wheel_of_sources": SECRET},
    "hub/fetch.py": {
        "Fetching._learn": CACHE,
        "GitSource._unpack": CACHE,
        "GitSource.fetch": SECRET,
        "_remove": CACHE,
    },
    "hub/images.py": {"Base.modules": WITHIN, "_one": SECRET, "_parts": WITHIN, "write_archive": NAMED},
    "hub/oci.py": {"LayoutStore._make": NAMED, "LayoutStore._name": NAMED, "whole": SECRET},
    "hub/packages.py": {
        "_archive": NAMELESS,
        "_link_or_copy": CACHE,
        "_pull_file": CACHE,
        "_pull_source": NAMELESS,
        "_replace_by_copy": CACHE,
        "pull": SECRET,
    },
    "hub/wizard.py": {"NewPackage.write": NAMED},
    "controller/groups.py": {"StatefulGroup._credentials": SECRET},
    "supervisor/agents.py": {
        "Agent._keep": WITHIN,
        "_locked_folder": SECRET,
        "_make_folder": "mode 0700",
        "_put_aside": WITHIN,
    },
    "supervisor/process.py": {"ChildProcess._new_control": NAMELESS},
    "supervisor/status_socket.py": {
        "open_status_socket": "answers this user and root alone; others' are not believed (SO_PEERCRED)"
    },
    "supervisor/supervisor.py": {"Linker._link": NAMELESS, "Supervisor.__init__": NAMELESS},
    "supervisor/ports.py": {
        "PortReservations.claim": "who takes the name keeps a port from us, as who takes the port does",
        "_bind": "the kernel shares ports among processes of one user only",
    },
    "supervisor/child.py": {"_enter_environment": NAMELESS},
    "supervisor/container.py": {"_made": NAMED, "free_port": NAMELESS},
    "supervisor/environments.py": {
        "Environment._build": CACHE,
        "Environment._fill": CACHE,
        "Environment._installer": CACHE,
        "Environment.make": "mode 0700, in the cache of the user",
        "_add_ours": CACHE,
        "_copy": CACHE,
    },
    "legacy/helper.py": {"is_port_free": "is closed at once"},
    "observe/logs.py": {
        "file_handler": "mode 0700",
        "_File._open": "follows no link and takes no file of another user",
    },
    "orchestration/lifecycle.py": {"Signals.__init__": NAMELESS},
    "orchestration/configuration.py": {"write": NAMED, "write_files": NAMED},
    "orchestration/display.py": {"write_picture": NAMED},
    "replication/backups.py": {"take": SECRET, "_write": SECRET, "unpacked": SECRET},
    "replication/admin.py": {"keep_key": SECRET},
    "replication/snapshots.py": {
        "prepare": WITHIN,
        "seal": WITHIN,
        "check": WITHIN,
        "fresh_workspace": SECRET,
    },
    "gateway/custom.py": {"BaseGateway.save_config": NAMED},
    "worker/probes.py": {"ProbePort._spawn": NAMELESS},
    "ipc/protocol.py": {"send_handshake": NAMELESS},
    "net/sockets.py": {"bind": "the kernel shares ports among processes of one user only"},
}

MAKES = {
    "mkdir", "makedirs", "mkstemp", "mkdtemp", "mktemp", "TemporaryFile", "NamedTemporaryFile", "TemporaryDirectory",
    "SpooledTemporaryFile", "write_text", "write_bytes", "symlink", "symlink_to", "link", "hardlink_to", "touch",
    "mkfifo", "mknod", "FileHandler", "RotatingFileHandler", "copyfile", "copytree", "copy2", "extractall",
    "urlretrieve", "memfd_create", "SharedMemory", "socketpair", "create_unix_server", "start_unix_server",
}  # fmt: skip


def made(node):
    """Whether a call makes something, as far as can be seen from how it is written."""
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    owner = getattr(getattr(node.func, "value", None), "id", "")
    if name in MAKES:
        return True
    if name == "open":
        given = (*node.args, *(word.value for word in node.keywords if word.arg == "mode"))
        words = [ast.unparse(one) for one in given]
        return any("O_CREAT" in word or word == "mode" or word[:2] in {"'w", "'a", "'x"} for word in words)
    if name == "bind":
        return owner in {"sock", "server", "probe"}
    return name in {"rename", "replace", "renames"} and owner == "os"


def slots(tree, within=()):
    """The functions in which something is made."""
    for node in ast.iter_child_nodes(tree):
        inner = within
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = (*within, node.name)
        if isinstance(node, ast.Call) and made(node):
            yield ".".join(within)
        yield from slots(node, inner)


def test_the_table_has_each_place_that_makes_something():
    found = {
        path.relative_to(SOURCES).as_posix(): names
        for path in SOURCES.rglob("*.py")
        if (names := set(slots(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found == {module: set(result) for module, result in PLACES.items()}
