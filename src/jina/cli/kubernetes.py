"""`jina kubernetes`: stateful groups in a cluster, one step at a time, by a command or by a controller."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jina.cli.raft import count_of, replica
from jina.errors import UsageError

if TYPE_CHECKING:
    from jina.controller.api import Api, Object
    from jina.controller.groups import Seen, StatefulGroup


def _seconds(text: str) -> float:
    """A span of time, for `argparse`."""
    from jina.config.types import duration

    seconds = duration(text, 1.0)
    if not seconds or seconds < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a span of time, such as 30s or 10min")
    return seconds


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--namespace", metavar="NAME", help="where the objects are [default: of the context]")
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig [default: the current one]")
    parser.add_argument(
        "--kubeconfig", metavar="FILE", help="[default: the pod's account, else $KUBECONFIG, else ~/.kube/config]"
    )


def _add_group(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="the step or its StatefulSet [default: the only one]")
    _add_cluster(parser)
    _add_timeout(parser)


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=_seconds, default=600.0, metavar="TIME", help="how long to wait for a group [default: 10min]"
    )


@contextlib.contextmanager
def _cluster(options: argparse.Namespace) -> Iterator[Api]:
    from jina.controller.api import Api

    api = Api(options.namespace, options.kubeconfig, options.context)
    try:
        yield api
    finally:
        api.close()


@contextlib.contextmanager
def _chosen(options: argparse.Namespace) -> Iterator[list[StatefulGroup]]:
    """The groups that are meant: of one step, of all its shards."""
    from jina.controller.groups import groups

    with _cluster(options) as api:
        found = groups(api, options.name)
        if not found:
            raise UsageError(f"there is no stateful step in the namespace {api.namespace!r}")
        if len({group.step for group in found}) > 1:
            names = ", ".join(group.name for group in found)
            raise UsageError(f"there are several stateful steps in {api.namespace!r}: {names}", help="name one of them")
        try:
            yield found
        finally:
            for group in found:
                group.close()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# --- commands -----------------------------------------------------------------------------------------------------


def add_kubernetes_apply(parser: argparse.ArgumentParser) -> None:
    """Which folder, and where to."""
    parser.add_argument("folder", metavar="FOLDER", help="what `jina export kubernetes` wrote, or one file of it")
    _add_cluster(parser)
    _add_timeout(parser)


def run_kubernetes_apply(options: argparse.Namespace) -> int:
    """Apply all, then grow, shrink and roll the stateful groups; 0 when these are as in the files."""
    from jina.controller.groups import apply_objects

    objects = _objects(options.folder)
    namespaces = sorted({space for one in objects if (space := one["metadata"].get("namespace"))})
    if len(namespaces) > 1:
        raise UsageError(
            f"{options.folder}: its objects are in the namespaces {', '.join(namespaces)}", help="apply one at a time"
        )
    if options.namespace and namespaces and options.namespace != namespaces[0]:
        raise UsageError(
            f"--namespace {options.namespace}: the objects in {options.folder} are in {namespaces[0]!r}",
            help="export them with --k8s-namespace",
        )
    options.namespace = namespaces[0] if namespaces else options.namespace
    with _cluster(options) as api:
        if not any(one["kind"] == "Namespace" for one in objects):
            api.require_namespace()
        found = apply_objects(api, objects, _say)
        _reconcile(found, options.timeout)
    return 0


def _objects(place: str) -> list[Object]:
    """The objects in the files of a folder, namespaces and what others refer to first."""
    import yaml

    root = Path(place)
    if not root.exists():
        raise UsageError(f"there is no {place}", help=f"jina export kubernetes CONFIG {place}")
    files = sorted(path for path in root.rglob("*") if path.suffix in {".yml", ".yaml"}) if root.is_dir() else [root]
    found: list[Object] = []
    for path in files:
        try:
            found += [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one is not None]
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is not readable YAML: {error}") from None
        if bad := [one for one in found if not _is_object(one)]:
            raise UsageError(f"{path}: {str(bad[0])[:60]!r} is not an object of Kubernetes: it has no kind or no name")
    if not found:
        raise UsageError(f"{place} has no objects of Kubernetes: no .yml file in it has any")
    kinds = ("Namespace", "ServiceAccount", "Secret", "ConfigMap")
    return sorted(found, key=lambda one: kinds.index(one["kind"]) if one["kind"] in kinds else len(kinds))


def _is_object(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and bool(one.get("kind") and one.get("apiVersion"))
        and isinstance(one.get("metadata"), dict)
        and bool(one["metadata"].get("name"))
    )


def _reconcile(found: Sequence[StatefulGroup], seconds: float) -> None:
    for group in found:
        try:
            group.reconcile(seconds, _say)
            _say(f"{group.name}: all members are up to date")
        finally:
            group.close()


def add_kubernetes_status(parser: argparse.ArgumentParser) -> None:
    """Which groups, and in which form."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="a step or its StatefulSet [default: all]")
    _add_cluster(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON array instead of text")


def run_kubernetes_status(options: argparse.Namespace) -> int:
    """Ask and print; 0 if every group is as wanted, else 1."""
    import msgspec

    from jina.controller.decision import Done, next_step
    from jina.controller.groups import groups

    reports = []
    with _cluster(options) as api:
        for group in groups(api, options.name):
            try:
                seen = group.observe()
            finally:
                group.close()
            reports.append(_report(seen, next_step(seen.view)))
    if options.json:
        print(msgspec.json.encode(reports).decode())
    elif reports:
        print("\n".join(_text(report) for report in reports))
    else:
        print("there is no stateful step", file=sys.stderr)
    return 0 if reports and all(report["next"] == str(Done()) for report in reports) else 1


def _report(seen: Seen, step: object) -> dict[str, Any]:
    view = seen.view
    leader = view.leader
    members = dict(leader.members) if leader else {}
    numbers = sorted({*view.pods, *range(view.replicas), *(int(member.partition("-")[0]) for member in members)})
    return {
        "group": view.name,
        "wanted": view.wanted,
        "replicas": view.replicas,
        "leader": next((number for number, agent in view.agents.items() if agent is leader), None),
        "next": str(step),
        "members": [_member(seen, number, members) for number in numbers],
    }


def _member(seen: Seen, number: int, members: dict[str, bool]) -> dict[str, Any]:
    view = seen.view
    pod, agent, leader = view.pods.get(number), view.agents.get(number), view.leader
    role = "-" if agent is None else "Leader" if agent is leader else "Follower"
    return {
        "replica": number,
        "pod": view.name_of(number) if pod else None,
        "node": seen.nodes.get(number) or None,
        "ready": bool(pod and pod.ready),
        "current": bool(pod and pod.revision == view.revision),
        "role": role,
        "votes": bool(agent and members.get(agent.id)),
        "id": agent.id if agent else next((one for one in members if one.startswith(f"{number}-")), None),
        "lag": max(0, leader.committed - agent.applied) if agent and leader else None,
        "trouble": view.trouble(number) or None,
    }


_HEADS = ("replica", "pod", "node", "ready", "template", "role", "vote", "lag", "id")


def _text(report: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [_HEADS]
    for one in report["members"]:
        cells = (
            one["replica"], one["pod"] or "-", one["node"] or "-", "yes" if one["ready"] else "no",
            "current" if one["current"] else "old" if one["pod"] else "-", one["role"],
            "yes" if one["votes"] else "no", "-" if one["lag"] is None else one["lag"], one["id"] or "-",
        )  # fmt: skip
        rows.append(tuple(map(str, cells)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    well = sum(one["trouble"] is None for one in report["members"])
    lines = [f"{report['group']}: {well} of {report['wanted']} replicas are well; next: {report['next']}"]
    lines += ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines)


def add_kubernetes_scale(parser: argparse.ArgumentParser) -> None:
    """Which group, and how many replicas."""
    _add_group(parser)
    parser.add_argument("--replicas", type=count_of, required=True, metavar="N", help="how many members it shall have")


def run_kubernetes_scale(options: argparse.Namespace) -> int:
    """Note the number and bring the group there; 0 when it has so many members that are up to date."""
    if options.replicas % 2 == 0:
        _say(f"{options.replicas} replicas can lose no more than {options.replicas - 1} can")
    with _chosen(options) as found:
        for group in found:
            group.want(options.replicas)
        _reconcile(found, options.timeout)
    return 0


def add_kubernetes_roll(parser: argparse.ArgumentParser) -> None:
    """Which group."""
    _add_group(parser)


def run_kubernetes_roll(options: argparse.Namespace) -> int:
    """Replace the pods of an earlier template, or all where there are none; 0 when all are new and up to date."""
    from datetime import UTC, datetime

    with _chosen(options) as found:
        for group in found:
            group.restart(datetime.now(UTC).isoformat(timespec="seconds"))
        _reconcile(found, options.timeout)
    return 0


def add_kubernetes_recover(parser: argparse.ArgumentParser) -> None:
    """Which replica of which group."""
    parser.add_argument("replica", type=replica, metavar="REPLICA", help="the number of the replica")
    _add_group(parser)
    parser.add_argument("--yes", action="store_true", help="do it; without this option, only print what would be done")


def run_kubernetes_recover(options: argparse.Namespace) -> int:
    """Give a replica an empty volume; 0 when it is a member again, 1 when the plan was only printed."""
    with _chosen(options) as found:
        if len(found) > 1:
            names = ", ".join(group.name for group in found)
            raise UsageError(f"{options.name} has several shards: {names}", help="name one of them")
        (group,) = found
        view = group.observe().view
        if not 0 <= options.replica < view.replicas:
            raise UsageError(f"{group.name} has the replicas 0 to {view.replicas - 1}, not {options.replica}")
        trouble, name = view.trouble(options.replica), view.name_of(options.replica)
        if not trouble:
            print(f"{name} is well: nothing is to be recovered")
            return 0
        claims = view.claims.get(options.replica, ())
        print(f"{trouble}; it gets an empty volume in place of {', '.join(one.name for one in claims) or 'none'}")
        if not options.yes:
            print("nothing was done: say --yes")
            return 1
        group.given_up = frozenset(one.uid for one in claims)
        _reconcile(found, options.timeout)
    return 0


def add_kubernetes_controller(parser: argparse.ArgumentParser) -> None:
    """Where, and how often."""
    _add_cluster(parser)
    parser.add_argument(
        "--interval", type=_seconds, default=2.0, metavar="TIME", help="pause between two looks [default: 2s]"
    )


def run_kubernetes_controller(options: argparse.Namespace) -> int:
    """Look after all groups of the namespace until a signal ends it."""
    import signal
    import threading

    from jina.controller.groups import reconcile_for_ever

    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    with _cluster(options) as api:
        _say(f"looking after the stateful groups in {api.namespace}")
        reconcile_for_ever(api, options.interval, _say, over.wait)
    return 0
