"""Versions of Kubernetes: what an older cluster lacks is replaced in exported objects, or refused with the version.

Versions are those from which on a field is there without a feature gate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from jina.errors import ConfigError

Object = dict[str, Any]
Version = tuple[int, int]
OLDEST: Final[Version] = (1, 20)
NEWEST: Final[Version] = (1, 37)
_FORM: Final = re.compile(r"v?(\d+)\.(\d+)(\.\d+)?", re.ASCII)


def version_of(text: str | None, place: str) -> Version:
    """The version that `k8s_version` names, the newest unless given; raises `ConfigError` for one that is not known."""
    if text is None:
        return NEWEST
    version = _numbers(text)
    if version is None or version < OLDEST or version > NEWEST:
        raise ConfigError(
            f"{place}: k8s_version: {text!r} is not a version from {shown(OLDEST)} to {shown(NEWEST)}",
            help="`kubectl version` prints that of the server",
        )
    return version


def _numbers(text: str) -> Version | None:
    found = _FORM.fullmatch(str(text))
    return (int(found[1]), int(found[2])) if found else None


def shown(version: Version) -> str:
    """A version as users write it."""
    return f"{version[0]}.{version[1]}"


# --- replaced -----------------------------------------------------------------------------------------------------


def adapt(objects: Sequence[Object], version: Version) -> None:
    """Replace in the objects what the version lacks and has another way for."""
    for below, change in _CHANGES:
        if version < below:
            for one in objects:
                change(one)


def _older_group(kind: str, group: str) -> Callable[[Object], None]:
    """The version of the API that such objects had before, with the same fields."""

    def change(one: Object) -> None:
        if one["kind"] == kind:
            one["apiVersion"] = group

    return change


def _keep_claims(one: Object) -> None:
    """Claims stay, whatever becomes of the StatefulSet."""
    if one["kind"] == "StatefulSet":
        one["spec"].pop("persistentVolumeClaimRetentionPolicy", None)


def _number_from_name(one: Object) -> None:
    """The number of a member from the name of its pod, by a shell: pods had no label with it."""
    for container in containers_of(one):
        words, variables = container.get("args", []), container.get("env", [])
        if "$(REPLICA_ID)" not in words:
            continue
        at = words.index("$(REPLICA_ID)")
        container["args"] = words[: at - 1] + words[at + 1 :]
        container["env"] = [item for item in variables if item["name"] != "REPLICA_ID"]
        program = f'exec "$@" {words[at - 1]} "${{K8S_POD_NAME##*-}}"'
        container["command"] = ["sh", "-c", program, "sh", *container["command"]]


def _sleep_by_program(one: Object) -> None:
    """A program of the image that waits: the kubelet could not."""
    for container in containers_of(one):
        hook = container.get("lifecycle", {}).get("preStop", {})
        if "sleep" in hook:
            container["lifecycle"]["preStop"] = {"exec": {"command": ["sleep", str(hook["sleep"]["seconds"])]}}


_CHANGES: Final[tuple[tuple[Version, Callable[[Object], None]], ...]] = (
    ((1, 21), _older_group("PodDisruptionBudget", "policy/v1beta1")),
    ((1, 23), _older_group("HorizontalPodAutoscaler", "autoscaling/v2beta2")),
    ((1, 27), _keep_claims),
    ((1, 28), _number_from_name),
    ((1, 30), _sleep_by_program),
)


def containers_of(one: Object) -> list[Object]:
    """The containers of the pods of an object."""
    template = one.get("spec", {}).get("template", {}) if one["kind"] in {"Deployment", "StatefulSet"} else {}
    return cast("list[Object]", template.get("spec", {}).get("containers", []))


# --- refused ------------------------------------------------------------------------------------------------------

_FIELDS: Final[Mapping[str, tuple[Version, str]]] = {
    "grpc": ((1, 24), "a gRPC probe"),
    "matchLabelKeys": ((1, 27), "matchLabelKeys"),
    "minDomains": ((1, 27), "minDomains"),
    "nodeAffinityPolicy": ((1, 26), "nodeAffinityPolicy"),
    "nodeTaintsPolicy": ((1, 26), "nodeTaintsPolicy"),
    "containerResource": ((1, 27), "a metric of one container"),
    "unhealthyPodEvictionPolicy": ((1, 27), "unhealthyPodEvictionPolicy"),
    "persistentVolumeClaimRetentionPolicy": ((1, 27), "persistentVolumeClaimRetentionPolicy"),
    "sleep": ((1, 30), "lifecycle.sleep"),
    "resourceClaims": ((1, 34), "a claim of devices"),
}
"""Fields of workloads and what stands beside them that an older cluster does not read."""
_TEXTS: Final[Mapping[str, tuple[Version, str]]] = {
    "ReadWriteOncePod": ((1, 27), "the access mode ReadWriteOncePod"),
}
_NAMES_OF_USERS: Final = frozenset(
    {"data", "labels", "matchLabels", "annotations", "nodeSelector", "limits", "requests"}
)
"""Mappings whose keys are no fields."""


def check(one: Object, version: Version, place: str) -> None:
    """Raise `ConfigError` for what the version lacks, of an object as it is to be written."""
    for path, needed, what in _found(one, ()):
        if version < needed:
            where = f"{one['kind']}/{one['metadata']['name']}: {'.'.join(path)}"
            raise ConfigError(
                f"{place}: kubernetes: {where}: {what} needs Kubernetes {shown(needed)}, and k8s_version is"
                f" {shown(version)}",
                help="export for a newer version, or leave out the option or the patch that asks for it",
            )


def _found(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Version, str]]:
    if isinstance(value, Mapping):
        if path[-2:-1] == ("initContainers",) and value.get("restartPolicy") == "Always":
            yield (*path, "restartPolicy"), (1, 29), "a sidecar that is an init container"
        for key, item in value.items():
            if key in _FIELDS:
                needed, what = _FIELDS[key]
                yield (*path, str(key)), needed, what
            if key not in _NAMES_OF_USERS:
                yield from _found(item, (*path, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _found(item, (*path, str(number)))
    elif isinstance(value, str) and value in _TEXTS and "accessModes" in path:
        needed, what = _TEXTS[value]
        yield path, needed, what
