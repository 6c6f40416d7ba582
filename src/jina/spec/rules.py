"""What options must be together, and which are not available yet: one named function and one message a rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jina.spec.address import split_address
from jina.spec.base import Spec
from jina.spec.types import shown

if TYPE_CHECKING:
    from jina.spec.client import ClientSpec
    from jina.spec.deployment import DeploymentSpec
    from jina.spec.executor import ExecutorSpec


class Problem(NamedTuple):
    """A broken rule: the option at fault, the words, and whether it only is not available yet."""

    option: str
    text: str
    not_yet: bool = False


def check(spec: Spec) -> list[Problem]:
    """Every rule that the spec breaks, those that cannot be mended by waiting first."""
    rules = [rule for cls in type(spec).__mro__ for rule in RULES.get(cls.__name__, ())]
    problems = [problem for rule in rules for problem in rule(spec)]
    return sorted(problems, key=lambda problem: problem.not_yet)


def ports_match_protocols(spec: DeploymentSpec) -> Iterator[Problem]:
    """At most one port for each protocol; missing ones are chosen at start."""
    if not spec.external and len(spec.ports) > len(spec.protocols):
        yield Problem(
            "port",
            f"{len(spec.ports)} ports for {len(spec.protocols)} protocol(s) ({', '.join(spec.protocols)});"
            " each protocol is served on one port",
        )


def ports_differ(spec: DeploymentSpec) -> Iterator[Problem]:
    """No port is given to two protocols."""
    for port, count in Counter(spec.ports).items():
        if count > 1 and not spec.external:
            yield Problem("port", f"{port} is given twice; each protocol needs a port of its own")


def protocols_differ(spec: DeploymentSpec) -> Iterator[Problem]:
    """No protocol is given twice."""
    for protocol, count in Counter(spec.protocols).items():
        if count > 1:
            yield Problem("protocol", f"'{protocol}' is given twice")


def certificate_and_key(spec: DeploymentSpec) -> Iterator[Problem]:
    """A certificate and its key come together."""
    if spec.ssl_certfile and not spec.ssl_keyfile:
        yield Problem("ssl_certfile", "needs 'ssl_keyfile', the file of the certificate's private key")
    if spec.ssl_keyfile and not spec.ssl_certfile:
        yield Problem("ssl_keyfile", "needs 'ssl_certfile', the file of the certificate")


def tls_needs_certificate(spec: DeploymentSpec) -> Iterator[Problem]:
    """`tls` is how to connect; a server gets TLS from its certificate."""
    if spec.tls and not spec.external and not spec.ssl_certfile:
        yield Problem("tls", "says how to connect to an external Deployment; to serve by TLS give 'ssl_certfile'")


def name_is_usable(spec: DeploymentSpec) -> Iterator[Problem]:
    """The name becomes part of process names and paths."""
    name = spec.name
    if not name or name != name.strip() or not name.isprintable() or "/" in name or "\\" in name:
        yield Problem("name", f"{shown(name)} must be printable, not empty, and without slashes or outer spaces")


def one_host(spec: DeploymentSpec) -> Iterator[Problem]:
    """A server listens on one plain address; several, or one with a scheme, name an external Deployment."""
    if spec.external:
        return
    if len(spec.hosts) > 1:
        yield Problem("host", "several hosts name an external Deployment (external=True); a server listens on one")
        return
    try:
        address = split_address(spec.hosts[0])
    except ValueError as exc:
        yield Problem("host", str(exc))
        return
    if address.scheme or address.port is not None:
        yield Problem("host", f"{shown(spec.hosts[0])}: a server takes a plain host; give 'protocol' and 'port'")


def uses_is_given(spec: DeploymentSpec) -> Iterator[Problem]:
    """`uses` is of a kind that can name an Executor."""
    uses = spec.uses
    plain = (
        isinstance(uses, str | Mapping | type) or callable(getattr(uses, "read", None)) or hasattr(uses, "__fspath__")
    )
    if isinstance(uses, str) and not uses.strip():
        yield Problem("uses", "is empty")
    elif not plain:
        yield Problem("uses", f"{shown(uses)} is not an Executor class, import path, YAML, mapping or URL")


def uses_scheme_is_available(spec: DeploymentSpec) -> Iterator[Problem]:
    """Images and packages of a hub are not served yet."""
    scheme = spec.uses.partition("://")[0].lower() if isinstance(spec.uses, str) and "://" in spec.uses else ""
    if scheme in UNAVAILABLE_SCHEMES:
        yield Problem("uses", f"'{scheme}://' is not available yet", not_yet=True)


def is_available(spec: Spec) -> Iterator[Problem]:
    """Options of the table below keep their defaults."""
    for option, value in spec.non_defaults().items():
        if option in UNAVAILABLE:
            plain = isinstance(value, int | str) and not isinstance(value, bool)
            yield Problem(option, (f"{shown(value)} is " if plain else "") + "not available yet", not_yet=True)


def address_is_whole(spec: ClientSpec) -> Iterator[Problem]:
    """The client's address is a host, `host:port`, or `scheme://host:port` with a known scheme."""
    try:
        split_address(spec.host)
    except ValueError as exc:
        yield Problem("host", str(exc))


def address_says_it_once(spec: ClientSpec) -> Iterator[Problem]:
    """What the address says is not said again by an option of its own."""
    try:
        address = split_address(spec.host)
    except ValueError:
        return
    said = {"protocol", "tls"} if address.scheme else set()
    if address.port is not None:
        said.add("port")
    for option in sorted(said & spec.model_fields_set):
        yield Problem(option, f"the host {shown(spec.host)} says it already; there can't be two definitions")


def version_is_known(spec: ExecutorSpec) -> Iterator[Problem]:
    """There is one version of the format."""
    if spec.version not in VERSIONS:
        yield Problem("version", f"{shown(spec.version)} is not a valid version number; there is '1'")


VERSIONS: Final = frozenset({"1", "1.0"})

UNAVAILABLE_SCHEMES: Final = frozenset({"docker", "jinahub", "jinahub+docker", "jinahub+sandbox", "jinaai",
                                        "jinaai+docker", "jinaai+sandbox"})  # fmt: skip

UNAVAILABLE: Final[tuple[str, ...]] = (
    # several copies and hops
    "replicas", "shards", "polling", "uses_before", "uses_after", "no_reduce", "retries", "timeout_send",
    "compression", "grpc_metadata", "external", "when", "floating",
    # replicated state
    "stateful", "peer_ports", "raft_configuration",
    # exporters and a port of its own for metrics
    "monitoring", "port_monitoring", "tracing", "traces_exporter_host", "traces_exporter_port",
    "metrics", "metrics_exporter_host", "metrics_exporter_port", "log_config",
    # clouds, reloading, requirements
    "provider", "provider_endpoint", "reload", "install_requirements",
    # containers and clusters
    "entrypoint", "docker_kwargs", "volumes", "gpus", "disable_auto_volume", "force_network_mode",
    "prefer_platform", "force_update", "k8s_namespace", "env_from_secret", "image_pull_secrets",
    # processes of a larger whole
    "runtime_cls", "pod_role", "deployment_role", "shard_id", "replica_id", "uses_before_address",
    "uses_after_address", "connection_list",
)  # fmt: skip
"""Options that raise NotSupportedError unless they keep their defaults."""

RULES: Final[dict[str, tuple[Callable[[Any], Iterator[Problem]], ...]]] = {
    "DeploymentSpec": (
        ports_match_protocols,
        ports_differ,
        protocols_differ,
        certificate_and_key,
        tls_needs_certificate,
        name_is_usable,
        one_host,
        uses_is_given,
        uses_scheme_is_available,
        is_available,
    ),
    "ClientSpec": (address_is_whole, address_says_it_once, is_available),
    "ExecutorSpec": (version_is_known,),
}
"""Name of a spec's class -> its rules; subclasses have those of their bases."""
