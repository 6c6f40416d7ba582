"""The place where replicas are harmed: each agent in a network of its own, on a small disk of its own.

All of it is inside of namespaces that `isolated` makes (Linux, as root), so that nothing outside is touched and all
ends with the first process. Without them agents and workers can still be killed and stopped.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from jina.supervisor import agents

NOWHERE = "02:00:00:00:00:00"
"""A hardware address without a device: what is sent there is lost without an error."""
ISOLATED = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]


def can_isolate():
    """Whether the namespaces can be had here."""
    if sys.platform != "linux" or shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    probe = "ip link add switch type bridge && mount -t tmpfs none /mnt"
    return subprocess.run([*ISOLATED, "sh", "-c", probe], capture_output=True, check=False).returncode == 0


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


class World:
    """Networks, disks and programs of the replicas; `isolated` says whether there are the first two."""

    def __init__(self, folder, agent, planted, *, isolated, disk):
        self.folder, self.isolated, self.planted, self._disk = Path(folder), isolated, planted, disk
        self.workspace = self.folder / "workspace"
        self._agent = agent
        self._holders = []
        self._fill = {}

    def build(self, replicas):
        """Make places for so many replicas, some of which may join later."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.isolated:
            run("ip", "link", "set", "lo", "up")
            run("ip", "link", "add", "switch", "type", "bridge")
            run("ip", "link", "set", "switch", "up")
        for replica in range(replicas):
            if self.isolated:
                self._connect(replica)
                self._mount(replica)
            self._program(replica)
        world = self

        class Placed(agents.Agent):
            """An agent that is started in the place of its replica."""

            def __init__(self, program, plan, log_level, **options):
                if options.get("joins"):
                    world.renew(plan.replica)
                super().__init__(str(world.folder / f"agent-{plan.replica}"), plan, log_level, **options)

            @property
            def plan(self):
                return self._plan

            @plan.setter
            def plan(self, plan):
                self._plan = world.placed(plan)

        agents.Agent = Placed
        agents._LONGEST_PAUSE = 0.5  # they are killed more often than in life

    def _connect(self, replica):
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self._holders.append(holder)
        while os.readlink(f"/proc/{holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            pass
        inside = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
        link = f"p{replica}"
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
        run("ip", "link", "set", link, "master", "switch", "up")
        run(*inside, "ip", "address", "add", f"{_address(replica)}/24", "dev", "eth0")
        run(*inside, "ip", "link", "set", "eth0", "up")
        run(*inside, "ip", "link", "set", "lo", "up")

    def placed(self, plan):
        """The plan of an agent with where the others are in this world."""
        if not self.isolated:
            return plan
        peers = [f"{_address(number)}:7000" if peer else "" for number, peer in enumerate(plan.peers)]
        return msgspec.structs.replace(plan, peers=peers, listen="", share_port=False)

    def renew(self, replica):
        """Give a replica that joins another disk than the one that had its number."""
        (self.folder / f"joined-{replica}").touch()
        if self.isolated:
            self._unmount(replica)
            self._mount(replica)

    def _unmount(self, replica):
        for place in (self.directory(replica) / "work", self.directory(replica)):
            subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)

    def _mount(self, replica):
        directory = self.directory(replica)
        directory.mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"size={self._disk}m", "none", str(directory))
        # The Executor's own files have room always: an Executor that fails by itself is another subject.
        (directory / "work").mkdir()
        run("mount", "-t", "tmpfs", "none", str(directory / "work"))

    def directory(self, replica):
        """Where a replica keeps its log."""
        return self.workspace / "raft" / "nemesis" / f"rep-{replica}"

    def _program(self, replica):
        enter = f"nsenter --net=/proc/{self._holders[replica].pid}/ns/net --" if self.isolated else ""
        clock = f"$(cat '{self.folder}/clock-{replica}' 2>/dev/null)"
        path = self.folder / f"agent-{replica}"
        path.write_text(
            f"#!/bin/bash\nexport JINA_RAFT_DISK='{self.folder}/disk-{replica}' JINA_RAFT_PLANTED='{self.planted}'\n"
            f"exec {clock} {enter} '{self._agent}' 2> >(exec tee -a '{self.folder}/agent-{replica}.log' >&2)\n"
        )
        path.chmod(0o755)

    # --- harm -------------------------------------------------------------------------------------------------

    def cut(self, sender, receiver):
        """Lose whatever one agent sends to another."""
        self._neighbour(sender, "replace", _address(receiver), "lladdr", NOWHERE, "nud", "permanent")

    def mend(self, sender, receiver):
        """Let it through again."""
        self._neighbour(sender, "del", _address(receiver))

    def _neighbour(self, replica, do, *what):
        inside = ["nsenter", f"--net=/proc/{self._holders[replica].pid}/ns/net"]
        command = [*inside, "ip", "neigh", do, *what, "dev", "eth0"]
        subprocess.run(command, check=do != "del", capture_output=True)

    def fill(self, replica):
        """Leave no room on a disk."""
        path = self.directory(replica) / "filling"
        self._fill[replica] = path
        block = bytes(1 << 20)
        # It may be full before as well.
        with contextlib.suppress(OSError), path.open("wb") as file:
            while True:
                file.write(block)
                file.flush()

    def free(self, replica):
        """Give the room back."""
        if replica in self._fill:
            self._fill.pop(replica).unlink(missing_ok=True)  # with a replica its disk goes

    def slow(self, replica, milliseconds):
        """Let each sync of a log take longer."""
        (self.folder / f"disk-{replica}").write_text(str(milliseconds))

    def shift(self, replica, seconds):
        """Let the clock that agents measure time with be another one from their next start on."""
        (self.folder / f"clock-{replica}").write_text(f"unshare --time --monotonic {seconds} --boottime {seconds} --")

    def close(self):
        for replica, holder in enumerate(self._holders):
            holder.kill()
            holder.wait()
            self._unmount(replica)


def _address(replica):
    return f"10.99.0.{replica + 1}"
