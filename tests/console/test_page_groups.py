"""The state of a RAFT group in the console: who leads, what is behind, and the actions of those who may."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator

import pytest

from jina import Deployment, Document, DocumentArray, Executor, requests, write
from tests.console.conftest import KEYS, has_agent, post
from tests.stateful.conftest import FAST

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not has_agent(), reason="the consensus agent is not built: make agent"),
]


class Ledger(Executor):
    """Keeps lines."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lines = []

    @write
    @requests(on="/add")
    def add(self, docs: DocumentArray, **kwargs):
        self.lines.extend(docs.texts)
        return DocumentArray([Document(text=str(len(self.lines)))])

    def snapshot(self, snapshot_dir):
        with open(os.path.join(snapshot_dir, "lines.json"), "w", encoding="utf-8") as file:
            json.dump(self.lines, file)

    def restore(self, snapshot_dir):
        with open(os.path.join(snapshot_dir, "lines.json"), encoding="utf-8") as file:
            self.lines = json.load(file)


@pytest.fixture(scope="module")
def group(tmp_path_factory) -> Iterator[Deployment]:
    options = {"raft_configuration": FAST, "host": "127.0.0.1", "quiet": True, "api_keys": KEYS, "protocol": "http"}
    folder = str(tmp_path_factory.mktemp("ledger"))
    with Deployment(name="ledger", uses=Ledger, stateful=True, replicas=3, workspace=folder, **options) as deployment:
        yield deployment


@pytest.fixture
def look(open_console, group):
    found = open_console(group.port)
    found.page.goto(f"{found.origin}/console#key=sesame-open")
    found.page.get_by_role("status").get_by_text("live").wait_for()
    return found.go("state")


def add(group, text: str) -> None:
    post(group.port, "/add", json.dumps({"data": [{"text": text}]}), **{"x-api-key": "sesame-open"})


def test_each_replica_has_its_role_and_place_in_the_log(look, group):
    add(group, "first")
    panel = look.page.get_by_role("region", name="group ledger")
    panel.get_by_text("healthy").wait_for()
    assert panel.get_by_role("row").count() == 4
    panel.get_by_text("leader", exact=True).wait_for()
    assert panel.get_by_text("follower", exact=True).count() == 2
    panel.get_by_text(re.compile(r"replica \d leads, term \d+")).wait_for()


def test_a_write_moves_the_log_on(look, group):
    cell = look.page.get_by_role("region", name="group ledger").get_by_role("row").nth(1).locator("td").nth(3)
    before = int(cell.inner_text().replace(",", ""))
    for number in range(5):
        add(group, f"line {number}")
    look.until(
        "before => Number(document.querySelectorAll('.group tr')[1].cells[4].innerText.replace(',', '')) >= before + 5",
        before,
    )


def test_a_snapshot_is_taken(look):
    look.button("Snapshot").click()
    look.until("() => document.querySelector('.note[role=status]').innerText.length > 3")
    look.page.get_by_role("cell", name=re.compile(r"^entry \d+")).first.wait_for()


def test_another_replica_is_made_the_leader(look):
    before = look.page.get_by_text(re.compile(r"replica \d leads")).inner_text()
    look.button("make leader").first.click()
    look.page.get_by_role("dialog").get_by_role("button", name="Make it lead").click()
    look.until(
        """before => {
            const now = document.querySelector('.group .deployment-about').innerText;
            return /replica \\d leads/.test(now) && now.slice(0, 15) !== before.slice(0, 15);
        }""",
        before,
    )


def test_removing_asks_first(look):
    look.page.get_by_role("button", name=re.compile("^remove replica 2")).click()
    look.page.get_by_role("dialog").get_by_text("for good").wait_for()
    assert look.violations() == []
    look.page.keyboard.press("Escape")
    look.page.get_by_role("dialog").wait_for(state="detached")
    assert look.page.get_by_role("region", name="group ledger").get_by_role("row").count() == 4


def test_a_group_that_loses_its_leader_is_seen_to_choose_another(look, group):
    panel = look.page.get_by_role("region", name="group ledger")
    panel.get_by_text("healthy").wait_for()
    told = panel.get_by_text(re.compile(r"replica \d leads")).inner_text()
    leader = int(re.search(r"replica (\d) leads", told)[1])
    os.kill(group._processes[0].agents.agents[leader].pid, signal.SIGSTOP)
    try:
        panel.get_by_text(re.compile(rf"replica [^{leader}] leads")).wait_for()
        panel.get_by_text(re.compile("does not answer|silent")).first.wait_for()
        panel.get_by_text("needs attention").wait_for()
    finally:
        os.kill(group._processes[0].agents.agents[leader].pid, signal.SIGCONT)
    panel.get_by_text("healthy").wait_for()


@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing(look, width):
    look.page.set_viewport_size({"width": width, "height": 900})
    look.page.get_by_role("region", name="group ledger").get_by_text("healthy").wait_for()
    assert look.violations() == []


def test_without_the_right_nothing_can_be_done(open_console, tmp_path):
    options = {"raft_configuration": FAST, "host": "127.0.0.1", "quiet": True, "protocol": "http"}
    with Deployment(name="open", uses=Ledger, stateful=True, replicas=3, workspace=str(tmp_path), **options) as group:
        look = open_console(group.port).go("state").sees("Read-only")
        look.page.get_by_role("region", name="group open").wait_for()
        assert look.page.get_by_role("button", name="Snapshot").count() == 0
