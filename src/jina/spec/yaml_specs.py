"""Specs from YAML and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from jina.spec.base import Spec
from jina.spec.parsing import parse, subject_of
from jina.spec.paths import Path
from jina.spec.yaml_io import Loaded, load
from jina.spec.yaml_options import (
    Ignored,
    check_executors,
    check_kind,
    executor_options,
    locator,
    mapping_in,
    options_below_with,
    overridden,
)
from jina.spec.yaml_text import plain_options, yaml_text

S = TypeVar("S", bound=Spec)


def load_spec(
    model: type[S],
    source: Any,
    *,
    context: Mapping[str, Any] | None = None,
    substitute: bool = True,
    overrides: Mapping[str, Any] | None = None,
    search_paths: Sequence[str] = (),
) -> S:
    """Read a `model` from YAML; see `jina.spec.yaml_io.load` for what `source` may be.

    `overrides` are options that count instead of the file's. Errors name file, line and option
    (`deployment.yml:7 with.replicas: 0 is less than 1`). The spec's `folder` is that of the file.

    Raises ConfigError, BadConfigSource where the source is missing or describes something else.
    """
    loaded = load(source, context, substitute=substitute, search_paths=search_paths)
    return spec_of(model, loaded, overrides, context=context, substitute=substitute)


def spec_of(
    model: type[S],
    loaded: Loaded,
    overrides: Mapping[str, Any] | None = None,
    *,
    context: Mapping[str, Any] | None = None,
    substitute: bool = True,
) -> S:
    """The spec that a configuration read already describes; see `load_spec`.

    `context` and `substitute` are for the files that the YAML of a Flow names.
    """
    if "executors" in model.model_fields:
        from jina.spec.yaml_flow import Files, flow_of

        return cast("S", flow_of(loaded, overrides, Files(context, substitute=substitute)))
    data, origin = mapping_in(loaded), loaded.origin
    check_kind(model, data, origin)
    ignored = Ignored(origin)
    below = "jtype" not in model.model_fields
    values = options_below_with(model, data, ignored) if below else executor_options(model, data, ignored)
    prefix: Path = ("with",) if below else ()
    if below:
        check_executors(values, origin, prefix)
    ignored.tell()
    locate = locator(origin, prefix, subject_of(model), overrides)
    return parse(model, overridden(model, values, overrides), locate=locate).in_folder(origin.folder)


def dump_spec(spec: Spec) -> str:
    """The spec as YAML that `load_spec` reads back; only what differs from the defaults is written.

    Of a Flow, what was given is written, because a Deployment's own default counts instead of an option of the Flow.
    A class in `uses` is written as its import path, or as its bare name where it has none. Raises ConfigError for
    values that YAML cannot hold.
    """
    if "executors" in type(spec).model_fields:
        from jina.spec.yaml_flow import flow_data

        return yaml_text(flow_data(cast("Any", spec)))
    options = plain_options(spec, spec.non_defaults())
    return yaml_text(options if "jtype" in options else {"jtype": subject_of(type(spec)), "with": options})
