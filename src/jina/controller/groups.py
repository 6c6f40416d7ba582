"""Stateful groups in a namespace: what Kubernetes and the agents say of them, and steps that are carried out."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from jina.controller.api import Api, Conflict, Missing, Object, Refused, first
from jina.controller.decision import (
    Agent,
    Claim,
    Done,
    ListPeers,
    Pod,
    Remove,
    Renew,
    Replace,
    SetReplicas,
    Step,
    Transfer,
    View,
    Wait,
    next_step,
)
from jina.errors import DeadlineExceeded, JinaError, UsageError, nearest
from jina.replication.admin import Credentials, Peer, administer, agent_status, check_name

REPLICAS: Final = "jina/replicas"
"""The annotation of a StatefulSet with the number of replicas that is wanted; without it that of the set holds."""
STEP: Final = "jina/step"
"""The annotation with the step that was begun last. Writing it, in the version that was seen, is what allows a step."""
RESTART: Final = "jina/restarted-at"
"""The annotation of the pods' template that makes a roll without any other change."""
PEERS: Final = "RAFT_PEERS"
"""The variable, of a ConfigMap, with the addresses of all members."""
RAFT_PORT: Final = "raft"
_ASK: Final = 3.0
"""Seconds for an agent to tell its status."""
_ROUND: Final = 1.0
"""Seconds in which a member that has caught up gets what was committed at their begin, whatever is written meanwhile.

As many as it waits for its leader before it would take its place, unless the group is told otherwise.
"""
_AGAIN: Final = 0.05
"""Seconds between two questions in a round."""
_PAUSE: Final = 0.5
_ORDINAL: Final = re.compile(r"-(\d+)$")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Seen:
    """One observation: the view to decide on, and what is needed to act on it."""

    view: View
    version: str
    """Of the StatefulSet."""
    peers: Mapping[int, Peer]
    statuses: Mapping[int, Mapping[str, Any]]
    """By replica what its agent told, or `{"error": ...}`."""
    nodes: Mapping[int, str]
    stateful_set: Object


@dataclass
class StatefulGroup:
    """One StatefulSet whose pods are members of a group."""

    api: Api
    name: str
    step: str
    """What the user calls the Executor."""
    given_up: frozenset[str] = frozenset()
    _files: str = ""
    _keys: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Of its StatefulSet."""
        return self.api.path("apps/v1", "statefulsets", self.name)

    def close(self) -> None:
        """Delete copies of certificates."""
        if self._files:
            shutil.rmtree(self._files, ignore_errors=True)

    # --- observe ----------------------------------------------------------------------------------------------

    def observe(self) -> Seen:
        """What is there now. The set is read first: a step is refused where it has changed since."""
        stateful_set = self.api.get(self.path)
        spec, status = stateful_set["spec"], stateful_set.get("status") or {}
        labels = ",".join(f"{key}={text}" for key, text in spec["selector"]["matchLabels"].items())
        pods = _numbered(self.api.list(self.api.path("v1", "pods"), labels), self.name)
        claims = self._claims(spec)
        peers = self._peers(stateful_set, pods)
        statuses = _ask_all(peers)
        wanted = (stateful_set["metadata"].get("annotations") or {}).get(REPLICAS)
        revision = status.get("updateRevision") or ""
        seen = View(
            name=self.name,
            wanted=_count(wanted, self.name) if wanted is not None else spec["replicas"],
            replicas=spec["replicas"],
            revision=revision,
            settled=bool(revision) and status.get("observedGeneration") == stateful_set["metadata"].get("generation"),
            listed=self._listed(stateful_set),
            pods={number: _pod(one) for number, one in pods.items()},
            claims=claims,
            agents={number: agent for number, one in statuses.items() if (agent := _agent(one)) is not None},
            given_up=self.given_up,
        )

        def ask(numbers: Sequence[int]) -> dict[int, Agent | None]:
            statuses.update(_ask_all({number: peers[number] for number in numbers}))
            return {number: _agent(statuses[number]) for number in numbers}

        view = after_a_round(seen, ask)
        return Seen(
            view, stateful_set["metadata"]["resourceVersion"], peers, statuses,
            {number: one["spec"].get("nodeName", "") for number, one in pods.items()}, stateful_set,
        )  # fmt: skip

    def _claims(self, spec: Object) -> dict[int, tuple[Claim, ...]]:
        prefixes = [f"{one['metadata']['name']}-{self.name}-" for one in spec.get("volumeClaimTemplates") or ()]
        found: dict[int, tuple[Claim, ...]] = {}
        if not prefixes:
            return found
        for one in self.api.list(self.api.path("v1", "persistentvolumeclaims")):
            name = one["metadata"]["name"]
            prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
            if prefix is None or not name.removeprefix(prefix).isdecimal():
                continue
            number = int(name.removeprefix(prefix))
            claim = Claim(name, one["metadata"]["uid"], (one.get("status") or {}).get("phase") == "Lost")
            found[number] = (*found.get(number, ()), claim)
        return found

    def _listed(self, stateful_set: Object) -> int | None:
        name = _config_map(_main(stateful_set))
        if name is None:
            return None
        try:
            listed = (self.api.get(self.api.path("v1", "configmaps", name)).get("data") or {}).get(PEERS)
        except Missing:
            return None
        return None if listed is None else len(listed.split(","))

    def _peers(self, stateful_set: Object, pods: Mapping[int, Object]) -> dict[int, Peer]:
        group = _option(_main(stateful_set), "--name") or self.step
        check_name(group)
        found = {}
        for number, pod in pods.items():
            container = _main(pod)
            port = first(container.get("ports") or (), RAFT_PORT)
            address = (pod.get("status") or {}).get("podIP")
            if not address or port is None:
                continue
            host = f"[{address}]" if ":" in address else address
            found[number] = Peer(
                f"{host}:{port['containerPort']}", group, "", self._credentials(pod, container),
                self._secret_file(pod, container, "--raft-key-file").strip(),
            )  # fmt: skip
        return found

    def _secret_file(self, pod: Object, container: Object, option: str) -> str:
        """The content of a file that an option names, of the Secret that is mounted there; empty where it has none."""
        path = _option(container, option)
        if not path:
            return ""
        for mount in container.get("volumeMounts") or ():
            rest = path.removeprefix(mount["mountPath"].rstrip("/") + "/")
            volume = first(pod["spec"].get("volumes") or (), mount["name"]) or {}
            if rest == path or "secret" not in volume:
                continue
            items = volume["secret"].get("items") or ()
            key = next((item["key"] for item in items if item["path"] == rest), rest)
            return self._secret(volume["secret"]["secretName"], key)
        raise UsageError(
            f"{self.name}: {option} {path}: no Secret is mounted there, so that the agents cannot be asked",
            help="mount the Secret with the key of the group, as `jina export kubernetes` writes it",
        )

    def _secret(self, name: str, key: str) -> str:
        if (name, key) not in self._keys:
            data = self.api.get(self.api.path("v1", "secrets", name)).get("data") or {}
            if key not in data:
                raise UsageError(f"the Secret {name!r} in {self.api.namespace} has no {key!r}")
            self._keys[name, key] = b64decode(data[key]).decode()
        return self._keys[name, key]

    def _credentials(self, pod: Object, container: Object) -> Credentials | None:
        if not _option(container, "--ssl-certfile"):
            return None
        options = ("--ssl-certfile", "--ssl-keyfile", "--ssl-ca-certs")
        texts = [self._secret_file(pod, container, option) for option in options]
        self._files = self._files or tempfile.mkdtemp(prefix="jina-controller-")
        paths = [os.path.join(self._files, hashlib.sha256(text.encode()).hexdigest()) for text in texts]
        for path, text in zip(paths, texts, strict=True):
            with open(path, "w", encoding="utf-8", opener=_private) as file:
                file.write(text)
        return Credentials(paths[0], paths[1], paths[2] if texts[2] else None)

    # --- act --------------------------------------------------------------------------------------------------

    def carry_out(self, seen: Seen, step: Step) -> None:
        """Do what was decided on an observation.

        Raises `Conflict` where the set has changed since, `Refused` where a disruption budget does not allow it now,
        and what the agents answer.
        """
        note: Object = {"metadata": {"resourceVersion": seen.version, "annotations": {STEP: str(step)}}}
        if isinstance(step, SetReplicas):
            self.api.patch(self.path, {**note, "spec": {"replicas": step.count}})
            return
        self.api.patch(self.path, note)
        match step:
            case ListPeers(count):
                self._list_peers(seen.stateful_set, count)
            case Transfer(leader, to):
                # One that lost the leadership meanwhile would pass it on to who has it.
                if agent_status(seen.peers[leader], _ASK).get("role") == "Leader":
                    administer(self._admin(seen, leader), "transfer", replica=to)
            case Remove(member):
                leader = next(number for number, agent in seen.view.agents.items() if agent is seen.view.leader)
                administer(self._admin(seen, leader), "remove", id=member)
            case Replace() | Renew():
                self._end_pod(step, seen.view.name_of(step.number))

    def _end_pod(self, step: Replace | Renew, name: str) -> None:
        pod = self.api.path("v1", "pods", name)
        match step:
            case Replace(evict=True):
                self.api.evict(name, step.uid)
            case Replace():
                self.api.delete(pod, step.uid, step.version)
            case Renew():
                for claim in step.claims:
                    self.api.delete(self.api.path("v1", "persistentvolumeclaims", claim.name), claim.uid)
                if step.uid:
                    self.api.delete(pod, step.uid)

    @staticmethod
    def _admin(seen: Seen, number: int) -> Peer:
        """An agent, with what it has to be told of its group for more than a question."""
        return seen.peers[number]._replace(generation=str(seen.statuses[number].get("generation", "")))

    def _list_peers(self, stateful_set: Object, count: int) -> None:
        name = _config_map(_main(stateful_set))
        assert name is not None
        path = self.api.path("v1", "configmaps", name)
        config_map = self.api.get(path)
        pattern = config_map["data"][PEERS].split(",")[0]
        if not pattern.startswith(f"{self.name}-0."):
            raise UsageError(f"ConfigMap {name}: {PEERS}: {pattern!r} does not begin with {self.name}-0.")
        rest = pattern.removeprefix(f"{self.name}-0")
        listed = ",".join(f"{self.name}-{number}{rest}" for number in range(count))
        version = config_map["metadata"]["resourceVersion"]
        self.api.patch(path, {"metadata": {"resourceVersion": version}, "data": {PEERS: listed}})

    # --- what is wanted ---------------------------------------------------------------------------------------

    def want(self, replicas: int) -> None:
        """Note a number of replicas; who reconciles the group brings it there."""
        seen = self.api.get(self.path)
        listed = len(_option(_main(seen), "--raft-peers").split(","))
        if replicas > max(seen["spec"]["replicas"], listed) and self._listed(seen) is None:
            raise UsageError(
                f"{self.name}: its pods have the addresses of all members on their command lines, so that no pod can "
                "be added",
                help="export the Flow again and `jina kubernetes apply` the files",
            )
        self.api.patch(self.path, {"metadata": {"annotations": {REPLICAS: str(replicas)}}})

    def restart(self, now: str) -> bool:
        """Change the template, so that every pod is replaced; nothing where a roll is to be ended first."""
        view = self.observe().view
        if any(pod.revision != view.revision for pod in view.pods.values()):
            return False
        annotations = {"metadata": {"annotations": {RESTART: now}}}
        self.api.patch(self.path, {"spec": {"template": annotations}})
        return True

    def reconcile(self, seconds: float, say: Say) -> None:
        """Take one step after the other until it is as wanted; raises `DeadlineExceeded` with what it waited for."""
        deadline, last = time.monotonic() + seconds, ""
        while True:
            seen, step = self.advance(say)
            if isinstance(step, Done):
                return
            reason = str(step) if isinstance(step, Wait) else ""
            if reason and reason != last:
                say(f"{self.name}: waiting: {reason}")
                last = reason
            if time.monotonic() > deadline:
                raise DeadlineExceeded(
                    f"{self.name} is not as wanted after {seconds:g} s: {reason or step}{_advice(seen)}",
                    help="what was done holds; the same command goes on from there",
                )
            if reason:
                time.sleep(_PAUSE)

    def advance(self, say: Say) -> tuple[Seen, Step]:
        """Observe, and take one step; a step that could not be taken now is a `Wait`."""
        seen = self.observe()
        step = next_step(seen.view)
        if isinstance(step, Wait | Done):
            return seen, step
        try:
            self.carry_out(seen, step)
        except Conflict:
            return seen, Wait("it has changed meanwhile")
        except Refused as error:
            return seen, Wait(f"the disruption budget does not allow to {step}: {error}")
        except JinaError as error:
            if isinstance(error, UsageError) and not isinstance(step, Remove | Transfer):
                raise
            return seen, Wait(f"{step}: {error.message}")
        say(f"{self.name}: {step}")
        return seen, step


def _advice(seen: Seen) -> str:
    """What may be wrong where no agent can be asked, though pods run."""
    if seen.view.agents or not any(pod.running for pod in seen.view.pods.values()):
        return ""
    errors = [
        f"{seen.peers[number].address}: {one['error']}" for number, one in seen.statuses.items() if "error" in one
    ]
    where = errors[0] if errors else "no pod has an address"
    return (
        f"; no agent can be asked from here ({where}): call it in a pod of the cluster with the label "
        "app=jina-controller, such as kubectl exec deploy/jina-controller -- jina kubernetes status"
    )


# --- objects ------------------------------------------------------------------------------------------------------


def is_group(stateful_set: Object) -> bool:
    """Whether the pods of a StatefulSet are members of a group."""
    return first(_main(stateful_set).get("ports") or (), RAFT_PORT) is not None


def groups(api: Api, name: str | None = None) -> list[StatefulGroup]:
    """Those of a namespace: all, that of a StatefulSet, or those of the shards of a step.

    Raises `UsageError` where there is none of that name.
    """
    sets = api.list(api.path("apps/v1", "statefulsets"))
    if not sets:
        api.require_namespace()
    found = [
        StatefulGroup(api, one["metadata"]["name"], _step(one))
        for one in sets
        if is_group(one) and name in {None, one["metadata"]["name"], _step(one)}
    ]
    if found or name is None:
        return found
    if any(one["metadata"]["name"] == name for one in sets):
        raise UsageError(f"{name} is not a stateful step: its pods have no port {RAFT_PORT!r}, they share nothing")
    known = [one["metadata"]["name"] for one in sets if is_group(one)]
    near = nearest(name, known)
    instead = f"did you mean {near!r}?" if near else f"there are {', '.join(known)}" if known else "there are none"
    raise UsageError(f"there is no stateful step {name!r} in the namespace {api.namespace!r}", help=instead)


def _step(stateful_set: Object) -> str:
    labels = stateful_set["spec"]["template"]["metadata"].get("labels") or {}
    return str(labels.get("jina_deployment_name") or stateful_set["metadata"]["name"])


def _main(one: Object) -> Object:
    """The container with the agent, of a pod or of a set."""
    spec = one["spec"].get("template", one)["spec"]
    containers: Sequence[Object] = spec["containers"]
    with_agent = (item for item in containers if first(item.get("ports") or (), RAFT_PORT))
    return next(with_agent, containers[0])


def _option(container: Object, name: str) -> str:
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    return next((after for word, after in pairwise(words) if word == name), "")


def _config_map(container: Object) -> str | None:
    """The ConfigMap whose variables the container has, where it takes the addresses of the members from it."""
    if _option(container, "--raft-peers") != f"$({PEERS})":
        return None
    sources = [one["configMapRef"]["name"] for one in container.get("envFrom") or () if "configMapRef" in one]
    return sources[0] if sources else None


def _numbered(pods: Sequence[Object], name: str) -> dict[int, Object]:
    found = {}
    for pod in pods:
        match = _ORDINAL.search(pod["metadata"]["name"])
        if match and pod["metadata"]["name"] == f"{name}-{match[1]}":
            found[int(match[1])] = pod
    return found


def _pod(pod: Object) -> Pod:
    status = pod.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    name = _main(pod)["name"]
    container = first(status.get("containerStatuses") or (), name) or {}
    state = container.get("state") or {}
    ready = conditions.get("Ready", {}).get("status") == "True"
    return Pod(
        uid=pod["metadata"]["uid"],
        revision=(pod["metadata"].get("labels") or {}).get("controller-revision-hash", ""),
        ready=ready,
        running="running" in state,
        terminating="deletionTimestamp" in pod["metadata"],
        reason="" if ready else _reason(state, conditions),
        version=pod["metadata"]["resourceVersion"],
    )


def _reason(state: Object, conditions: Mapping[str, Object]) -> str:
    for kind in ("waiting", "terminated"):
        if kind in state:
            parts = (state[kind].get("reason"), state[kind].get("message"))
            return ": ".join(text.strip() for text in parts if text)
    scheduled = conditions.get("PodScheduled", {})
    return str(scheduled.get("message", "")) if scheduled.get("status") == "False" else ""


def after_a_round(view: View, ask: Callable[[Sequence[int]], Mapping[int, Agent | None]]) -> View:
    """A view whose members have had time for what was committed when it began: `ask` tells how some of them are now."""
    end = time.monotonic() + _ROUND
    while (behind := view.behind) and time.monotonic() < end:
        time.sleep(_AGAIN)
        view = view.later(ask(behind))
    return view


def _agent(status: Mapping[str, Any]) -> Agent | None:
    """What an agent said; None where it did not answer."""
    if "error" in status:
        return None
    diverged = f"its state differs since entry {status['diverged']}" if status.get("diverged") else ""
    return Agent(
        id=status["id"],
        term=status["term"],
        leads=status["role"] == "Leader",
        leader=status["leader"],
        serving=status["serving"],
        last=status["last"],
        applied=status["applied"],
        committed=status["committed"],
        members={member: kind == "Voter" for member, kind in (status["members"] or {}).items()},
        removed=status.get("removed", False),
        error=str(status.get("disk") or diverged),
    )


def _ask_all(peers: Mapping[int, Peer]) -> dict[int, dict[str, Any]]:
    if not peers:
        return {}
    with ThreadPoolExecutor(max_workers=len(peers)) as pool:
        return dict(zip(peers, pool.map(lambda peer: agent_status(peer, _ASK), peers.values()), strict=True))


def _count(text: str, name: str) -> int:
    if not text.isdecimal() or not int(text):
        raise UsageError(f"StatefulSet {name}: the annotation {REPLICAS}: {text!r} is not a number of replicas")
    return int(text)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


# --- files --------------------------------------------------------------------------------------------------------


def apply_objects(api: Api, objects: Sequence[Object], say: Say) -> list[StatefulGroup]:
    """Make the cluster what the objects say; gives the groups among them, which are to be reconciled then.

    The number of pods of a group that is there stays as it is, and so do the addresses that its members know: both
    follow the group.
    """
    found = []
    for one in objects:
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] == "StatefulSet" and is_group(one):
            _apply_group(api, one)
            found.append(StatefulGroup(api, one["metadata"]["name"], _step(one)))
        else:
            live = api.live(one) if one["kind"] == "ConfigMap" and PEERS in (one.get("data") or {}) else None
            kept = (live or {}).get("data") or {}
            api.apply({**one, "data": {**one["data"], PEERS: kept[PEERS]}} if PEERS in kept else one)
        say(f"applied {name}")
    return found


_TRIES: Final = 20


def _apply_group(api: Api, one: Object) -> None:
    wanted = one["spec"].get("replicas", 1)
    annotations = {**(one["metadata"].get("annotations") or {}), REPLICAS: str(wanted)}
    for attempt in range(_TRIES):
        live = api.live(one)
        metadata = {**one["metadata"], "annotations": annotations}
        spec = one["spec"]
        if live is not None:
            metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
            spec = {**spec, "replicas": live["spec"]["replicas"]}
        with contextlib.suppress(Conflict) if attempt < _TRIES - 1 else contextlib.nullcontext():
            api.apply({**one, "metadata": metadata, "spec": spec})
            return


def reconcile_for_ever(api: Api, seconds: float, say: Say, wait: Callable[[float], bool]) -> None:
    """The controller: look after every group of the namespace until `wait` says that it is to end.

    What one group cannot do now is said once, and does not keep it from the others.
    """
    last_lines: dict[str, str] = {}
    while not wait(seconds):
        for name, line in _once(api, say):
            if line and last_lines.get(name) != line:
                say(f"{name}: {line}")
            last_lines[name] = line


def _once(api: Api, say: Say) -> Iterator[tuple[str, str]]:
    try:
        found = groups(api)
    except JinaError as error:
        yield "controller", error.message
        return
    yield "controller", ""
    for group in found:
        try:
            _, step = group.advance(say)
            yield group.name, str(step)
        except (JinaError, Conflict, Refused) as error:
            yield group.name, str(error)
        finally:
            group.close()
