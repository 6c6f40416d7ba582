"""Which addresses a step has, out of DNS answers and EndpointSlices, and what becomes of each."""

import random

import msgspec
import pytest

from jina.routing.addresses import (
    MOST,
    Action,
    DnsAnswers,
    EndpointSlices,
    ListWatch,
    Roster,
    Service,
    events_of,
    read_event,
    read_list,
    read_status,
    service_of,
)

# --- what becomes of an address ------------------------------------------------------------------------------


def test_an_address_is_dialled_and_served_once_it_answers():
    roster = Roster()
    assert roster.found(["a"]) == [Action("dial", "a")]
    assert roster.serving == []
    assert roster.answered("a") == [Action("serve", "a")]
    assert roster.answered("a") == []
    assert roster.found(["a"]) == []
    assert roster.serving == ["a"]


def test_one_that_is_gone_drains_and_is_closed_when_it_is_idle():
    roster = roster_of("a", "b")
    assert roster.found(["a"]) == [Action("drain", "b")]
    assert roster.serving == ["a"]
    assert roster.idle("b") == [Action("close", "b")]
    assert roster.found(["a", "b"]) == [Action("dial", "b")]


def test_one_that_comes_back_while_it_drains_is_not_dialled_again():
    roster = roster_of("a", "b")
    roster.found(["a"])
    assert roster.found(["a", "b"]) == [Action("serve", "b")]
    assert roster.idle("b") == []


def test_one_that_never_answered_is_given_up():
    roster = roster_of("a")
    roster.found(["a", "b"])
    assert roster.found(["a"]) == [Action("give_up", "b")]
    assert roster.answered("b") == []


def test_those_that_are_gone_go_on_until_another_one_answers():
    roster = roster_of("a", "b")
    assert roster.found(["c"]) == [Action("dial", "c")]
    assert (roster.serving, roster.replaced) == (["a", "b"], ["a", "b"])
    assert roster.lost("b") == [Action("drain", "b")]
    assert roster.lost("c") == []
    assert roster.answered("c") == [Action("serve", "c"), Action("drain", "a")]
    assert roster.serving == ["c"]


def test_without_any_address_nothing_goes_on():
    roster = roster_of("a", "b")
    assert sorted(roster.found([])) == [Action("drain", "a"), Action("drain", "b")]
    assert roster.serving == []


def roster_of(*addresses):
    roster = Roster()
    roster.found(addresses)
    for address in addresses:
        roster.answered(address)
    return roster


class Model:
    """What the actions make of connections: each of them has to fit what was done before."""

    def __init__(self):
        self.dialling, self.serving, self.draining = set(), set(), set()

    def do(self, actions):
        for verb, address in actions:
            if verb == "dial":
                assert address not in self.dialling | self.serving | self.draining
                self.dialling.add(address)
            elif verb == "give_up":
                self.dialling.remove(address)
            elif verb == "serve":
                (self.dialling if address in self.dialling else self.draining).remove(address)
                self.serving.add(address)
            elif verb == "drain":
                self.serving.remove(address)
                self.draining.add(address)
            else:
                self.draining.remove(address)


@pytest.mark.parametrize("seed", range(80))
def test_any_order_of_events_serves_what_is_there(seed):
    """After each event: what answers is served, once, and what is gone only while nothing else is."""
    dice, roster, model = random.Random(seed), Roster(), Model()
    wanted = set()
    for _ in range(200):
        event = dice.choice(["found", "answered", "answered", "lost", "idle"])
        if event == "found":
            wanted = set(dice.sample("abcdefgh", dice.randint(0, 5)))
            model.do(roster.found(sorted(wanted)))
        elif event == "answered":
            model.do(roster.answered(dice.choice("abcdefgh")))
        elif event == "lost":
            model.do(roster.lost(dice.choice("abcdefgh")))
        else:
            model.do(roster.idle(dice.choice("abcdefgh")))
        assert set(roster.serving) == model.serving
        assert wanted <= model.dialling | model.serving
        assert model.dialling <= wanted
        if model.serving & wanted or not wanted:
            assert model.serving <= wanted
    while model.dialling:
        model.do(roster.answered(min(model.dialling)))
    while model.draining:
        model.do(roster.idle(min(model.draining)))
    assert model.serving == wanted


# --- DNS -----------------------------------------------------------------------------------------------------


def test_answers_without_addresses_change_nothing():
    answers = DnsAnswers(80)
    assert list(answers.answered(["10.0.0.1", "fd00::1", "10.0.0.1"])) == ["10.0.0.1:80", "[fd00::1]:80"]
    assert list(answers.answered([])) == ["10.0.0.1:80", "[fd00::1]:80"]


def test_an_address_is_gone_when_it_is_missing_three_times_in_a_row():
    answers = DnsAnswers(80)
    answers.answered(["a", "b"])
    assert set(answers.answered(["b"])) == {"a:80", "b:80"}
    assert set(answers.answered(["a", "b"])) == {"a:80", "b:80"}
    assert set(answers.answered(["b"])) == {"a:80", "b:80"}
    assert set(answers.answered(["b"])) == {"a:80", "b:80"}
    assert set(answers.answered(["b", "c"])) == {"b:80", "c:80"}


def test_a_server_that_tells_eight_of_ten_each_time_changes_nothing():
    dice, answers = random.Random(7), DnsAnswers(80)
    hosts = [f"10.0.0.{number}" for number in range(10)]
    answers.answered(hosts)
    changes = sum(len(answers.answered(dice.sample(hosts, 8))) < 10 for _ in range(60))
    assert changes < 20  # with the last answer alone it were 60


def test_the_number_of_addresses_is_bounded():
    hosts = [f"10.0.{number // 250}.{number % 250}" for number in range(MOST + 50)]
    assert len(DnsAnswers(80).answered(hosts)) == MOST


# --- EndpointSlices ------------------------------------------------------------------------------------------


def endpoint(ip, pod="", *, uid=None, **conditions):
    made = {"addresses": [ip], "conditions": conditions}
    if pod:
        made["targetRef"] = {"kind": "Pod", "name": pod, "uid": pod if uid is None else uid}
    return made


def slice_of(name, *endpoints, ports=(8080,), family="IPv4", version="5"):
    return {
        "metadata": {"name": name, "resourceVersion": version, "labels": {"kubernetes.io/service-name": "echo"}},
        "addressType": family,
        "endpoints": list(endpoints) or None,
        "ports": [{"name": f"p{port}", "port": port, "protocol": "TCP"} for port in ports],
    }


def slices_of(*slices, port=8080):
    found = EndpointSlices(port)
    body = {"metadata": {"resourceVersion": "5"}, "items": list(slices)}
    found.listed(read_list(msgspec.json.encode(body)).items)
    return found


def event_of(kind, content):
    return read_event(msgspec.json.encode({"type": kind, "object": content}))


READY = {"ready": True, "serving": True, "terminating": False}
LEAVING = {"ready": False, "serving": True, "terminating": True}
DEAD = {"ready": False, "serving": False, "terminating": True}
UNREADY = {"ready": False, "serving": False, "terminating": False}


@pytest.mark.parametrize(
    ("conditions", "gets_requests"),
    [
        (READY, True),
        ({}, True),  # what is not said is true
        ({"ready": None}, True),
        (UNREADY, False),
        ({"ready": False}, False),
        (DEAD, False),
        (LEAVING, False),
        ({"ready": True, "serving": True, "terminating": True}, False),  # publishNotReadyAddresses
    ],
)
def test_conditions(conditions, gets_requests):
    found = slices_of(slice_of("s", endpoint("10.0.0.1", "one", **conditions), endpoint("10.0.0.2", "two", **READY)))
    expected = {"10.0.0.1:8080": "one", "10.0.0.2:8080": "two"} if gets_requests else {"10.0.0.2:8080": "two"}
    assert found.addresses == expected


def test_where_all_terminate_those_that_serve_get_requests():
    found = slices_of(slice_of("s", endpoint("10.0.0.1", "one", **LEAVING), endpoint("10.0.0.2", "two", **DEAD)))
    assert found.addresses == {"10.0.0.1:8080": "one"}
    assert slices_of(slice_of("s", endpoint("10.0.0.2", "two", **DEAD))).addresses == {}


def test_slices_of_a_service_are_merged():
    found = slices_of(slice_of("a", endpoint("10.0.0.1", "one")), slice_of("b", endpoint("10.0.0.2", "two")))
    assert found.addresses == {"10.0.0.1:8080": "one", "10.0.0.2:8080": "two"}
    assert found.changed(event_of("MODIFIED", slice_of("b", endpoint("10.0.0.3", "three"))))
    assert found.addresses == {"10.0.0.1:8080": "one", "10.0.0.3:8080": "three"}
    assert found.changed(event_of("DELETED", slice_of("a")))
    assert not found.changed(event_of("DELETED", slice_of("a")))
    assert found.changed(event_of("ADDED", slice_of("c", endpoint("10.0.0.4"))))
    assert found.addresses == {"10.0.0.3:8080": "three", "10.0.0.4:8080": ""}
    assert not found.changed(event_of("BOOKMARK", {"metadata": {"resourceVersion": "9"}}))


def test_a_pod_that_moves_between_slices_counts_once():
    twice = [slice_of("a", endpoint("10.0.0.1", "one")), slice_of("b", endpoint("10.0.0.1", "one", **LEAVING))]
    other = slice_of("c", endpoint("10.0.0.2", "two"))
    assert slices_of(*twice, other).addresses == {"10.0.0.2:8080": "two"}
    assert slices_of(*reversed(twice), other).addresses == {"10.0.0.2:8080": "two"}


def test_an_address_that_another_pod_has_now_is_ready():
    old = slice_of("a", endpoint("10.0.0.1", "one", **LEAVING))
    new = slice_of("b", endpoint("10.0.0.1", "two"))
    assert slices_of(old, new).addresses == {"10.0.0.1:8080": "two"}


def test_of_two_families_each_pod_counts_once():
    four = slice_of("four", endpoint("10.0.0.1", "one"), endpoint("10.0.0.2", "two"))
    six = slice_of("six", endpoint("fd00::1", "one"), endpoint("fd00::3", "three"), family="IPv6")
    assert slices_of(six, four).addresses == {
        "10.0.0.1:8080": "one",
        "10.0.0.2:8080": "two",
        "[fd00::3]:8080": "three",
    }


@pytest.mark.parametrize(
    ("ports", "port"), [((8080,), 8080), ((9090,), 9090), ((9090, 8080), 8080), ((9090, 9091), None), ((), None)]
)
def test_the_port_is_that_number_or_the_only_one(ports, port):
    found = slices_of(slice_of("s", endpoint("10.0.0.1"), ports=ports))
    assert list(found.addresses) == ([f"10.0.0.1:{port}"] if port else [])
    assert found.ports == sorted(ports)


def test_what_the_fields_lack_is_no_failure():
    bare = {"metadata": {"name": "s"}, "addressType": "IPv4", "ports": None, "endpoints": None}
    assert slices_of(bare, {"metadata": {"name": "t"}}).addresses == {}
    assert read_list(b'{"items": null}').items is None
    with pytest.raises(msgspec.DecodeError):
        read_list(b'{"items": 5}')


def test_events_and_failures_are_read():
    gone = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}
    lines = [msgspec.json.encode({"type": "ERROR", "object": gone}), b"", b"\r"]
    (event,) = events_of(lines)
    assert (event.kind, event.content.code, event.content.reason) == ("ERROR", 410, "Expired")
    assert read_status(b"not json").message == "not json"


@pytest.mark.parametrize("seed", range(40))
def test_any_order_of_events_ends_with_what_the_cluster_has(seed):
    """A watcher that misses some events, is told others twice and lists again has the addresses of the last state."""
    dice = random.Random(seed)
    cluster, found = {}, EndpointSlices(8080)
    for step in range(80):
        name = dice.choice("abc")
        if name in cluster and dice.random() < 0.3:
            event = event_of("DELETED", cluster.pop(name))
        else:
            kind = "MODIFIED" if name in cluster else "ADDED"
            pods = [(number, dice.choice([READY, LEAVING, DEAD, UNREADY])) for number in dice.sample(range(30), 5)]
            made = [endpoint(f"10.{ord(name)}.0.{n}", f"{name}{n}", **how) for n, how in pods]
            cluster[name] = slice_of(name, *made, version=str(step))
            event = event_of(kind, cluster[name])
        if dice.random() < 0.9:
            found.changed(event)
            if dice.random() < 0.1:
                found.changed(event)
        if dice.random() < 0.1 or step == 79:
            found.listed(read_list(msgspec.json.encode({"items": list(cluster.values())})).items)
    endpoints = [one for made in cluster.values() for one in made["endpoints"]]
    ready = [one for one in endpoints if one["conditions"] == READY]
    leaving = [one for one in endpoints if one["conditions"] == LEAVING]
    assert set(found.addresses) == {f"{one['addresses'][0]}:8080" for one in ready or leaving}


# --- list and watch ------------------------------------------------------------------------------------------


def middle(low, high):
    return (low + high) / 2


def test_a_list_then_watches_from_its_version():
    cycle = ListWatch(middle)
    assert cycle.next()[:3] == (False, "0", 0.0)
    cycle.listed("7")
    assert cycle.next() == (True, "7", 0.0, 60.0)
    cycle.heard("9")
    cycle.ended(60.0)
    assert cycle.next()[:3] == (True, "9", 0.0)
    cycle.ended(60.0)
    assert cycle.next()[:3] == (True, "9", 0.0)


def test_a_version_that_is_gone_needs_a_list_that_is_not_out_of_a_cache():
    cycle = ListWatch(middle)
    cycle.listed("7")
    cycle.next()
    cycle.heard("8")
    cycle.expired()
    assert cycle.next()[:3] == (False, "", 0.0)


def test_failures_are_repeated_after_growing_pauses():
    cycle = ListWatch(lambda _, high: high)
    waits = []
    for _ in range(12):
        cycle.failed()
        waits.append(cycle.next().wait)
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == 10.0
    cycle.heard("1")
    assert cycle.next().wait == 0.0


def test_the_server_may_ask_for_a_pause():
    cycle = ListWatch(middle)
    cycle.failed(retry_after=4.0)
    assert cycle.next().wait == 4.0
    cycle.failed(retry_after=1e9)
    assert cycle.next().wait == 10.0


def test_watches_that_end_at_once_are_no_hot_loop():
    cycle = ListWatch(lambda _, high: high)
    cycle.listed("7")
    waits = []
    for _ in range(5):
        waits.append(cycle.next().wait)
        cycle.ended(0.01)
    assert waits == [0.0, 0.1, 0.2, 0.4, 0.8]


def test_lists_that_are_outdated_at_once_are_no_hot_loop():
    cycle = ListWatch(lambda _, high: high)
    waits = []
    for _ in range(4):
        cycle.next()
        cycle.listed("7")
        waits.append(cycle.next().wait)
        cycle.expired()
    assert waits == [0.0, 0.1, 0.2, 0.4]


@pytest.mark.parametrize("seed", range(30))
def test_no_order_of_failures_asks_more_than_the_pauses_allow(seed):
    """In virtual time, with a server that fails as it likes: few requests a minute while nothing is heard."""
    dice = random.Random(seed)
    cycle, now, asked = ListWatch(dice.uniform), 0.0, 0
    while now < 120.0:
        ask = cycle.next()
        now += ask.wait
        asked += 1
        outcome = dice.choice(["failed", "expired", "ended"]) if ask.watch else dice.choice(["failed", "listed"])
        if outcome == "failed":
            cycle.failed()
        elif outcome == "expired":
            cycle.expired()
        elif outcome == "ended":
            cycle.ended(0.0)
        else:
            cycle.listed("5")
    assert asked < 80


# --- names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("echo", Service("echo")),
        ("echo.shop", Service("echo", "shop")),
        ("echo.shop.svc", Service("echo", "shop")),
        ("echo.shop.svc.cluster.local.", Service("echo", "shop")),
        ("pod-0.echo.shop.svc.cluster.local", None),
        ("Echo", None),
        ("echo.example.com", None),
        ("", None),
    ],
)
def test_names_of_services(host, service):
    assert service_of(host) == service


@pytest.mark.parametrize("host", ["echo", "echo.shop", "10.0.0.1", "localhost"])
def test_only_names_that_are_spelled_out_are_services_for_sure(host):
    assert service_of(host, spelled_out=True) is None
    assert service_of("echo.shop.svc", spelled_out=True) == Service("echo", "shop")
