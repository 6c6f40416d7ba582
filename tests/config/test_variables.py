import pytest

from jina.config import load
from jina.errors import ConfigError


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    values = {
        "P": "5",
        "TEXT": "abc",
        "FLAG": "true",
        "LIST": "[1, 2]",
        "OBJECT": '{"1": "2"}',
        "EMPTY": "",
        "QUOTED": "'1'",
        "ZERO": "007",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("UNDEF", raising=False)


def filled(text, context=None):
    return load({"v": text}, context).data["v"]


def problem(source, context=None):
    with pytest.raises(ConfigError) as caught:
        load(source, context)
    return str(caught.value)


@pytest.mark.parametrize("form", ["${{ ENV.%s }}", "${{ env.%s }}", "${{ENV.%s}}", "${{env.%s}}", "$%s"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("P", 5), ("TEXT", "abc"), ("FLAG", True), ("LIST", [1, 2]), ("EMPTY", None), ("QUOTED", "1"), ("ZERO", "007")],
)
def test_the_environment_is_read_with_types(form, name, value):
    assert filled(form % name) == value
    assert type(filled(form % name)) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x${{ ENV.P }}y", "x5y"),
        ("${{ ENV.OBJECT }}", '{"1": "2"}'),
        ("-${{ ENV.OBJECT }}", '-{"1": "2"}'),
        ("${{ ENV.OBJECT }}${{ ENV.P }}", '{"1": "2"}5'),
        ("${{ ENV.P }}${{ ENV.P }}", 55),
        ("a $TEXT b", "a abc b"),
        ("http://h:${{ENV.P}}/$TEXT", "http://h:5/abc"),
        ("$UNDEF", "$UNDEF"),
        ("a$UNDEF${{ ENV.P }}", "a$UNDEF5"),
        ("costs 5$", "costs 5$"),
        ("^a$", "^a$"),
        ("${P}", "${P}"),
    ],
)
def test_variables_inside_text(text, value):
    assert filled(text) == value


@pytest.mark.parametrize("form", ["${{ CONTEXT.%s }}", "${{ context.%s }}", "${{ %s }}", "${{%s}}"])
@pytest.mark.parametrize(
    ("name", "value"), [("a", 1), ("b", "x"), ("c", 7), ("d.e[1]", 3), ("d", {"e": [2, 3]}), ("f", None)]
)
def test_the_context(form, name, value):
    context = {"a": 1, "b": "x", "c": "7", "d": {"e": [2, 3]}, "f": None}
    assert filled(form % name, context) == value


def test_references_inside_the_file():
    text = """
a: {b: [{c: 1}, two], d: "${{ENV.P}}"}
here: "${{ root.a.b[0].c }}"
there: ${{root.a.b[1]}}
text: n-${{root.a.d}}
nested:
  x: 3
  y: ${{this.x}}
  z: {w: "${{ this.v }}", v: q}
later: ${{root.nested.y}}
whole: ${{root.a.b}}
on: ${{root.nested.x}}
"""
    data = load(text).data
    assert (data["here"], data["there"], data["text"], data["later"]) == (1, "two", "n-5", 3)
    assert data["nested"] == {"x": 3, "y": 3, "z": {"w": "q", "v": "q"}}
    assert data["whole"] == [{"c": 1}, "two"]
    assert data["on"] == 3


def test_a_reference_keeps_the_type_of_what_it_refers_to():
    assert load("a: '1'\nb: ${{root.a}}").data["b"] == "1"


def test_what_variables_hold_is_not_searched_again(monkeypatch):
    monkeypatch.setenv("EVIL", "${{ ENV.P }} $P")
    assert filled("${{ ENV.EVIL }}") == "${{ ENV.P }} $P"
    assert filled("x ${{ ENV.EVIL }}") == "x ${{ ENV.P }} $P"


def test_nothing_is_filled_in_without_substitute():
    assert load({"v": "${{ ENV.P }}"}, substitute=False).data == {"v": "${{ ENV.P }}"}


def test_the_mapping_of_the_caller_stays_as_it_is():
    given = {"a": ["${{ ENV.P }}"]}
    assert load(given).data == {"a": [5]}
    assert given == {"a": ["${{ ENV.P }}"]}


def test_unknown_names_name_the_line_and_the_nearest(monkeypatch):
    monkeypatch.setenv("MODEL_FOLDER", "x")
    assert problem("a: 1\nb:\n  - x\n  - ${{ ENV.MODEL_FOLDR }}") == (
        "YAML text:4 b[1]: ${{ ENV.MODEL_FOLDR }}: the environment has no variable 'MODEL_FOLDR',"
        " did you mean 'MODEL_FOLDER'?"
    )
    assert problem("a: ${{ modl }}", {"model": 1}) == (
        "YAML text:1 a: ${{ modl }}: the context has no value 'modl', did you mean 'model'?"
    )
    assert problem("a: ${{ x }}") == "YAML text:1 a: ${{ x }}: the context has no value 'x'"
    assert problem("first: 1\na: ${{ root.frst }}") == (
        "YAML text:2 a: ${{ root.frst }}: the file has no value 'frst', did you mean 'first'?"
    )
    assert "the file has no value '3'" in problem("l: [1]\na: ${{ root.l[3] }}")


def test_references_in_a_circle_are_refused():
    assert problem("a: ${{ root.b }}\nb: ${{ this.a }}") == (
        "YAML text:1 a: refers to itself: YAML text:1 a -> YAML text:2 b -> YAML text:1 a"
    )
    assert "refers to itself" in problem("a: {b: '${{ root.a }}'}")


def test_a_mapping_cannot_be_part_of_a_text():
    assert "is not a plain value and cannot be part of a text" in problem("a: {b: 1}\nc: x${{ root.a }}")
