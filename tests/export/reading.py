"""Reads files of Kubernetes as clusters do: lines `VERSION<TAB>PATH` on standard input, a line for each complaint.

Runs in .cache/env-export, see scripts/env.sh export; the schemas of objects that operators bring are in its folder
`crd`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

CRD = Path(sys.executable).parents[1] / "crd"


def strict(schema):
    """A schema of a CustomResourceDefinition as JSON Schema that allows no unknown field."""
    if not isinstance(schema, dict):
        return [strict(one) for one in schema] if isinstance(schema, list) else schema
    made = {name: strict(one) for name, one in schema.items() if name != "format"}
    if made.pop("x-kubernetes-int-or-string", False):
        made["type"] = ["integer", "string"]
        made.pop("anyOf", None)
    open_ended = made.pop("x-kubernetes-preserve-unknown-fields", False)
    if isinstance(made.get("properties"), dict) and made.get("type") == "object" and not open_ended:
        made.setdefault("additionalProperties", False)
    return made


def schemas():
    found = {}
    for path in CRD.glob("*.yaml"):
        definition = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
        for version in definition["versions"]:
            name = f"{definition['group']}/{version['name']}", definition["names"]["kind"]
            found[name] = strict(version["schema"]["openAPIV3Schema"])
            found[name]["properties"]["metadata"] = {"type": "object"}
    return found


def main():
    known = schemas()
    assert len(known) >= 3, known.keys()
    count = 0
    for line in sys.stdin:
        version, path = line.rstrip("\n").split("\t")
        for one in yaml.load_all(Path(path).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
            count += 1
            try:
                schema = known.get((one["apiVersion"], one["kind"]))
                if schema is not None:
                    jsonschema.validate(one, schema)
                else:
                    kubernetes_validate.validate(one, version, strict=True)
            except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
                sys.stdout.write(f"{path}: {one['kind']}: {error.message}\n")
            except kubernetes_validate.SchemaNotFoundError as error:
                sys.stdout.write(f"{path}: {one['kind']}: {error}\n")
    sys.stdout.write(f"{count}\n")


if __name__ == "__main__":
    main()
