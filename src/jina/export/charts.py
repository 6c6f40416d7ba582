"""The Kubernetes files of an export as a chart of Helm, or with a `kustomization.yaml`: what users change stands apart.

Both are made of the objects of the plain export: what a chart renders with its own values is those objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, cast

from jina.errors import ConfigError
from jina.export.containers import Workload
from jina.export.kubernetes import RAFT_PEERS, Export, Object, documents
from jina.export.versions import containers_of
from jina.export.versions import shown as version_shown

Form = Literal["files", "kustomize", "helm"]
FORMS: Final = ("files", "kustomize", "helm")
_OPEN, _CLOSE = "\ue000", "\ue001"
"""Around what stands for something else: letters for private use, which YAML writes as they are."""
_NAMESPACE: Final = f"{_OPEN}namespace{_CLOSE}"
_MANY: Final = 2
"""Replicas from which on a workload has what one of a single pod does not need."""
_MARK: Final = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_VARIABLE: Final = "K8S_NAMESPACE_NAME"


def files_in(form: Form, export: Export) -> dict[str, str]:
    """Path -> text of the files of an export in one of the forms; raises `ConfigError` for another."""
    if form not in FORMS:
        raise ConfigError(f"form: {form!r} is not one of {', '.join(FORMS)}")
    if form == "files":
        return export.files()
    return Chart(export).files() if form == "helm" else _kustomized(export)


def _open(export: Export, least: int = 1) -> tuple[dict[str, Workload], dict[str, list[Object]]]:
    """The workloads and objects by path, with a mark wherever the namespace stands.

    Objects are those of at least so many replicas where a cluster may have as many as it wants.
    """
    cluster = replace(export.cluster, namespace=_NAMESPACE)
    workloads = export.workloads(cluster)
    many = {
        path: one if one.stateful else replace(one, replicas=max(one.replicas, least))
        for path, one in workloads.items()
    }
    return workloads, cluster.objects(many)


# --- Helm ---------------------------------------------------------------------------------------------------------


@dataclass
class Chart:
    """A chart; `values` are those of `values.yaml`, found while templates are made."""

    export: Export
    values: dict[str, Any] = field(default_factory=dict)
    blocks: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """That of the Flow or Deployment."""
        return self.export.name

    def files(self) -> dict[str, str]:
        """Path -> text."""
        workloads, made = _open(self.export, _MANY)
        # Steps first: values are in the order of the files, and the gateway is the last of those.
        templates = {f"templates/{path}": self._template(workloads[path], objects) for path, objects in made.items()}
        values = {"namespace": "", **_ordered(self.values)}
        return {
            "Chart.yaml": documents([self._about()]),
            "values.yaml": _VALUES + documents([values]),
            "values.schema.json": json.dumps(_schema(values), indent=2) + "\n",
            "templates/_helpers.tpl": _HELPERS.replace("CHART", self.name),
            **templates,
        }

    def _about(self) -> Object:
        return {
            "apiVersion": "v2",
            "name": self.name,
            "description": f"{self.name}, exported by jina",
            "type": "application",
            "version": "0.1.0",
            "kubeVersion": f">={version_shown(self.export.cluster.version)}.0-0",
        }

    def _template(self, workload: Workload, objects: list[Object]) -> str:
        section = _section(workload)
        base = section[:2]  # that of the step, for what its head has in common with it
        for one in objects:
            if one["kind"] == "ConfigMap" and one["metadata"]["name"] == f"{workload.name}-configmap":
                self._variables(one, base)
            elif one["kind"] in {"Deployment", "StatefulSet"}:
                self._workload(workload, one, section)
        return "---\n".join(self._document(workload, one, section) for one in objects)

    def _document(self, workload: Workload, one: Object, section: tuple[str, ...]) -> str:
        text = documents([one]).replace("{{", '{{ "{{" }}')
        text = re.sub(f"^( *)(- )?(?:([^:\n]+): )?{_MARK.pattern}$\n", self._block, text, flags=re.MULTILINE)
        text = _MARK.sub(lambda found: self.blocks[int(found[1])], text)
        namespace = f'{{{{ include "{self.name}.namespace" $ }}}}'
        quoted = namespace.replace(" }}", " | quote }}")
        text = re.sub(f"(?<=[:-] ){_NAMESPACE}$", lambda _: quoted, text, flags=re.MULTILINE)
        text = text.replace(_NAMESPACE, namespace)
        if one["kind"] == "PodDisruptionBudget" and self.export.cluster.only_for_many(workload):
            return f"{{{{- if gt (int {_expression((*section, 'replicas'))}) 1 }}}}\n{text}{{{{- end }}}}\n"
        return text

    def _block(self, found: re.Match[str]) -> str:
        """A line that is one mark, with the key or the dash before it: lines at the same depth."""
        spaces, dash, key, number = found.groups()
        block = self.blocks[int(number)]
        if not block.startswith("{{-"):
            return f"{spaces}{dash or ''}{key}: {block}\n" if key else f"{spaces}{dash or ''}{block}\n"
        return "".join(
            line if line.startswith("{{-") else f"{spaces}{line}" for line in block.splitlines(keepends=True)
        )

    def _mark(self, block: str) -> str:
        self.blocks.append(block)
        return f"{_OPEN}{len(self.blocks) - 1}{_CLOSE}"

    def _value(self, path: tuple[str, ...], value: Any) -> str | None:
        """The expression of a value; None where the value of this name is another one already."""
        place = self.values
        for part in path[:-1]:
            place = place.setdefault(part, {})
        return _expression(path) if place.setdefault(path[-1], value) == value else None

    def _variables(self, one: Object, section: tuple[str, ...]) -> None:
        """Those of a ConfigMap; the addresses of members of a group are none that users change."""
        fixed = {name: text for name, text in one["data"].items() if name == RAFT_PEERS}
        expression = self._value((*section, "env"), {k: v for k, v in one["data"].items() if k not in fixed})
        if not expression:
            return
        lines = f"{{{{- range $name, $value := {expression} }}}}\n"
        lines += "  {{ $name | toJson }}: {{ $value | toString | toJson }}\n{{- end }}\n"
        if fixed:
            one["data"] = self._mark(
                f"{{{{- if true }}}}\ndata:\n  {RAFT_PEERS}: {fixed[RAFT_PEERS]}\n{lines}{{{{- end }}}}\n"
            )
        else:
            one["data"] = self._mark(
                f"{{{{- if {expression} }}}}\ndata:\n{lines}{{{{- else }}}}\ndata: {{}}\n{{{{- end }}}}\n"
            )

    def _workload(self, workload: Workload, one: Object, section: tuple[str, ...]) -> None:
        """What users change of a Deployment or a StatefulSet."""
        template = one["spec"]["template"]
        annotations = template["metadata"].get("annotations", {})
        if "jina/configmap" in annotations and "env" in self._known(section[:2]):
            environment = _expression((*section[:2], "env"))
            if annotations["jina/configmap"] == self.export.cluster.digest(workload):
                annotations["jina/configmap"] = self._mark(f'"{{{{ {environment} | toJson | sha256sum | trunc 16 }}}}"')
        for container in containers_of(one):
            self._container(container, workload, section)
        if "replicas" in one["spec"] and not workload.stateful:
            self._replicas(one["spec"], workload, section)

    def _known(self, path: tuple[str, ...]) -> Mapping[str, Any]:
        place: Any = self.values
        for part in path:
            place = place.get(part, {})
        return cast("Mapping[str, Any]", place)

    def _container(self, container: Object, workload: Workload, section: tuple[str, ...]) -> None:
        names = {one.name: one for one in workload.containers}
        if container["name"] not in names:
            return  # from a patch
        main = container["name"] == workload.main.name
        own = section if main else (*section[:2], container["name"].replace("-", "_"))
        if expression := self._value((*own, "image"), container["image"]):
            container["image"] = self._mark(f"{{{{ {expression} | toJson }}}}")
        if not main:
            return
        resources = container.pop("resources", {})
        expression = self._value((*own, "resources"), resources)
        if expression:
            container["resources"] = self._mark(
                f"{{{{- with {expression} }}}}\nresources: {{{{ toJson . }}}}\n{{{{- end }}}}\n"
            )
        elif resources:
            container["resources"] = resources

    def _replicas(self, spec: Object, workload: Workload, section: tuple[str, ...]) -> None:
        if spec["replicas"] != max(workload.replicas, _MANY):
            return  # from a patch
        expression = self._value((*section, "replicas"), workload.replicas)
        if not expression:
            return
        spec["replicas"] = self._mark(f"{{{{ {expression} }}}}")
        many = f"{{{{- if gt (int {expression}) 1 }}}}"
        for container in spec["template"]["spec"]["containers"]:
            words = container.get("args", [])
            if workload.role == "WORKER" and container["name"] == workload.main.name and "--name" in words:
                at = words.index("--replicas") if "--replicas" in words else words.index("--name") + 2
                rest = words[at + 2 :] if "--replicas" in words else words[at:]
                pair = f"{many}\n- --replicas\n- {{{{ {expression} | toString | toJson }}}}\n{{{{- end }}}}\n"
                container["args"] = [*words[:at], self._mark(pair), *rest]
        if self.export.cluster.spread_by_itself(workload):
            pod = spec["template"]["spec"]
            apart = documents([{"topologySpreadConstraints": [self.export.cluster.apart(workload)]}])
            pod["topologySpreadConstraints"] = self._mark(f"{many}\n{apart}{{{{- end }}}}\n")


def _section(workload: Workload) -> tuple[str, ...]:
    if workload.role == "GATEWAY":
        return ("gateway",)
    return ("steps", workload.step, *(("head",) if workload.role == "HEAD" else ()))


def _expression(path: tuple[str, ...]) -> str:
    if all(map(_IDENTIFIER.fullmatch, path)):
        return ".".join(("$.Values", *path))
    return f"(index $.Values {' '.join(map(json.dumps, path))})"


_VALUES: Final = """\
# namespace: that of the release unless it is given.
# env: variables of the containers; pods are replaced when they change.
# A stateful step has no replicas here: a group grows and shrinks member by member.
"""
_HELPERS: Final = """\
{{- define "CHART.namespace" -}}
{{- .Values.namespace | default .Release.Namespace -}}
{{- end -}}
"""
_LEAVES: Final[Mapping[str, Object]] = {
    "namespace": {"type": "string", "pattern": "^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$"},
    "image": {"type": "string", "minLength": 1},
    "replicas": {"type": "integer", "minimum": 0},
    "resources": {"type": "object"},
    "env": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
}


def _ordered(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values in the order in which a reader looks for them: those of a section before sections within it."""
    leaves = {name: values[name] for name in _LEAVES if name in values}
    if "image" not in leaves:  # steps or gateways by name
        return {name: _ordered(value) for name, value in values.items()}
    return {**leaves, **{name: _ordered(value) for name, value in values.items() if name not in leaves}}


def _schema(values: Mapping[str, Any]) -> Object:
    """The schema of the values: a name that is misspelt is told, rather than without effect."""
    properties = {"global": {"type": "object"}, **_properties(values)}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "additionalProperties": False,
        "required": list(values),
        "properties": properties,
    }


def _properties(values: Mapping[str, Any], *, steps: bool = False) -> Object:
    return {
        name: _LEAVES[name]
        if name in _LEAVES and not steps
        else {
            "type": "object",
            "additionalProperties": False,
            "required": list(value),
            "properties": _properties(value, steps=name == "steps" and not steps),
        }
        for name, value in values.items()
    }


# --- Kustomize ----------------------------------------------------------------------------------------------------


def _kustomized(export: Export) -> dict[str, str]:
    """The files below `base`, and a `kustomization.yaml` above them that says what users change."""
    workloads, made = _open(export)
    about = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    everything = [one for objects in made.values() for one in objects]
    replacements = [item for one in everything for item in _closed(one, export.cluster.namespace)]
    counts = [
        {"name": workload.name, "count": workload.replicas}
        for path, workload in workloads.items()
        if not workload.stateful and any("replicas" in one.get("spec", {}) for one in made[path])
    ]
    images = dict.fromkeys(one["image"] for item in everything for one in containers_of(item))
    above = {
        **about,
        "namespace": export.cluster.namespace,
        "resources": ["base"],
        "images": [_image(image) for image in images],
        **({"replicas": counts} if counts else {}),
        **({"replacements": replacements} if replacements else {}),
    }
    return {
        "kustomization.yaml": documents([above]),
        "base/kustomization.yaml": documents([{**about, "resources": list(made)}]),
        **{f"base/{path}": documents(objects) for path, objects in made.items()},
    }


def _image(image: str) -> Object:
    name, _, digest = image.partition("@")
    base, colon, tag = name.rpartition(":")
    if digest:
        return {"name": base if colon and "/" not in tag else name, "digest": digest}
    if colon and "/" not in tag:
        return {"name": base, "newTag": tag}
    return {"name": image, "newName": image}


def _closed(one: Object, namespace: str) -> Iterator[Object]:
    """Put the namespace in place of its marks; gives what kustomize has to replace where that is another one."""
    one["metadata"]["namespace"] = namespace
    for container in containers_of(one):
        container["args"] = [word.replace(_NAMESPACE, f"$({_VARIABLE})") for word in container.get("args", [])]
        for item in container.get("env", []):
            if item["name"] == _VARIABLE and item.get("value") == _NAMESPACE:
                del item["value"]
                item["valueFrom"] = {"fieldRef": {"fieldPath": "metadata.namespace"}}
    labels = one.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})
    if labels.get("ns") == _NAMESPACE:
        del labels["ns"]
    for path, text in list(_marked(one, ())):
        place = one
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = text.replace(_NAMESPACE, namespace)
        parts = text.split(".")
        if _NAMESPACE in parts:
            options = {"options": {"delimiter": ".", "index": parts.index(_NAMESPACE)}} if len(parts) > 1 else {}
            select = {"kind": one["kind"], "name": one["metadata"]["name"]}
            target = {"select": select, "fieldPaths": [".".join(map(str, path))], **options}
            yield {"source": {**select, "fieldPath": "metadata.namespace"}, "targets": [target]}


def _marked(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _marked(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _marked(item, (*path, number))
    elif isinstance(value, str) and _NAMESPACE in value:
        yield path, value
