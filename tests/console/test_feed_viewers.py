"""Who looks at a feed: asked only while somebody does, whole state and changes, slow viewers, too many of them."""

import asyncio
import json
import threading

import pytest

from jina.console.feed import LINGER, SLOW, Feed, Places, delta_events, pause
from jina.errors import Overloaded


class Clock:
    """Monotonic seconds, as a test says."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Supervisor:
    """Answers with a status whose state is the number of the question."""

    def __init__(self):
        self.asked = 0
        self.broken = False

    def __call__(self, question):
        assert threading.current_thread() is not threading.main_thread()
        self.asked += 1
        if self.broken:
            raise OSError("gone")
        status = {"name": "shop", "state": f"state {self.asked}", "processes": []}
        return json.dumps({"status": status, "observed": {}, "last": 0}).encode()


def events(data):
    """Name and content of an event."""
    name, content = data.decode().strip().split("\n")
    return name.removeprefix("event: "), json.loads(content.removeprefix("data: "))


def feed_of(supervisor, clock):
    return Feed(supervisor, interval=0.001, clock=clock, wall=lambda: 0.0)


async def until(condition, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.wait({asyncio.ensure_future(asyncio.to_thread(int))})


def test_nothing_is_asked_before_somebody_looks_and_soon_after_the_last_left():
    async def main():
        supervisor, clock = Supervisor(), Clock()
        feed = feed_of(supervisor, clock)
        assert not feed.running
        viewer = feed.enter(lambda: None)
        await until(lambda: supervisor.asked > 2)
        feed.leave(viewer)
        await until(lambda: supervisor.asked > 5)  # the page may be loaded again
        clock.now += LINGER
        await until(lambda: not feed.running)
        return supervisor, supervisor.asked

    supervisor, asked = asyncio.run(main())
    assert supervisor.asked == asked


def test_a_viewer_gets_the_state_and_then_what_changes():
    async def main():
        feed = feed_of(Supervisor(), Clock())
        viewer = feed.enter(lambda: None)
        messages = viewer.messages()
        found = [events(await anext(messages)) for _ in range(3)]
        feed.stop("the server stops")
        found += [events(one) async for one in messages][-1:]
        return found

    (first, state), (second, change), _, last = asyncio.run(main())
    assert (first, state["service"], state["viewers"]) == ("state", {"name": "shop", "state": "state 1"}, 1)
    assert second == "delta"
    assert change["service"].keys() == {"state"}
    assert "processes" not in change
    assert last == ("end", {"reason": "the server stops"})


def test_a_viewer_that_missed_changes_gets_the_whole_state():
    async def main():
        supervisor = Supervisor()
        feed = feed_of(supervisor, Clock())
        viewer = feed.enter(lambda: None)
        messages = viewer.messages()
        await anext(messages)  # and it does not ask for the next one yet
        asked = supervisor.asked
        await until(lambda: supervisor.asked > asked + 3)
        found = events(await anext(messages))
        feed.stop("")
        return found

    name, state = asyncio.run(main())
    assert name == "state"
    assert state["service"]["name"] == "shop"


def test_a_slow_viewer_is_dropped_and_the_others_stay():
    async def main():
        clock, dropped = Clock(), []
        feed = feed_of(Supervisor(), clock)
        slow = feed.enter(lambda: dropped.append("slow"))
        good = feed.enter(lambda: dropped.append("good"))
        takes, reads = good.messages(), slow.messages()
        await anext(reads)
        await anext(takes)
        clock.now += SLOW + 1
        async with asyncio.timeout(20):
            while not dropped:
                await anext(takes)
        found = events(await anext(takes))
        feed.stop("")
        return dropped, found

    dropped, (_, last) = asyncio.run(main())
    assert dropped == ["slow"]
    assert last["seq"] > 1


def test_a_supervisor_that_fails_is_told_and_asked_again():
    async def main():
        supervisor = Supervisor()
        feed = feed_of(supervisor, Clock())
        viewer = feed.enter(lambda: None)
        messages = viewer.messages()
        await anext(messages)
        supervisor.broken = True
        async with asyncio.timeout(20):
            while "problems" not in (broken := events(await anext(messages))[1]):
                pass
            supervisor.broken = False
            while (mended := events(await anext(messages))[1]).get("problems", ...) is not None:
                pass
        feed.stop("")
        return broken, mended

    broken, mended = asyncio.run(main())
    assert broken["problems"] == ["the service could not be asked: gone"]
    assert mended["problems"] is None


def test_places_are_bounded():
    places = Places(2)
    places.take()
    places.take()
    with pytest.raises(Overloaded):
        places.take()
    places.free()
    places.take()


def test_changes_of_many_processes_come_in_parts_of_which_the_last_has_the_time():
    changed = {f"a/rep-{number}": {"cpu": number} for number in range(250)}
    found = [events(part)[1] for part in delta_events({"time": 1.0, "processes": changed}).split(b"\n\n")[:-1]]
    assert [(len(one["processes"]), "time" in one) for one in found] == [(100, False), (100, False), (50, True)]
    assert {name: value for one in found for name, value in one["processes"].items()} == changed
    assert events(delta_events({"time": 1.0}))[1] == {"time": 1.0}


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, 1.0), (0.005, 1.0), (0.02, 2.0), (0.1, 10.0)])
def test_messages_of_large_services_are_rarer(seconds, expected):
    assert pause(1.0, seconds) == pytest.approx(expected)
