"""The objects by which `jina kubernetes controller` runs in a namespace: one pod, and an account with what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from jina.export.kubernetes import CONTROLLER, Object, documents

_USER: Final = 10001
_RULES: Final[Sequence[tuple[str, Sequence[str], Sequence[str]]]] = (
    ("apps", ["statefulsets"], ["get", "list", "patch"]),
    ("", ["pods"], ["list", "delete"]),
    ("", ["pods/eviction"], ["create"]),
    ("", ["persistentvolumeclaims"], ["list", "delete"]),
    ("", ["configmaps"], ["get", "patch"]),
)
"""Group, resources and verbs; of Secrets it is told apart."""


def controller_file(namespace: str, image: str, secrets: Sequence[str] = ()) -> str:
    """The file for a namespace. `secrets` are those that it may read, with keys of groups; without names it is all."""
    labels = {"app": CONTROLLER, "app.kubernetes.io/managed-by": "jina"}

    def made(version: str, kind: str, **body: Any) -> Object:
        metadata = {"name": CONTROLLER, "namespace": namespace, "labels": labels}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}

    group = "rbac.authorization.k8s.io"
    rules: list[Object] = [{"apiGroups": [one], "resources": kinds, "verbs": verbs} for one, kinds, verbs in _RULES]
    named = {"resourceNames": list(secrets)} if secrets else {}
    rules.append({"apiGroups": [""], "resources": ["secrets"], **named, "verbs": ["get"]})
    return documents(
        [
            made("v1", "ServiceAccount"),
            made(f"{group}/v1", "Role", rules=rules),
            made(
                f"{group}/v1", "RoleBinding",
                roleRef={"apiGroup": group, "kind": "Role", "name": CONTROLLER},
                subjects=[{"kind": "ServiceAccount", "name": CONTROLLER, "namespace": namespace}],
            ),
            made("apps/v1", "Deployment", spec=_deployment(namespace, image, labels)),
        ]
    )  # fmt: skip


def _deployment(namespace: str, image: str, labels: Object) -> Object:
    security = {"runAsNonRoot": True, "runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER}
    container = {
        "name": "controller",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["jina"],
        "args": ["kubernetes", "controller", "--namespace", namespace],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - of the container
    }
    pod = {
        "serviceAccountName": CONTROLLER,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {**security, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory"}}],
    }
    return {
        "replicas": 1,
        # Two at a time would do no harm; one is enough.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": {"app": CONTROLLER}},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
