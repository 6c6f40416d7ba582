"""The dashboard asks for metrics that there are, with labels that they have."""

import json
import re

from scripts.reference_metrics import metric_families
from tests.cli.running import call

NAME = re.compile(r"\b((?:jina|process)_[a-z_]+)(\{[^}]*\})?")
BY = re.compile(r"by \(([^)]*)\)")
CLAUSE = re.compile(r"\b(?:by|without) \([^)]*\)")


def known():
    """Sample name -> its labels, of a gateway and of a worker."""
    found = {}
    for family in metric_families():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def dashboard():
    done = call("export", "grafana")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_each_query_names_metrics_and_labels_that_exist():
    samples, asked = known(), set()
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            names = [match.group(1) for match in NAME.finditer(CLAUSE.sub("", expression))]
            assert names, expression
            for name in names:
                assert name in samples, f"{panel['title']}: no metric {name}"
            labels = set().union(*(samples[name] for name in names)) | {"job", "instance"}
            wanted = {word.strip() for group in BY.findall(expression) for word in group.split(",")}
            wanted |= set(re.findall(r"([a-z_]+)=~?\"", expression))
            wanted |= set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert wanted <= labels, f"{panel['title']}: no label {wanted - labels}"
            asked.update(names)
    assert len(asked) > 15


def test_variables_ask_for_metrics_that_exist_too():
    variables = {one["name"]: one for one in dashboard()["templating"]["list"]}
    assert set(variables) == {"datasource", "job", "process"}
    for name in ("job", "process"):
        assert NAME.search(variables[name]["definition"]).group(1) in known()


def test_panels_do_not_overlap():
    cells = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in cells, panel["title"]
                cells.add((x, y))
                assert x < 24
