"""Values in, a model or one clear error out; the error names the place of the value in its file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import is_typeddict

from jina.config.base import Spec, aliases_of, canonical
from jina.config.models import ClientSpec, DeploymentSpec, FlowSpec, GatewaySpec
from jina.config.rules import WITHOUT_EFFECT, check
from jina.config.types import shown
from jina.errors import ConfigError, nearest

Path = tuple[str | int, ...]
"""Keys and positions from the outside in."""
MISSING: Final = object()
"""What `child` gives where there is nothing."""


def child(value: Any, step: str | int) -> Any:
    """What is in a mapping or list at `step`, else MISSING."""
    if isinstance(value, Mapping):
        return value.get(step, MISSING)
    if isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
        return value[step]
    return MISSING


def step_of(key: Any) -> str | int:
    """The step of a path that a mapping's key is."""
    return key if isinstance(key, int) and not isinstance(key, bool) else str(key)


def dotted(path: Path) -> str:
    """`("with", "port", 0)` as `with.port[0]`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


S = TypeVar("S", bound=Spec)
Locate = Callable[[Path], tuple[str, Path]]
"""From the path of an option in its spec to the place and the path that the user knows."""


def parse(model: type[S], values: Mapping[str, Any], where: str = "", locate: Locate | None = None) -> S:
    """`values` as a `model`, or a ConfigError that lists every problem: option, value, rule, nearest name.

    Old names are accepted (`jina.config.base`); None means that the option is left out, as in Jina 3. `where`
    begins the message and defaults to what the model describes, such as `Deployment`; `locate` gives places of
    another kind, such as the lines of a YAML file.

    Raises NotSupportedError for options that are not available yet.
    """
    words = _Words(model, locate or (lambda path: (f"{where or subject_of(model)}:", path)))
    given, spelled, problems = _renamed(model, values, words)
    spec = None
    try:
        spec = model.model_validate(given)
    except ValidationError as exc:
        problems += [words.of_error(error, given, spelled) for error in exc.errors(include_url=False)]
    if spec is None or problems:
        raise ConfigError(_joined(problems))
    broken = check(spec)
    if broken:
        messages = [words.at((spelled.get(problem.option, problem.option),), problem.text) for problem in broken]
        kinds = {problem.error for problem in broken}
        raise (kinds.pop() if len(kinds) == 1 else ConfigError)(_joined(messages))
    for option in WITHOUT_EFFECT.keys() & given.keys():
        if option in spec.non_defaults():
            from jina.observe.logs import get_logger  # not imported to read options that have an effect

            text = words.at((spelled.get(option, option),), f"without effect here: {WITHOUT_EFFECT[option]}")
            get_logger("jina.options").warning("%s", text)
    return spec


def subject_of(model: type[BaseModel]) -> str:
    """What the model describes, as users call it: `Deployment` for DeploymentSpec."""
    return model.__name__.removesuffix("Spec").removesuffix("Options")


def known_names(model: type[BaseModel]) -> list[str]:
    """Every name that the model takes: options, their YAML names, old names."""
    fields = model.model_fields
    made = getattr(model, "made_by_methods", ())
    return [*(field.alias or name for name, field in fields.items() if name not in made), *aliases_of(fields)]


class Owner(NamedTuple):
    """What an option describes, and where it is given."""

    spec: type[Spec]
    what: str
    calls: str
    """In Python."""
    yaml: str = ""
    """In the YAML of a Flow; empty where it is in none."""


_STEP: Final = Owner(DeploymentSpec, "a Deployment", "Deployment(...) or Flow.add(...)", "with one of the `executors`")
_GATEWAY: Final = Owner(GatewaySpec, "the gateway", "Flow(...) or Flow.config_gateway(...)", "in `with` or `gateway`")
_OWN_OF_GATEWAY: Final = _GATEWAY._replace(calls="Flow.config_gateway(...)", yaml="below `gateway`")
_FLOW: Final = Owner(FlowSpec, "a Flow", "Flow(...)", "in `with`")
_CLIENT: Final = Owner(ClientSpec, "a client", "Client(...)")


def owner_of_option(name: str, model: type[BaseModel]) -> Owner | None:
    """What an option describes that `model` does not have; None where nothing has it."""
    for owner in (_STEP, _GATEWAY, _FLOW, _CLIENT):
        spec = owner.spec
        option = canonical(name, spec.model_fields)
        if option in spec.model_fields and option not in spec.made_by_methods and not issubclass(model, spec):
            by_flow = option in FlowSpec.model_fields
            return _OWN_OF_GATEWAY if owner is _GATEWAY and not by_flow else owner
    return None


def elsewhere(name: str, model: type[BaseModel]) -> str:
    """Where an option that `model` does not have belongs; empty where nothing has it."""
    owner = owner_of_option(name, model)
    return f"of {owner.what}: {owner.calls}" if owner else ""


def unknown(name: str, known: Iterable[str], what: str = "option") -> str:
    """The words for an unknown name, with the nearest that exists."""
    names = list(known)
    near = nearest(name, names) or nearest(name.lower().replace("-", "_"), names)
    return f"unknown {what} {shown(name)}" + (f", did you mean '{near}'?" if near else "")


def _renamed(
    model: type[S], values: Mapping[str, Any], words: _Words
) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """The values under their options' names, how each was spelled, and what was given twice."""
    given: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    problems = []
    for name, value in values.items():
        option = canonical(name, model.model_fields)
        if value is None and name in known_names(model):
            continue
        if option in given:
            problems.append(words.at((name,), f"the same option as '{spelled[option]}'; give one of them"))
        given[option], spelled[option] = value, name
    return given, spelled, problems


def _joined(problems: list[str]) -> str:
    unique = list(dict.fromkeys(problems))
    return unique[0] if len(unique) == 1 else f"{len(unique)} problems:\n  " + "\n  ".join(unique)


_RULES: dict[str, str] = {
    "missing": "missing",
    "int_type": "{input} is not a whole number",
    "float_type": "{input} is not a number",
    "bool_type": "{input} is not true or false",
    "string_type": "{input} is not text",
    "list_type": "{input} is not a list",
    "dict_type": "{input} is not a mapping",
    "model_type": "{input} is not a mapping",
    "greater_than_equal": "{input} is less than {ge}",
    "greater_than": "{input} is not more than {gt}",
    "less_than_equal": "{input} is more than {le}",
    "less_than": "{input} is not less than {lt}",
    "value_error": "{error}",
}
"""pydantic's kind of error -> our words; the fields are those of its context and `input`, the value."""


class _Words:
    """Problems of one model in our own words."""

    def __init__(self, model: type[BaseModel], locate: Locate) -> None:
        self.model = model
        self.locate = locate

    def at(self, path: Path, text: str) -> str:
        """`text` behind the place and the path that the user knows."""
        place, full = self.locate(path)
        return _sentence(place, full, text)

    def of_error(self, error: ErrorDetails, given: Mapping[str, Any], spelled: Mapping[str, str]) -> str:
        """One of pydantic's errors."""
        path = _path_in(given, error["loc"])
        known_path = (spelled.get(str(path[0]), path[0]), *path[1:]) if path else path
        if error["type"] == "extra_forbidden":
            place, full = self.locate(known_path)
            name = str(full[-1])
            if len(path) == 1 and (owner := elsewhere(name, self.model)):
                return _sentence(place, full[:-1], f"unknown option {shown(name)}: it is an option {owner}")
            return _sentence(place, full[:-1], unknown(name, _names_at(self.model, path[:-1])))
        template = _RULES.get(error["type"])
        if template is None:
            return self.at(known_path, f"{shown(error['input'])}: {error['msg']}")
        return self.at(known_path, template.format(**{"input": shown(error["input"]), **error.get("ctx", {})}))


def _sentence(place: str, path: Path, text: str) -> str:
    return f"{place} {dotted(path)}: {text}".lstrip() if path else f"{place.rstrip(':')}: {text}"


def _path_in(given: Any, loc: Path) -> Path:
    """The steps of `loc` that lead through the values: pydantic puts names of validators between."""
    path: list[str | int] = []
    value: Any = given
    for step in loc:
        found = child(value, step)
        if found is not MISSING:
            value = found
        elif not isinstance(value, Mapping) or step != loc[-1]:
            continue
        path.append(step)
    return tuple(path)


def _names_at(model: type[BaseModel], path: Path) -> list[str]:
    """The names that may stand at `path`: those of the model, or of the typed mappings in one of its options."""
    names = known_names(model)
    for step in path:
        if isinstance(step, str) and step in model.model_fields:
            names = _names_in(model.model_fields[step].annotation)
    return names


def _names_in(annotation: Any) -> list[str]:
    if is_typeddict(annotation):
        return list(annotation.__annotations__)
    return [name for argument in get_args(annotation) for name in _names_in(argument)]
