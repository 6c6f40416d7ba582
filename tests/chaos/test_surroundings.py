"""What a machine may do to a service besides ending its processes: folders go, disks fill, clocks step."""

import glob
import os
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.chaos.clock_steps import STEPS

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command, **environment):
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), **environment}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=550, env=environment)
    assert done.returncode == 0, done.stderr
    return done


def output_of(*arguments, **environment):
    return run(sys.executable, "-m", *arguments, **environment).stdout.splitlines()


@pytest.mark.parametrize(("when", "beside"), [("before", "False"), ("after", "True")])
def test_a_working_folder_that_is_deleted(when, beside):
    """Workers are started, started again and replaced; what is relative to the folder is an error that says so."""
    serves, again, scaled, rolled, refused, advised = output_of("tests.chaos.without_folder", when)
    assert serves == f"serves {beside}"
    assert again.startswith("started again ")
    assert scaled == "scaled 3"
    assert rolled == "rolled out True"
    assert refused.startswith("ConfigError workspace: ")
    assert "is relative to a working folder that was deleted" in refused
    assert advised == "  help: give an absolute path"


@pytest.fixture
def small_disk(tmp_path):
    """Gives a function that runs a module with a small disk of its own, which is mounted for that process alone."""
    place = tmp_path / "disk"
    place.mkdir()

    def call(module, what, size):
        mount = f"mount -t tmpfs -o size={size} tmpfs {shlex.quote(str(place))}"
        program = shlex.join([sys.executable, "-m", module, what, str(place)])
        return run("unshare", "--mount", "sh", "-c", f"{mount} && exec {program}")

    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(place)]
    if not shutil.which("unshare") or subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    return call


def test_a_full_disk_for_logs(small_disk):
    """Requests are answered, and one line says that the log lacks records; there are more when there is room again."""
    done = small_disk("tests.chaos.full_disk", "logs", "128k")
    assert done.stdout.splitlines()[-3:] == ["answered by 1", f"full at {128 * 1024}", "written again True"]
    said = [line for line in done.stderr.splitlines() if "executor-rep-0.log" in line]
    assert len(said) == 2, said
    assert "cannot be written: No space left on device; log records are lost until it can" in said[0]
    assert "is written again" in said[1]
    assert "Traceback" not in done.stderr


def test_a_full_disk_for_a_replicated_log(small_disk):
    """No write is acknowledged and the reason is said, reads are answered; all is well when there is room again."""
    done = small_disk("tests.chaos.full_disk", "workspace", "24m")
    full, refused, read, kept = done.stdout.splitlines()
    assert full == "full"
    assert refused.startswith("refused Unavailable ")
    assert "cannot store what is written: write /" in refused
    assert "/raft/executor/rep-0/log/" in refused
    assert ": no space left on device help: make room on the disk of that file" in refused
    said = [line for line in done.stderr.splitlines() if "the log cannot be written" in line]
    assert 1 <= len(said) <= 3, done.stderr
    assert "no space left on device" in said[0]
    assert (read, kept) == ("read True", "kept True")


def faketime():
    """The library of Debian's package `libfaketime`, or of JINA_FAKETIME."""
    found = [os.environ.get("JINA_FAKETIME", ""), *glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")]
    return next((path for path in found if os.path.isfile(path)), None)


@pytest.mark.skipif(faketime() is None, reason="needs libfaketime, of the package faketime")
def test_a_clock_that_is_set_by_an_hour_and_by_a_year(tmp_path):
    """All processes see the step while they run, but the agent, whose binary loads no library."""
    file = tmp_path / "time"
    file.write_text("+0\n")
    preloaded = {"FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    output = output_of("tests.chaos.clock_steps", str(file), LD_PRELOAD=faketime(), **preloaded)
    assert output == [f"{step} True {{'ready'}} 0 True" for step in STEPS]
