"""A Flow to be looked at: as a picture, as text, in a notebook."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from jina.errors import ConfigError

if TYPE_CHECKING:
    from jina.executor import Executor
    from jina.export.picture import GraphPicture
    from jina.launch.running import Running
    from jina.orchestration.resolving import Resolved
    from jina.plan.plans import FlowPlan


class FlowPicture:
    """Pictures of a Flow are drawn here, without a network service. What they show builds the Flow."""

    _resolved: dict[str, Resolved]
    _processes: list[Running]
    _drawn_in: tuple[Any, int] | None = None
    """The notebook and its cell in which `plot` has shown the picture."""

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
        """Draw the graph with endpoints and types, replicas and addresses.

        Endpoints are those of classes that are imported already, and of all Executors while the Flow runs.

        The suffix of `output` decides the format: `.svg`, `.png`, `.jpg` (both need the extra `plot`), `.mmd` (Mermaid)
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

        drawn, self._drawn_in = self._drawn_in, None
        if drawn is not None and drawn == _cell():
            return {"text/plain": repr(self)}  # the value of the last line, whose `plot` has shown the picture
        try:
            return flowchart.mimebundle(self._picture())
        except ConfigError as error:  # a graph that is not complete yet has no picture
            return {"text/plain": f"{self!r}\n{error}"}

    def _display(self, *, vertical: bool) -> None:
        cell = _cell()
        if cell is None:
            self.describe()
            return
        from jina.export import flowchart

        self._drawn_in = cell
        cell[0].display_pub.publish(flowchart.mimebundle(self._picture(), vertical=vertical))

    def _picture(self) -> GraphPicture:
        plan = self.plan
        classes = {name: one.executor_class for name, one in self._resolved.items()}
        told = self._processes[0].steps if self._processes else {}
        return picture(plan, classes, running=self._started, told=told)


def _cell() -> tuple[Any, int] | None:
    """The notebook in which this runs, and the number of the cell."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    return None if shell is None else (shell, shell.execution_count)


def picture(
    plan: FlowPlan,
    classes: Mapping[str, type[Executor] | None],
    *,
    running: bool,
    told: Mapping[str, list[list[Any]]] = MappingProxyType({}),
) -> GraphPicture:
    """The picture of a plan; `classes` are those at hand, by the name of the step, and tell their endpoints.

    Those of the others are `told` by the gateway of a Flow that runs, see `GatewayService.told`.
    """
    from jina.export.picture import EndpointPicture, picture_of
    from jina.export.signatures import endpoints_of_class

    known = {name: cls for name, cls in classes.items() if cls is not None}
    bound = {one.name: one.workers[0].executor.requests for one in plan.deployments if one.workers}
    endpoints = {name: tuple(EndpointPicture(*one) for one in endpoints) for name, endpoints in told.items()}
    endpoints |= {name: endpoints_of_class(cls, bound.get(name)) for name, cls in known.items()}
    return picture_of(plan, endpoints, {name: cls.__name__ for name, cls in known.items()}, running=running)


def write(shown: GraphPicture, path: Path, *, vertical: bool = False) -> None:
    """Write a picture in the format of the file's suffix; raises `ConfigError` where that is not possible."""
    from jina.export import flowchart

    data = flowchart.render(shown, path.suffix, vertical=vertical)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"cannot write the picture to {path}: {error.strerror or error}") from error
