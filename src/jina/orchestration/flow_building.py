"""How a Flow is put together: each method gives a changed copy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, TextIO

from jina.errors import ConfigError, FlowBuildLevelError, NotSupportedError
from jina.executor.configurable import BY_HAND
from jina.orchestration import configuration
from jina.orchestration.deployment import Deployment
from jina.orchestration.step_methods import takes_step_options

if TYPE_CHECKING:
    from jina.spec import DeploymentSpec, FlowSpec, GatewaySpec, StepSpec


def _step_spec() -> type[StepSpec]:
    from jina.spec import StepSpec

    return StepSpec


def _gateway_spec() -> type[GatewaySpec]:
    from jina.spec import GatewaySpec

    return GatewaySpec


if TYPE_CHECKING:  # type checkers do not look into what the functions above return
    _takes_step_options = takes_step_options(lambda: StepSpec)
    _takes_gateway_options = takes_step_options(lambda: GatewaySpec)
else:
    _takes_step_options = takes_step_options(_step_spec)
    _takes_gateway_options = takes_step_options(_gateway_spec)


class FlowBuilding:
    """Steps and gateway, added one by one. With `copy_flow=False` the Flow itself is changed."""

    _spec: FlowSpec

    if TYPE_CHECKING:

        @classmethod
        def _defined(cls, source: Any, read: Callable[[Any], Any]) -> Self: ...

    @classmethod
    @abstractmethod
    def from_spec(cls, spec: FlowSpec) -> Self:
        """A Flow of a spec that was validated already."""

    @abstractmethod
    def _replace(self, spec: FlowSpec) -> None:
        """Become the Flow of another spec."""

    @property
    @abstractmethod
    def _started(self) -> bool: ...

    @_takes_step_options
    def add(
        self, deployment: Deployment | DeploymentSpec | str | None = None, *, copy_flow: bool = True, **options: Any
    ) -> Self:
        """A Flow with one more Executor, which follows the one added before it unless `needs` says otherwise.

        `deployment` is a Deployment, which is not started for itself, or the path of a Deployment's YAML; `options`
        count instead of its own. `needs='gateway'` begins a branch, `needs=['a', 'b']` joins branches; names may
        belong to Executors that are added later. Raises `ConfigError` for options that are wrong and
        `FlowBuildLevelError` where the Flow runs.
        """
        return self._with_step("add", copy_flow, _spec_of(deployment), options)

    @_takes_step_options
    def needs(
        self, needs: Sequence[str] | str, name: str | None = None, *, copy_flow: bool = True, **options: Any
    ) -> Self:
        """A Flow with a join of several Executors: `uses`, or without it a plain merge. Its name is `joiner`."""
        return self._with_step("needs", copy_flow, None, {"needs": needs, "name": name, **options})

    @_takes_step_options
    def needs_all(self, name: str | None = None, *, copy_flow: bool = True, **options: Any) -> Self:
        """A Flow with a join of all Executors that none follows yet."""
        return self._with_step("needs_all", copy_flow, None, {"name": name, **options})

    @_takes_step_options
    def inspect(self, name: str | None = None, *, copy_flow: bool = True, **options: Any) -> Self:
        """A Flow with an Executor that looks at the documents of the last one; what it returns goes nowhere."""
        return self._with_step("inspect", copy_flow, None, {"name": name, **options})

    @_takes_step_options
    def gather_inspect(
        self,
        name: str | None = None,
        include_last_deployment: bool = True,
        *,
        copy_flow: bool = True,
        **options: Any,
    ) -> Self:
        """A Flow that waits for all `inspect` steps so far, as a Flow with `inspect='COLLECT'` does at its end."""
        if not include_last_deployment:
            raise ConfigError("Flow.gather_inspect: include_last_deployment=False would lose the reply; leave it out")
        return self._with_step("gather_inspect", copy_flow, None, {"name": name, **options})

    @_takes_gateway_options
    def config_gateway(self, args: Any = None, *, copy_flow: bool = True, **options: Any) -> Self:
        """A Flow whose gateway has these options; `args` gives them as attributes."""
        from jina.spec.flow import with_gateway
        from jina.spec.paths import located

        self._may_change()
        if args is not None:
            known = _gateway_spec().model_fields
            options = {**{name: value for name, value in vars(args).items() if name in known}, **options}
        return self._changed(with_gateway(self._spec, **located(options)), copy_flow)

    def expose_endpoint(self, exec_endpoint: str, path: str | None = None, **options: Any) -> Self:
        """A Flow whose HTTP gateway serves an endpoint under a path of its own; `methods`, `summary`, `tags`."""
        from jina.spec.flow import with_gateway

        self._may_change()
        exposed = dict(self._spec.front.expose_endpoints or {})
        exposed[exec_endpoint] = options if path is None else {"http_path": path, **options}
        return self._changed(with_gateway(self._spec, expose_endpoints=exposed), copy_flow=True)

    def _with_step(
        self, method: str, copy_flow: bool, deployment: DeploymentSpec | None, options: Mapping[str, Any]
    ) -> Self:
        from jina.spec.flow import with_step
        from jina.spec.paths import located

        self._may_change()
        return self._changed(with_step(self._spec, method, deployment, **located(options)), copy_flow)

    def _changed(self, spec: FlowSpec, copy_flow: bool) -> Self:
        if copy_flow:
            return type(self).from_spec(spec)
        self._replace(spec)
        return self

    def _may_change(self) -> None:
        if self._started:
            raise FlowBuildLevelError(
                f"Flow {self._spec.name!r} is running and cannot be changed", help="close it first, or change a copy"
            )

    def to_kubernetes_yaml(self, output_base_path: str, **options: Any) -> NoReturn:
        """Not available yet."""
        del options
        raise NotSupportedError(f"Flow.to_kubernetes_yaml({output_base_path!r}) is not available yet", help=BY_HAND)

    to_k8s_yaml = to_kubernetes_yaml

    def to_docker_compose_yaml(self, output_path: str | None = None, **options: Any) -> NoReturn:
        """Not available yet."""
        del output_path, options
        raise NotSupportedError("Flow.to_docker_compose_yaml is not available yet", help=BY_HAND)

    # --- configuration ------------------------------------------------------------------------------------

    @classmethod
    def load_config(
        cls,
        source: str | TextIO | Mapping[str, Any],
        *,
        context: Mapping[str, Any] | None = None,
        substitute: bool = True,
        **options: Any,
    ) -> Self:
        """The Flow that YAML describes: a path, text, an open file, a mapping or a URL.

        `options` count instead of the file's. `context` gives the variables of `${{ CONTEXT.name }}`;
        `substitute=False` leaves all variables as they are.
        """
        more: Any = {"context": context, "substitute": substitute, "overrides": options}
        return cls._defined(source, lambda source: configuration.read_flow(source, **more))

    @classmethod
    def from_command_line(cls, options: Mapping[str, Any], command: str = "flow") -> Self:
        """The Flow that the options of `jina flow` describe: `uses` is its YAML, which the others override."""

        def read(uses: Any) -> FlowSpec:
            given = options if uses is None else {**options, "uses": uses}
            return configuration.flow_from_command_line(given, f"jina {command}")

        return cls._defined(options.get("uses"), read)

    def save_config(self, filename: str | None = None) -> None:
        """Write what differs from the defaults as YAML, to `<name>.yml` unless a name is given."""
        configuration.write(self._spec, filename or f"{self._spec.name}.yml")

    def to_dict(self) -> dict[str, Any]:
        """What `save_config` writes, as a mapping."""
        return configuration.as_dict(self._spec)


def _spec_of(deployment: Any) -> DeploymentSpec | None:
    """The options of what `add` got by position."""
    if deployment is None:
        return None
    if isinstance(deployment, Deployment):
        return deployment.spec
    from jina.spec import DeploymentSpec

    if isinstance(deployment, DeploymentSpec):
        return deployment
    if isinstance(deployment, str | Mapping):
        return configuration.read(deployment, context=None, substitute=True, overrides={})
    hint = f"; give the class as uses={deployment.__name__}" if isinstance(deployment, type) else ""
    raise ConfigError(f"Flow.add: {deployment!r} is no Deployment and no path of its YAML{hint}")
