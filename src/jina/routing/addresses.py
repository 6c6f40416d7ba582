"""Which addresses a step has, as DNS or Kubernetes tells it, what becomes of each, and when to ask again (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

MOST: Final = 1000
"""Replicas that are reached behind one name; further ones get no requests."""
Addresses = Mapping[str, str]
"""`host:port` -> what it is called there, such as the name of a pod."""


def authority(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# --- what becomes of an address ------------------------------------------------------------------------------

Verb = Literal["dial", "give_up", "serve", "drain", "close"]


class Action(NamedTuple):
    """What to do about an address.

    `dial`: connect, and say `answered`. `give_up`: stop dialling. `serve`: send requests there. `drain`: send no new
    ones, and say `idle` when none is left. `close`: end the connection.
    """

    verb: Verb
    address: str


class Roster:
    """The addresses behind one name, each dialled, serving or draining.

    Those that are gone go on serving while none of the others answers yet, as where a name is given to other machines:
    they drain when the first of those serves. `lost` ends that for one whose connection is lost.
    """

    def __init__(self) -> None:
        self._states: dict[str, Literal["dialled", "serving", "draining"]] = {}
        self._wanted: frozenset[str] = frozenset()

    @property
    def serving(self) -> list[str]:
        """Those that get requests."""
        return [address for address, state in self._states.items() if state == "serving"]

    @property
    def leaving(self) -> list[str]:
        """Those that drain, and those of `replaced`: what `idle` and `lost` are for."""
        draining = [address for address, state in self._states.items() if state == "draining"]
        return [*draining, *self.replaced]

    @property
    def replaced(self) -> list[str]:
        """Those that are gone, and get requests because none of the others answers yet."""
        return [address for address in self.serving if address not in self._wanted]

    def found(self, addresses: Collection[str]) -> list[Action]:
        """These are the addresses now."""
        self._wanted = frozenset(addresses)
        actions = [Action("give_up", one) for one, state in self._states.items() if self._is_over(one, state)]
        for action in actions:
            del self._states[action.address]
        for address in addresses:
            state = self._states.get(address)
            if state is None:
                self._states[address] = "dialled"
                actions.append(Action("dial", address))
            elif state == "draining":
                self._states[address] = "serving"
                actions.append(Action("serve", address))
        return [*actions, *self._drained()]

    def answered(self, address: str) -> list[Action]:
        """The address that was dialled would serve requests."""
        if self._states.get(address) != "dialled":
            return []
        self._states[address] = "serving"
        return [Action("serve", address), *self._drained()]

    def lost(self, address: str) -> list[Action]:
        """The connection to an address of `replaced` is lost."""
        if address in self._wanted or self._states.get(address) != "serving":
            return []
        self._states[address] = "draining"
        return [Action("drain", address)]

    def idle(self, address: str) -> list[Action]:
        """No request is left at an address that drains."""
        if self._states.get(address) != "draining":
            return []
        del self._states[address]
        return [Action("close", address)]

    def _is_over(self, address: str, state: str) -> bool:
        return state == "dialled" and address not in self._wanted

    def _drained(self) -> list[Action]:
        if self._wanted and not any(self._states[address] == "serving" for address in self._wanted):
            return []
        gone = self.replaced
        self._states.update(dict.fromkeys(gone, "draining"))
        return [Action("drain", address) for address in gone]


# --- DNS -----------------------------------------------------------------------------------------------------


class DnsAnswers:
    """The addresses of a name, out of the answers of a resolver.

    A failure, or an answer without addresses, leaves them as they are. One that is missing counts until it is so in
    `absences` answers in a row: some servers tell a part of many addresses each time.
    """

    def __init__(self, port: int, absences: int = 3) -> None:
        self._port = port
        self._absences = absences
        self._missing: dict[str, int] = {}

    def answered(self, hosts: Iterable[str]) -> Addresses:
        """The addresses from now on."""
        found = dict.fromkeys(authority(host, self._port) for host in hosts)
        if found:
            missing = {one: count + 1 for one, count in self._missing.items() if one not in found}
            kept = {one: count for one, count in missing.items() if count < self._absences}
            self._missing = {**kept, **dict.fromkeys(sorted(found)[:MOST], 0)}
        return dict.fromkeys(self._missing, "")


# --- Kubernetes ----------------------------------------------------------------------------------------------
# https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/
# https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes


class Conditions(msgspec.Struct):
    """Of an endpoint; what is not said of `ready` is true, of `serving` it is `ready`, of `terminating` false."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Reference(msgspec.Struct):
    """The pod of an endpoint."""

    name: str = ""
    uid: str = ""


class Endpoint(msgspec.Struct):
    """One pod; its addresses are interchangeable."""

    addresses: list[str] = []
    conditions: Conditions | None = None
    targetRef: Reference | None = None  # noqa: N815 - as in the JSON


class Port(msgspec.Struct):
    """A port of all endpoints of a slice."""

    name: str | None = None
    port: int | None = None


class Metadata(msgspec.Struct):
    """Of an object or a list of them."""

    name: str = ""
    resourceVersion: str = ""  # noqa: N815 - as in the JSON


class EndpointSlice(msgspec.Struct):
    """Some of the endpoints of a Service."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)
    addressType: str = "IPv4"  # noqa: N815 - as in the JSON
    endpoints: list[Endpoint] | None = None
    ports: list[Port] | None = None


class EndpointSliceList(msgspec.Struct):
    """The answer to a list."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)
    items: list[EndpointSlice] | None = None


class Status(msgspec.Struct):
    """What the API server says of a failure."""

    code: int = 0
    reason: str = ""
    message: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    object: msgspec.Raw = msgspec.Raw(b"{}")


class Event(NamedTuple):
    """One line of a watch; `content` is a slice, of a BOOKMARK with a version alone, or what an ERROR says."""

    kind: str
    content: EndpointSlice | Status


_read_list = msgspec.json.Decoder(EndpointSliceList).decode
_read_event = msgspec.json.Decoder(_Event).decode
_read_slice = msgspec.json.Decoder(EndpointSlice).decode
_read_status = msgspec.json.Decoder(Status).decode


def read_list(body: bytes) -> EndpointSliceList:
    """The answer to a list; raises `msgspec.DecodeError` for anything else."""
    return _read_list(body)


def read_event(line: bytes) -> Event:
    """A line of a watch; raises `msgspec.DecodeError` for anything else."""
    event = _read_event(line)
    read: Callable[[Any], Any] = _read_status if event.type == "ERROR" else _read_slice
    return Event(event.type, read(event.object))


def read_status(body: bytes) -> Status:
    """What the body of a refusal says; empty where it is no Status."""
    try:
        return _read_status(body)
    except msgspec.DecodeError:
        return Status(message=body[:200].decode("utf-8", "replace"))


_READY, _LEAVING = 0, 1
_FAMILIES: Final = {"IPv4": 0, "IPv6": 1, "FQDN": 2}


class EndpointSlices:
    """The slices of a Service, and the addresses in them that get requests.

    Those are the endpoints that are ready and not terminating. Where there is none, those that terminate and still
    serve are better than none, as for kube-proxy. A pod that is in several slices counts once: those of a Service with
    two families have each pod twice.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._slices: dict[str, EndpointSlice] = {}

    def listed(self, slices: Iterable[EndpointSlice]) -> None:
        """These are all."""
        self._slices = {one.metadata.name: one for one in slices}

    def changed(self, event: Event) -> bool:
        """A slice came, changed or went; returns whether that may have changed the addresses."""
        content = event.content
        if not isinstance(content, EndpointSlice):
            return False
        if event.kind == "DELETED":
            return self._slices.pop(content.metadata.name, None) is not None
        if event.kind in {"ADDED", "MODIFIED"}:
            self._slices[content.metadata.name] = content
            return True
        return False

    @property
    def addresses(self) -> Addresses:
        """By `host:port`: the name of the pod."""
        ready: dict[str, str] = {}
        leaving: dict[str, str] = {}
        for state, address, name in self._endpoints():
            (ready if state == _READY else leaving)[address] = name
        return dict(sorted((ready or leaving).items())[:MOST])

    @property
    def ports(self) -> list[int]:
        """All ports that the slices name, to say so where none of them is the one that is meant."""
        return sorted({port.port for one in self._slices.values() for port in one.ports or () if port.port is not None})

    def _endpoints(self) -> Iterator[tuple[int, str, str]]:
        """State, address and name of each pod that serves, once."""
        pods: dict[str, tuple[int, int, str, str]] = {}
        for one in self._slices.values():
            port = self._port_of(one)
            family = _FAMILIES.get(one.addressType)
            if port is None or family is None:
                continue
            for endpoint in one.endpoints or ():
                if not endpoint.addresses:
                    continue
                address = authority(endpoint.addresses[0], port)
                pod = endpoint.targetRef or Reference()
                # A pod that terminates does so for good, so that an older slice that says otherwise is outdated.
                entry = (family, -_state(endpoint.conditions or Conditions()), address, pod.name)
                key = pod.uid or address
                pods[key] = _merged(pods[key], entry) if key in pods else entry
        for _, state, address, name in pods.values():
            if -state <= _LEAVING:
                yield -state, address, name

    def _port_of(self, one: EndpointSlice) -> int | None:
        """The port that is meant: that number, else the only one, since a Service may show it as another number."""
        numbers = [port.port for port in one.ports or () if port.port is not None]
        if self._port in numbers:
            return self._port
        return numbers[0] if len(numbers) == 1 else None


_ABSENT = 2


def _state(conditions: Conditions) -> int:
    ready = conditions.ready is not False
    serving = ready if conditions.serving is None else conditions.serving
    if conditions.terminating:
        return _LEAVING if serving else _ABSENT
    return _READY if ready else _ABSENT


def _merged(one: tuple[int, int, str, str], other: tuple[int, int, str, str]) -> tuple[int, int, str, str]:
    """Of two entries of a pod: the address of the preferred family, and the state that is nearer to its end."""
    first = min(one, other)
    return (first[0], min(one[1], other[1]), first[2], first[3])


class Ask(NamedTuple):
    """The next request to the API server: after `wait` seconds, and for at most `seconds` where it is a watch."""

    watch: bool
    version: str
    wait: float
    seconds: float = 0.0


_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_SHORT = 1.0
"""Seconds below which a watch that told nothing counts as a failure: some proxies end each one at once."""


class ListWatch:
    """The order of lists and watches: a list, then watches from its version on, each where the last one ended.

    A version that the server no longer has (410) needs a list again, and then not out of its cache. What fails is
    repeated after a pause that doubles up to 10 seconds; `uniform(a, b)` spreads that over clients. `seconds` is how
    long a watch lasts, about: it shows that the connection lives.
    """

    def __init__(self, uniform: Callable[[float, float], float], seconds: float = 60.0) -> None:
        self._uniform = uniform
        self._seconds = seconds
        self._version = "0"
        self._is_listed = False
        self._heard = False
        self._failures = 0
        self._asked_for = 0.0

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._failures

    def next(self) -> Ask:
        """What to ask now."""
        wait = max(self._pause(), self._asked_for)
        self._asked_for = 0.0
        self._heard = False
        if not self._is_listed:
            return Ask(watch=False, version=self._version, wait=wait)
        seconds = self._uniform(0.8 * self._seconds, 1.2 * self._seconds)
        return Ask(watch=True, version=self._version, wait=wait, seconds=seconds)

    def listed(self, version: str) -> None:
        """A list came; versions are compared by nobody but the server."""
        self._is_listed, self._version = True, version

    def heard(self, version: str) -> None:
        """An event or a bookmark came."""
        self._version = version or self._version
        self._heard = True
        self._failures = 0

    def ended(self, lasted: float) -> None:
        """The server ended a watch, as it does after its time."""
        if not self._heard:
            self._failures = 0 if lasted >= _SHORT else self._failures + 1

    def expired(self) -> None:
        """The server no longer has the version, or does not have it yet."""
        self._is_listed, self._version = False, ""
        if not self._heard:
            self._failures += 1

    def failed(self, retry_after: float = 0.0) -> None:
        """The request, or the connection, failed; the server may have asked for a pause."""
        self._failures += 1
        self._asked_for = min(retry_after, _LONGEST_PAUSE)

    def _pause(self) -> float:
        if not self._failures:
            return 0.0
        pause = min(_FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10), _LONGEST_PAUSE)
        return self._uniform(pause / 2, pause)


_SERVICE = re.compile(
    r"([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)(?:\.([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)(\.svc(?:\.[\w.-]+)?)?)?"
)


class Service(NamedTuple):
    """A Service of Kubernetes; without a namespace in that of who asks."""

    name: str
    namespace: str = ""


def service_of(host: str, *, spelled_out: bool = False) -> Service | None:
    """The Service that `name`, `name.namespace` or `name.namespace.svc.DOMAIN` is; None for another name.

    With `spelled_out` only the last form counts, which no host outside a cluster has.
    """
    found = _SERVICE.fullmatch(host.rstrip("."))
    if found is None or (spelled_out and not found[3]):
        return None
    return Service(found[1], found[2] or "")


def events_of(lines: Sequence[bytes]) -> Iterator[Event]:
    """The events in the lines of a watch; raises `msgspec.DecodeError`."""
    for line in lines:
        if line.strip():
            yield read_event(line)
