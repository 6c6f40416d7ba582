"""A Flow to be looked at: as a picture, as text, in a notebook."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from jina.errors import ConfigError

if TYPE_CHECKING:
    from jina.executor import Executor
    from jina.export.picture import GraphPicture
    from jina.orchestration.resolving import Resolved
    from jina.plan.plans import FlowPlan


class FlowPicture:
    """Pictures of a Flow are drawn here, without a network service. What they show builds the Flow."""

    _resolved: dict[str, Resolved]

    @property
    @abstractmethod
    def plan(self) -> FlowPlan:
        """The plan, made when it is first asked for."""

    @property
    @abstractmethod
    def _started(self) -> bool: ...

    def plot(
        self,
        output: str | os.PathLike[str] | None = None,
        vertical_layout: bool = False,
        inline_display: bool = False,
        build: bool = True,
        copy_flow: bool = True,
    ) -> Self:
        """Draw the graph with endpoints and types (of classes that are imported already), replicas and addresses.

        The suffix of `output` decides the format: `.svg`, `.png`, `.jpg` (both need `jina[plot]`), `.mmd` (Mermaid)
        or `.txt`. `inline_display`, or no `output`, shows it in a notebook, and the text of `describe` elsewhere.
        `build` and `copy_flow` change nothing: a picture always builds the Flow, and never changes it. Raises
        `ConfigError` for another suffix, a file that cannot be written, and whatever is wrong with the Flow.
        """
        del build, copy_flow
        from jina.export import flowchart

        if output is not None:
            flowchart.check_suffix(Path(output).suffix)  # before anything is built
            write(self._picture(), Path(output), vertical=vertical_layout)
        if inline_display or output is None:
            self._display(vertical=vertical_layout)
        return self

    def describe(self) -> None:
        """Print each Executor with what it needs, its endpoints and types, its replicas and addresses."""
        from jina.export import flowchart

        print(flowchart.to_text(self._picture()), end="")  # noqa: T201 - what the method is for

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: https://ipython.readthedocs.io/en/stable/config/integrating.html."""
        del include, exclude
        from jina.export import flowchart

        try:
            return flowchart.mimebundle(self._picture())
        except ConfigError as error:  # a graph that is not complete yet has no picture
            return {"text/plain": f"{self!r}\n{error}"}

    def _display(self, *, vertical: bool) -> None:
        try:
            from IPython.core.getipython import get_ipython
        except ImportError:
            notebook = None
        else:
            notebook = get_ipython()
        if notebook is None:
            self.describe()
            return
        from jina.export import flowchart

        notebook.display_pub.publish(flowchart.mimebundle(self._picture(), vertical=vertical))

    def _picture(self) -> GraphPicture:
        plan = self.plan
        return picture(plan, {name: one.executor_class for name, one in self._resolved.items()}, running=self._started)


def picture(plan: FlowPlan, classes: Mapping[str, type[Executor] | None], *, running: bool) -> GraphPicture:
    """The picture of a plan; `classes` are those at hand, by the name of the step, and tell their endpoints."""
    from jina.export.picture import picture_of
    from jina.export.signatures import endpoints_of_class

    known = {name: cls for name, cls in classes.items() if cls is not None}
    bound = {one.name: one.workers[0].executor.requests for one in plan.deployments if one.workers}
    endpoints = {name: endpoints_of_class(cls, bound.get(name)) for name, cls in known.items()}
    return picture_of(plan, endpoints, {name: cls.__name__ for name, cls in known.items()}, running=running)


def write(shown: GraphPicture, path: Path, *, vertical: bool = False) -> None:
    """Write a picture in the format of the file's suffix; raises `ConfigError` where that is not possible."""
    from jina.export import flowchart

    data = flowchart.render(shown, path.suffix, vertical=vertical)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"cannot write the picture to {path}: {error.strerror or error}") from error
