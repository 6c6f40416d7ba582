"""From what users give as `uses` to what a plan holds: classes, keys, the documents that endpoints give."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from jina.errors import ConfigError, ExecutorDefinitionError, NotSupportedError
from jina.plan.plans import (
    AccessPlan,
    ContainerPlan,
    DeploymentPlan,
    ExecutorPlan,
    FlowPlan,
    GatewayPlan,
    KeyPlan,
    WorkerPlan,
)

if TYPE_CHECKING:
    from jina.config import DeploymentSpec, FlowSpec, GatewaySpec
    from jina.executor import Executor
    from jina.plan.plans import PortAllocator


def class_at_hand(plan: ExecutorPlan) -> type[Executor] | None:
    """The class that the plan names if its module is imported already; nothing is imported for it."""
    found: Any = sys.modules.get(plan.module)
    for part in plan.qualname.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def declared(executor_class: type, on: str, overrides: Mapping[str, str]) -> Any:
    """The document class that the endpoint `on` declares to give; None where nothing is declared.

    `overrides` is `uses_requests`: endpoint -> method name.
    """
    method = _method_for(executor_class, on, overrides)
    return None if method is None else _given_by(executor_class, method)


def declared_by_graph(plan: FlowPlan, classes: Mapping[str, type[Executor] | None], on: str) -> Any:
    """The document class that a Flow gives for the endpoint `on`; None where the last Executors are not known here.

    `classes` are those at hand, by the name of the step.
    """
    from jina.plan.processes import AFTER, owner

    nodes = {node.name: node for node in plan.gateway.graph.nodes}
    workers = {deployment.name: deployment.workers for deployment in plan.deployments}

    def given_by(name: str) -> Any:
        node = nodes.get(name)
        if node is None:
            return _NOTHING  # the request itself
        if node.upstreams:
            after = owner(name, AFTER)
            if after in classes:
                cls = classes[after]
                if cls is None:
                    return None
                if (method := _method_for(cls, on, {})) is not None:
                    return _given_by(cls, method)
            cls = classes.get(name)
            if cls is None or not workers.get(name):
                return None
            method = _method_for(cls, on, workers[name][0].executor.requests)
            if method is not None:
                return _given_by(cls, method)
        return _common([given_by(need) for need in node.needs])  # it passes documents through

    found = _common([given_by(name) for name in plan.gateway.graph.ends])
    return None if found is _NOTHING else found


_NOTHING = object()
"""No Executor knows the endpoint."""


def _common(types: list[Any]) -> Any:
    known = [found for found in types if found is not _NOTHING]
    if not known:
        return _NOTHING
    return known[0] if all(found is known[0] for found in known) else None


def _method_for(executor_class: type, on: str, overrides: Mapping[str, str]) -> str | None:
    from jina.executor.binding import endpoints_of
    from jina.executor.decorators import DEFAULT_ENDPOINT

    table = {**endpoints_of(executor_class), **overrides}
    return table.get(on) or table.get(on.removeprefix("/")) or table.get(DEFAULT_ENDPOINT)


def _given_by(executor_class: type, method: str) -> Any:
    from jina.documents import Document
    from jina.executor.binding import marked
    from jina.executor.decorators import Marks
    from jina.executor.signatures import types_of

    function = getattr(executor_class, method, None)
    if function is None:
        return None
    try:
        found = types_of(function, marked(executor_class).get(method) or Marks()).output_type
    except ExecutorDefinitionError:  # the worker has reported it
        return None
    return None if found is Document else found


P = TypeVar("P", DeploymentPlan, FlowPlan)
S = TypeVar("S", GatewayPlan, WorkerPlan)
NAME: Final = "jina"
"""The name of the key in the server; one of the user's own with that name keeps it."""


class OwnKey:
    """Made when something that asks for keys is started, and known to this process alone."""

    def __init__(self) -> None:
        self.text = ""
        """Empty where no key is needed."""

    def admitted(self, plan: P) -> P:
        """The plan with the key added to those of its front."""
        if plan.gateway is not None:
            return replace(plan, gateway=self._added(plan.gateway))
        if isinstance(plan, DeploymentPlan) and plan.workers:
            return replace(plan, workers=[self._added(worker) for worker in plan.workers])
        return plan

    def _added(self, process: S) -> S:
        access: AccessPlan = process.access
        if not access.keys and not access.keys_file:
            return process
        import secrets

        from jina.config.types import SCOPES, digest_of

        self.text = self.text or secrets.token_hex(16)
        own = KeyPlan(name=NAME, digest=digest_of(self.text), scopes=list(SCOPES))
        changed = replace(access, keys=[*access.keys, own])
        return replace(process, access=changed)


class Resolved(msgspec.Struct, frozen=True):
    """An Executor, found. `executor_class` is None where no module of this process holds it."""

    plan: ExecutorPlan
    executor_class: type[Any] | None = None
    by_value: type[Any] | None = None
    """The class where no import finds it, so that it travels by pickle."""
    arguments: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """Constructor arguments that are no JSON."""

    def blob(self) -> bytes:
        """What travels beside the plan, pickled; empty for nothing. Raises `ConfigError` naming what cannot be sent."""
        if self.by_value is None and not self.arguments:
            return b""
        from jina.supervisor import pickling

        return pickling.dumps(self.by_value, self.arguments)


def resolve(spec: DeploymentSpec) -> Resolved:
    """Find the Executor of a spec; raises `ConfigError` naming what is wrong with `uses`."""
    from jina.config.rules import is_image
    from jina.executor.loading import reference_of, split_with

    if is_image(spec.uses) and not spec.external:
        return Resolved(ExecutorPlan(container=container_of(spec)))

    uses, version = _package(spec.uses, spec.folder, offline=spec.offline, force=spec.force_update)
    plan, by_value = reference_of(
        uses,
        uses_with=spec.uses_with,
        uses_metas=spec.uses_metas,
        uses_requests=spec.uses_requests,
        uses_dynamic_batching=spec.uses_dynamic_batching,
        py_modules=spec.py_modules,
        search_paths=[*spec.extra_search_paths, *filter(None, [spec.folder])],
    )
    plain, other = split_with(plan.with_args)
    known = by_value or class_at_hand(plan)
    if spec.install_requirements:
        plan = _with_requirements(plan, offline=spec.offline)
    return Resolved(replace(plan, with_args=plain, version=version), known, by_value, other)


_IN_CONTAINER: Final = (
    "uses_with", "uses_metas", "uses_requests", "uses_dynamic_batching", "py_modules", "output_array_type",
    "allow_concurrent", "exit_on_exceptions", "no_reduce", "grpc_server_options", "tracing", "traces_exporter_host",
    "traces_exporter_port", "metrics", "metrics_exporter_host", "metrics_exporter_port", "replicas", "shards",
)  # fmt: skip
"""Options that the Executor in a container is given, those that its image has first."""


def container_of(spec: DeploymentSpec) -> ContainerPlan:
    """The container of an image; raises `ConfigError` naming the option that is wrong.

    The `jina.lock` that counts for packages decides which version of the image it is.
    """
    from jina.hub.containers import at_digest, flags_of, image_of, volumes_of
    from jina.hub.fetch import pinned_image

    given = spec.non_defaults()
    options = {name: given[name] for name in _IN_CONTAINER if given.get(name) not in (None, [], {})}
    try:
        options = msgspec.json.decode(msgspec.json.encode(options))
    except (TypeError, msgspec.MsgspecError) as error:
        raise ConfigError(f"what an image is given must be JSON: {error}") from None
    entrypoint: Any = spec.entrypoint
    return ContainerPlan(
        image=at_digest(image_of(spec.uses), pinned_image(spec.uses, spec.folder)),
        platform=spec.prefer_platform or "",
        network=spec.force_network_mode,
        entrypoint=shlex.split(entrypoint) if isinstance(entrypoint, str) else list(entrypoint or ()),
        flags=flags_of(spec.docker_kwargs or {}),
        volumes=volumes_of(spec.volumes or (), folder=spec.folder),
        auto_volume=not spec.volumes and not spec.disable_auto_volume,
        secrets=_secret_files(spec.env_from_secret or {}),
        pull=spec.force_update,
        offline=spec.offline,
        options=options,
    )


def _secret_files(given: Mapping[str, Any]) -> dict[str, str]:
    """By variable: the file that a secret of Kubernetes is on this machine."""
    folder = os.path.abspath(os.environ.get("JINA_SECRETS") or "/run/secrets")
    return {name: os.path.join(folder, secret["name"], secret["key"]) for name, secret in given.items()}


def fetched(uses: Any, folder: str | None, *, offline: bool = False, force: bool = False) -> Any:
    """What `uses` names, fetched where it is a package of a registry or of git: the path of its configuration.

    The `jina.lock` in `folder`, else that of the working folder, decides which version. Raises what fetching raises.
    """
    return _package(uses, folder, offline=offline, force=force)[0]


def _package(uses: Any, folder: str | None, *, offline: bool, force: bool) -> tuple[Any, str]:
    """See `fetched`; with the version of the package, empty where it is none."""
    if not isinstance(uses, str) or "://" not in uses:
        return uses, ""
    from jina.hub.fetch import Fetching, is_reference, lock_for

    if not is_reference(uses):
        return uses, ""
    package = Fetching(offline=offline, force=force, lock=lock_for(folder)).fetch(uses)
    return package.config, package.version


def _with_requirements(plan: ExecutorPlan, *, offline: bool) -> ExecutorPlan:
    """The plan in an environment for what its package requires; the same where that is nothing, as in Jina 3."""
    from jina.executor.loading import find_spec
    from jina.supervisor.environments import Environment, requirement_files, users_path

    files = [source for source in plan.py_modules if os.path.isabs(source)]
    spec = find_spec(plan.module) if plan.module and plan.module != "__main__" else None
    files += [spec.origin] if spec is not None and spec.origin else []
    found = requirement_files([*map(os.path.dirname, files), *plan.search_paths])
    if not found or Environment.read(found).is_empty:
        return plan
    entries = users_path(plan.sys_path)
    if spec is not None and spec.origin:  # the class itself may be installed
        up = plan.module.count(".") + (spec.submodule_search_locations is not None)
        home = os.path.abspath(os.path.join(os.path.dirname(spec.origin), *[os.pardir] * up))
        entries += [home] if home not in entries and home in plan.sys_path else []
    return replace(plan, requirements=found, offline=offline, sys_path=entries)


def resolve_around(spec: DeploymentSpec) -> dict[str, Resolved]:
    """The Executors around the shards of a Deployment, by `plan.processes.owner`, and the user's own gateway class.

    Raises what `resolve` raises.
    """
    from jina.config import DeploymentSpec
    from jina.config.rules import CONTAINER_OPTIONS
    from jina.plan.processes import around, owner

    shared = {
        "py_modules",
        "extra_search_paths",
        "install_requirements",
        "offline",
        "force_update",
        *CONTAINER_OPTIONS,
    } & spec.model_fields_set
    found = {}
    for part in around(spec):
        values = {name: getattr(spec, name) for name in shared}
        own = DeploymentSpec.model_construct({*shared, "uses"}, uses=getattr(spec, part), **values)
        with naming(part):
            found[owner(spec.name, part)] = resolve(own.in_folder(spec.folder))
    if (gateway := _own_gateway(spec)) is not None:
        found["gateway"] = gateway
    return found


def _own_gateway(spec: DeploymentSpec) -> Resolved | None:
    """The user's own gateway class in front of a Deployment; the rules say where there may be one."""
    with naming("gateway"):
        return None if spec.external or spec.raft_peers else resolve_gateway(spec.front)


def resolve_gateway(spec: GatewaySpec) -> Resolved | None:
    """Find the user's own gateway class; None for the built-in gateway. Raises what `resolve` raises."""
    from jina.config.rules import is_image

    uses: Any = spec.uses
    if is_image(uses):
        raise NotSupportedError(
            f"uses: {uses!r}: a gateway runs as a process, and its class is not taken from an image",
            help="give the class; an image is for exports, see to_kubernetes_yaml",
        )
    extension = None
    if uses is None and "http" in spec.protocols and "jina.helper" in sys.modules:
        from jina.gateway.custom import rest_extension

        extension = rest_extension()
    if uses is None and extension is None:
        return None
    from jina.executor.loading import reference_of, split_with
    from jina.gateway.custom import BaseGateway, Gateway, RestExtended, gateways

    given = spec.uses_with if extension is None else {"extend": extension}
    plan, by_value = reference_of(
        RestExtended
        if extension is not None
        else fetched(uses, spec.folder, offline=spec.offline, force=spec.force_update),
        uses_with=given,
        uses_metas=spec.uses_metas,
        py_modules=spec.py_modules,
        search_paths=[*spec.extra_search_paths, *filter(None, [spec.folder])],
        kind=gateways(BaseGateway),
    )
    plain, other = split_with(plan.with_args)
    known = by_value or class_at_hand(plan)
    if known is Gateway or not (by_value or plan.module or plan.jtype):
        return None
    return Resolved(replace(plan, with_args=plain), known, by_value, other)


def protocol_of(resolved: Resolved | None) -> str | None:
    """The protocol that a gateway class at hand serves, where it is but one."""
    found: str | None = getattr(resolved and resolved.executor_class, "protocol_served", None)
    return found


class DeploymentState(msgspec.Struct):
    """What a Deployment is now: its options, what was found for them, and what is planned."""

    spec: DeploymentSpec
    executors: Mapping[str, Resolved]
    """By `plan.processes.owner`: its own, those around its shards, its gateway class; none where it is external."""
    plan: DeploymentPlan


class FlowState(msgspec.Struct):
    """What a Flow is now. Without a `plan` it is still to be built."""

    spec: FlowSpec
    executors: Mapping[str, Resolved] = msgspec.field(default_factory=dict)
    """Those of all steps, by `plan.processes.owner`."""
    gateway: Resolved | None = None
    """Its own gateway class."""
    plan: FlowPlan | None = None


def resolved_all(spec: DeploymentSpec, place: str = "") -> dict[str, Resolved]:
    """Its Executor, those around its shards and its gateway class, by `plan.processes.owner`; raises as `resolve`."""
    with naming(place and f"{place}{spec.name}"):
        own = resolve(spec)
        return {**resolve_around(spec), spec.name: own}


def blobs_of(executors: Mapping[str, Resolved], place: str = "") -> dict[str, bytes]:
    """The pickles of Executors, see `Resolved.blob`."""
    found = {}
    for name, one in executors.items():
        with naming(place and f"{place}{name}"):
            found[name] = one.blob()
    return found


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Say at which place, if at any, an error was found."""
    try:
        yield
    except ConfigError as error:
        error.prefix(place)
        raise


def plan_of_deployment(
    spec: DeploymentSpec, executors: Mapping[str, Resolved], ports: PortAllocator, *, behind: bool = False
) -> DeploymentPlan:
    """What runs for a Deployment on this machine; `behind` a gateway even where it is one worker alone."""
    from jina.plan.deployment import plan_deployment
    from jina.supervisor.gpus import MachineGpus

    plans = {name: one.plan for name, one in executors.items()}
    own = plans.pop(spec.name, ExecutorPlan())
    return plan_deployment(spec, own, ports, plans, MachineGpus(), behind_gateway=behind)


def plan_of_flow(
    spec: FlowSpec, executors: Mapping[str, Resolved], gateway: Resolved | None, ports: PortAllocator
) -> FlowPlan:
    """What runs for a Flow on this machine."""
    from jina.plan.flow import plan_flow
    from jina.supervisor.gpus import MachineGpus

    plans = {name: one.plan for name, one in executors.items()}
    return plan_flow(spec, plans, gateway.plan if gateway else None, ports, MachineGpus())


def reloaded(specs: Iterable[DeploymentSpec], found: Mapping[str, Resolved]) -> dict[str, set[str]]:
    """By name: those that follow changes of their files, with the Executor's YAML file and requirements, if it has any.

    Raises `ConfigError` for a class that has no file of its own to be imported from again.
    """
    followed = [spec for spec in specs if spec.reload and spec.name in found]
    for spec in followed:
        cls = found[spec.name].by_value
        if cls is not None:
            raise ConfigError(
                f"{spec.name}: reload: {cls.__name__} is defined in the program itself, which cannot be loaded again",
                help="move the class to a module of its own, or give the path of its file as py_modules",
            )
    return {spec.name: {*_yaml_of(spec), *found[spec.name].plan.requirements} for spec in followed}


def _yaml_of(spec: DeploymentSpec) -> list[str]:
    if not isinstance(spec.uses, str) or not spec.uses.endswith((".yml", ".yaml")):
        return []
    folders = ["", *spec.extra_search_paths, *filter(None, [spec.folder])]
    paths = [os.path.abspath(os.path.join(folder, spec.uses)) for folder in folders]
    return [path for path in paths if os.path.isfile(path)][:1]
