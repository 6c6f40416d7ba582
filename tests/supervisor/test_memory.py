"""The kernel's count of processes that it ended for want of memory."""

from jina.supervisor.supervisor import MemoryKills


def test_a_count_that_grows(tmp_path):
    file = tmp_path / "memory.events"
    file.write_text("low 0\noom 1\noom_kill 3\noom_group_kill 0\n")
    kills = MemoryKills([tmp_path / "not there", file])
    assert not kills.more()
    file.write_text("low 0\noom 2\noom_kill 4\n")
    assert kills.more()
    assert not kills.more()


def test_no_count(tmp_path):
    file = tmp_path / "memory.oom_control"
    assert not MemoryKills([file]).more()
    file.write_text("oom_kill_disable 0\nunder_oom 0\n")
    kills = MemoryKills([file])
    file.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    assert not kills.more()  # it was not known before
    file.write_text("oom_kill 6\n")
    assert kills.more()


def test_the_own_group_can_be_asked():
    assert MemoryKills().more() in {True, False}
