"""What options must be together, and which are not available yet: one function and one message for each rule."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from jina.config.base import Spec
from jina.config.grpc_options import server_settings
from jina.config.models import DeploymentSpec, TargetError, targets
from jina.config.options import ServiceOptions
from jina.config.types import is_name, shown, split_address
from jina.errors import (
    BadYAMLVersion,
    ConfigError,
    FlowTopologyError,
    MissingExtra,
    NotSupportedError,
    missing_extra,
    nearest,
)


class Problem(NamedTuple):
    """A broken rule: the option at fault, the words, and the error that it is."""

    option: str
    text: str
    error: type[ConfigError] = ConfigError

    @property
    def not_yet(self) -> bool:
        """Whether it only is not available yet."""
        return self.error is NotSupportedError


OPTIONS: Final[Mapping[str, str]] = {
    "heartbeat_timeout": "milliseconds without a leader before a replica asks for votes",
    "election_timeout": "milliseconds that a candidate waits for votes",
    "leader_lease_timeout": "milliseconds after which a leader without contact to a majority steps down",
    "commit_timeout": "milliseconds after which an idle leader tells again how far the log is committed",
    "max_append_entries": "entries of the log sent at once",
    "trailing_logs": "entries kept in the log after a snapshot, at most",
    "trailing_bytes": "bytes of log kept after a snapshot, for replicas that are a little late",
    "snapshot_threshold": "entries after which a snapshot is taken",
    "snapshot_interval": "seconds after which a snapshot is taken if anything was written; 0: never",
    "snapshot_bytes": "bytes of log after which a snapshot is taken",
    "log_level": "of the agent: DEBUG, INFO, WARN or ERROR",
}
"""Option -> what it is."""
IGNORED: Final = frozenset({"batch_apply_ch", "shutdown_on_remove", "no_snapshot_restore_on_start"})
"""Options of Jina 3 that have no effect here."""
_LEVELS: Final = frozenset({"DEBUG", "INFO", "WARN", "ERROR"})
_LEAST_MS: Final = 5


def complaints(given: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a configuration."""
    for written, value in given.items():
        name = _own_name(written)
        if name in IGNORED:
            continue
        if name not in OPTIONS:
            near = nearest(name, OPTIONS)
            yield f"there is no {written!r}" + (f"; did you mean {near!r}?" if near else "")
        elif name == "log_level":
            if value not in _LEVELS:
                yield f"log_level: {value!r} is not one of DEBUG, INFO, WARN, ERROR"
        elif not isinstance(value, int) or isinstance(value, bool):
            yield f"{name}: {value!r} is not a whole number"
        elif value < 0:
            yield f"{name}: {value} is less than 0"
        elif name.endswith("_timeout") and value < _LEAST_MS:
            yield f"{name}: {value} ms are less than {_LEAST_MS}"
    yield from _relations(agent_options(given))


def agent_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the agent is told; one of `heartbeat_timeout` and `election_timeout` alone counts for both."""
    options = {name: value for written, value in given.items() if (name := _own_name(written)) in OPTIONS}
    heartbeat = options.get("heartbeat_timeout", options.get("election_timeout", 500))
    options.setdefault("heartbeat_timeout", heartbeat)
    options.setdefault("election_timeout", heartbeat)
    if isinstance(heartbeat, int):
        options.setdefault("leader_lease_timeout", max(min(500, heartbeat), _LEAST_MS))
    return options


def _own_name(name: str) -> str:
    """`log_level` for `LogLevel`, the form in which Jina 3 hands the options on."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _relations(options: Mapping[str, Any]) -> Iterator[str]:
    heartbeat, election, lease = (
        options.get(name) for name in ("heartbeat_timeout", "election_timeout", "leader_lease_timeout")
    )
    if not all(isinstance(value, int) and value >= _LEAST_MS for value in (heartbeat, election, lease)):
        return  # which is said already
    if election < heartbeat:  # type: ignore[operator]
        yield f"election_timeout ({election}) is below heartbeat_timeout ({heartbeat})"
    if lease > heartbeat:  # type: ignore[operator]
        yield f"leader_lease_timeout ({lease}) is above heartbeat_timeout ({heartbeat})"


def raft_configuration_fits(spec: DeploymentSpec) -> Iterator[Problem]:
    """The consensus log knows its options, and they fit together."""
    for text in complaints(spec.raft_configuration or {}):
        yield Problem("raft_configuration", text)


def stateful_options_are_for_stateful(spec: DeploymentSpec) -> Iterator[Problem]:
    """What only a replicated log needs says nothing without one."""
    given = {} if spec.stateful else spec.non_defaults()
    for option in ("peer_ports", "raft_peers", "raft_key_file", "raft_configuration", "consistency"):
        if option in given:
            yield Problem(option, "is for stateful=True")


def stateful_runs_here(spec: DeploymentSpec) -> Iterator[Problem]:
    """A replicated Executor is started here, with its agent."""
    if spec.stateful and spec.external:
        yield Problem("stateful", "is not for an external Deployment, which keeps its own state: leave it out")


def raft_peers_are_addresses(spec: DeploymentSpec) -> Iterator[Problem]:
    """`host:port` of each replica's agent, none twice, and nothing that says the same otherwise."""
    peers = spec.raft_peers
    if peers is None:
        return
    if not peers:
        yield Problem("raft_peers", "is empty")
    for peer in peers:
        if text := _no_address(peer):
            yield Problem("raft_peers", text)
    if len(set(peers)) < len(peers):
        yield Problem("raft_peers", "an address is given twice")
    if "replicas" in spec.model_fields_set and spec.replicas != len(peers):
        yield Problem("raft_peers", f"{len(peers)} addresses for {spec.replicas} replica(s)")
    if spec.peer_ports:
        yield Problem("peer_ports", "leave it out: the ports are in raft_peers")
    for option in ("uses_before", "uses_after", "shards"):
        if getattr(spec, option) not in {None, 1}:
            yield Problem(option, "is not for replicas that are started one by one, by raft_peers")


def raft_peers_have_a_key(spec: DeploymentSpec) -> Iterator[Problem]:
    """Agents that are started one by one share no secret unless one is given."""
    if spec.stateful and spec.raft_peers and not spec.raft_key_file and not spec.ssl_certfile:
        yield Problem(
            "raft_peers",
            "agents prove to each other who they are: give raft_key_file, the same key to each of them "
            "(openssl rand -hex 32 > group.key), or a certificate (ssl_certfile, ssl_keyfile)",
        )


def _no_address(peer: str) -> str:
    try:
        address = split_address(peer)
    except ValueError as exc:
        return str(exc)
    return "" if address.port is not None and not address.scheme else f"{shown(peer)} is not host:port"


def replica_is_one_of_them(spec: DeploymentSpec) -> Iterator[Problem]:
    """`replica_id` says which of `raft_peers` this one is."""
    if spec.raft_peers and spec.replica_id >= len(spec.raft_peers):
        count = len(spec.raft_peers)
        yield Problem("replica_id", f"{spec.replica_id}: there are {count} raft_peers, counted from 0")
    elif spec.replica_id and not spec.raft_peers:
        yield Problem("replica_id", "needs raft_peers: it is the position of this replica among them")


def peer_ports_match_replicas(spec: DeploymentSpec) -> Iterator[Problem]:
    """One port for each replica of each shard, none twice."""
    given = spec.peer_ports
    if not given or not spec.stateful:
        return
    shards = [str(shard) for shard in range(spec.shards)]
    if isinstance(given, Mapping):
        if sorted(given) != sorted(shards):
            found, wanted = (", ".join(sorted(names)) for names in (given, shards))
            yield Problem("peer_ports", f"is for the shards {found}; there are {wanted}")
    elif len(shards) > 1:
        yield Problem("peer_ports", "each shard has ports of its own: {'0': [...], '1': [...]}")
    groups = list(given.values()) if isinstance(given, Mapping) else [given]
    lists = [list(ports) if isinstance(ports, Sequence) else [ports] for ports in groups]
    for ports in lists:
        if len(ports) != spec.replicas:
            yield Problem("peer_ports", f"{len(ports)} ports for {spec.replicas} replica(s)")
    every = [port for ports in lists for port in ports]
    if len(set(every)) < len(every):
        yield Problem("peer_ports", "a port is given twice")


if TYPE_CHECKING:
    from jina.config.models import ClientSpec, DeploymentSpec, ExecutorSpec, FlowSpec, GatewaySpec, StepSpec

    Server: TypeAlias = DeploymentSpec | GatewaySpec | FlowSpec


def check(spec: Spec) -> list[Problem]:
    """Every rule that the spec breaks, those that cannot be mended by waiting first."""
    rules = [rule for cls in type(spec).__mro__ for rule in RULES.get(cls.__name__, ())]
    problems = [problem for rule in rules for problem in rule(spec)]
    return sorted(problems, key=lambda problem: problem.not_yet)


def ports_match_protocols(spec: DeploymentSpec | GatewaySpec) -> Iterator[Problem]:
    """At most one port for each protocol; missing ones are chosen at start."""
    several = len(spec.ports) <= spec.replicas and _is_step(spec)
    if not _is_external(spec) and not several and len(spec.ports) > len(spec.protocols):
        yield Problem("port", too_many_ports(spec.ports, spec.protocols))


def too_many_ports(ports: Sequence[int], protocols: Sequence[str]) -> str:
    """The words for more ports than protocols."""
    return (
        f"{len(ports)} ports for {len(protocols)} protocol(s) ({', '.join(protocols)});"
        " each protocol is served on one port"
    )


def flow_ports_match_protocols(spec: FlowSpec) -> Iterator[Problem]:
    """The same for a Flow that says both; what it leaves open its gateway may say."""
    if {"port", "protocol"} <= spec.model_fields_set and len(spec.ports) > len(spec.protocols):
        yield Problem("port", too_many_ports(spec.ports, spec.protocols))


def ports_differ(spec: Server) -> Iterator[Problem]:
    """No port is given to two protocols."""
    for port, count in Counter(spec.ports).items():
        if count > 1 and not _is_external(spec):
            yield Problem("port", f"{port} is given twice; each protocol needs a port of its own")


def protocols_differ(spec: Server) -> Iterator[Problem]:
    """No protocol is given twice."""
    for protocol, count in Counter(spec.protocols).items():
        if count > 1:
            yield Problem("protocol", f"'{protocol}' is given twice")


def websocket_is_installed(spec: Server) -> Iterator[Problem]:
    """What speaks WebSocket has the library for it."""
    if "websocket" in spec.protocols and (missing := missing_extra("websockets", "websockets", "WebSocket")):
        yield Problem("protocol", f"{missing.message}: {missing.help}", MissingExtra)


def grpc_options_have_an_effect(spec: Server) -> Iterator[Problem]:
    """Arguments of gRPC channels are those that have an effect here, with values that fit."""
    try:
        server_settings(spec.grpc_server_options or {})
    except ConfigError as error:
        text = error.message.partition(": ")[2]
        yield Problem("grpc_server_options", f"{text}; {error.help}" if error.help else text)


def certificate_and_key(spec: Server | ClientSpec) -> Iterator[Problem]:
    """A certificate and its key come together."""
    if spec.ssl_certfile and not spec.ssl_keyfile:
        yield Problem("ssl_certfile", "needs 'ssl_keyfile', the file of the certificate's private key")
    if spec.ssl_keyfile and not spec.ssl_certfile:
        yield Problem("ssl_keyfile", "needs 'ssl_certfile', the file of the certificate")


def authorities_need_certificate(spec: Server) -> Iterator[Problem]:
    """A server asks for certificates over TLS only; of an external Deployment it says which servers to trust."""
    if spec.ssl_ca_certs and not spec.ssl_certfile and not _is_external(spec):
        yield Problem("ssl_ca_certs", "needs 'ssl_certfile': without TLS no client can show a certificate")


def tls_needs_certificate(spec: DeploymentSpec) -> Iterator[Problem]:
    """`tls` is how to connect; a server gets TLS from its certificate."""
    if spec.tls and not spec.external and not spec.ssl_certfile:
        yield Problem("tls", "is for connecting to an external Deployment; to serve by TLS give 'ssl_certfile'")


def _is_external(spec: Server) -> bool:
    return bool(getattr(spec, "external", False))


def _is_step(spec: Server) -> bool:
    return hasattr(spec, "method")


def name_is_usable(spec: Server) -> Iterator[Problem]:
    """The name becomes part of process names and paths."""
    if not is_name(spec.name):
        yield Problem(
            "name",
            f"{shown(spec.name)} must be printable, not empty, and without slashes or outer spaces; nor '.', '..' or "
            "longer than 200 bytes",
        )


def one_host(spec: Server) -> Iterator[Problem]:
    """A server listens on one plain address; several, or one with a scheme, name an external Deployment."""
    if _is_external(spec):
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
    """`uses` is of a kind that can name an Executor, and so is what may stand around the shards."""
    for option, uses in _executors_of(spec):
        readable = callable(getattr(uses, "read", None)) or hasattr(uses, "__fspath__")
        if isinstance(uses, str) and not uses.strip():
            yield Problem(option, "is empty")
        elif not isinstance(uses, str | Mapping | type) and not readable:
            yield Problem(option, f"{shown(uses)} is not an Executor class, import path, YAML, mapping or URL")


def is_image(uses: Any) -> bool:
    """Whether `uses` names an image, in which the Executor is."""
    return _scheme_of(uses) in IMAGE_SCHEMES


def uses_scheme_is_available(spec: DeploymentSpec | GatewaySpec) -> Iterator[Problem]:
    """There is no cloud that runs Executors."""
    for option, uses in _executors_of(spec):
        scheme = _scheme_of(uses)
        if scheme in SANDBOX_SCHEMES:
            plain = scheme.removesuffix("+sandbox")
            instead = f"take the package, {plain}://, or its image, {plain}+docker://"
            text = f"'{scheme}://' is not available: there is no cloud that runs it; {instead}"
            yield Problem(option, text, NotSupportedError)


def container_options_need_an_image(spec: DeploymentSpec) -> Iterator[Problem]:
    """What is said about a container needs one."""
    if not CONTAINER_OPTIONS.keys() & spec.model_fields_set:
        return
    images = [uses for _, uses in _executors_of(spec) if is_image(uses)]
    if images or spec.external:
        return
    for option, value in spec.non_defaults().items():
        if option in CONTAINER_OPTIONS and value not in _NOTHING:
            yield Problem(option, CONTAINER_OPTIONS[option], NotSupportedError)


def secrets_have_name_and_key(spec: ServiceOptions) -> Iterator[Problem]:
    """As the secrets of Kubernetes, which are files here: neither may lead elsewhere."""
    for variable, secret in (spec.env_from_secret or {}).items():
        parts = [secret.get(part) for part in ("name", "key")] if isinstance(secret, Mapping) else []
        good = [part for part in parts if isinstance(part, str) and part.strip(".") and "/" not in part]
        if len(good) != 2:
            yield Problem("env_from_secret", f"{variable}: write {{'name': SECRET, 'key': KEY}}, not {secret!r}")


def images_do_not_change(spec: DeploymentSpec) -> Iterator[Problem]:
    """There are no files of an image to be watched, and its processes have no port but that of their gateway."""
    if spec.external or not is_image(spec.uses):
        return
    if spec.reload:
        yield Problem("reload", "an image does not change; `roll_out(uses=...)` takes another one")
    if spec.stateful and spec.force_network_mode in {"BRIDGE", "NONE"}:
        yield Problem(
            "force_network_mode", "replicas of an image reach each other in the network of this machine: HOST"
        )
    if _is_step(spec) and spec.ports:
        yield Problem("port", "a container is reached through the Flow's gateway, which has the port")


def _scheme_of(uses: Any) -> str:
    return uses.partition("://")[0].strip().lower() if isinstance(uses, str) and "://" in uses else ""


def _executors_of(spec: DeploymentSpec | GatewaySpec) -> Iterator[tuple[str, Any]]:
    yield "uses", spec.uses
    for option in ("uses_before", "uses_after"):
        if (uses := getattr(spec, option, None)) is not None:
            yield option, uses


def is_available(spec: Spec) -> Iterator[Problem]:
    """Options of the table below keep their defaults, or say that there is nothing: `volumes: []`."""
    for option, value in spec.non_defaults().items():
        if option in UNAVAILABLE and value not in _NOTHING:
            plain = isinstance(value, int | str) and not isinstance(value, bool)
            text = f"{shown(value)} is not available yet" if plain else "not available yet"
            yield Problem(option, f"{text}; {UNAVAILABLE[option]}", error=NotSupportedError)


def clients_do_not_count(spec: ClientSpec) -> Iterator[Problem]:
    """A client sends the program's spans; it has no numbers and no log of its own."""
    for option in ("metrics", "metrics_exporter_host", "metrics_exporter_port", "log_config"):
        if option in spec.non_defaults():
            yield Problem(option, "is not available for clients; the service has it", NotSupportedError)


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


def targets_fit(spec: DeploymentSpec) -> Iterator[Problem]:
    """Hosts and ports of an external Deployment give one address for each replica."""
    if not spec.external:
        return
    try:
        targets(spec)
    except TargetError as exc:
        yield Problem(exc.option, str(exc))


def names_are_not_resolved_all_the_time(spec: DeploymentSpec | GatewaySpec | FlowSpec) -> Iterator[Problem]:
    """Servers of DNS are there for others, too."""
    if spec.resolve_seconds < _LEAST_RESOLVE:
        yield Problem("resolve_interval", f"{shown(spec.resolve_interval)} is below 100 milliseconds")


_LEAST_RESOLVE: Final = 0.1


def external_steps_speak_grpc(spec: StepSpec) -> Iterator[Problem]:
    """A gateway reaches its Executors by gRPC."""
    if not spec.external:
        return
    option = "protocol" if "protocol" in spec.model_fields_set else "host"
    with contextlib.suppress(TargetError):
        other = sorted({target.protocol for target in targets(spec)} - {"grpc"})
        if other:
            yield Problem(option, f"'{other[0]}': a Flow reaches its external Deployments by grpc")


def name_is_identifier(spec: StepSpec) -> Iterator[Problem]:
    """Names of steps are prefixes of parameters and nodes of the graph."""
    if not spec.name.isidentifier():
        yield Problem("name", f"{spec.name} is invalid, please follow the python variable name conventions")
    elif spec.name == "gateway":
        yield Problem("name", "'gateway' is the name of the Flow's gateway")


def needs_is_a_place(spec: StepSpec) -> Iterator[Problem]:
    """A step comes after others, each once, never after itself; a join has several."""
    needs = spec.needs
    if spec.method == "needs" and (needs is None or len(set(needs)) < 2):
        text = "no need to wait for a single service, need len(needs) > 1"
        yield Problem("needs", text, FlowTopologyError)
    elif needs is not None and not needs:
        yield Problem("needs", "is empty; 'gateway' is the request itself", FlowTopologyError)
    elif needs and spec.name in needs:
        yield Problem("needs", "the income/output of a deployment can not be itself", FlowTopologyError)
    if needs is not None and spec.method in {"needs_all", "inspect", "gather_inspect"}:
        yield Problem("needs", f"follows from the Flow for {spec.method}()")


def gateway_serves_http(spec: StepSpec) -> Iterator[Problem]:
    """What is served over HTTP beside the endpoints is said once, at the Flow's gateway."""
    given = spec.non_defaults()
    for option in (*ServiceOptions.HTTP.names, "gateway"):
        if option in given:
            where = "config_gateway(uses=...)" if option == "gateway" else "Flow(...) or Flow.config_gateway(...)"
            yield Problem(option, f"in a Flow it is an option of the gateway: {where}")


def gateway_is_in_front(spec: DeploymentSpec) -> Iterator[Problem]:
    """A gateway class of the user's own is started here, in front of replicas that are started with it."""
    if spec.gateway is None:
        return
    if spec.external:
        yield Problem("gateway", "an external Deployment runs elsewhere, with its own gateway; leave it out")
    if spec.raft_peers:
        yield Problem("gateway", "is not for replicas that are started one by one, by raft_peers")
    if not spec.include_gateway:
        yield Problem("include_gateway", "is false, but 'gateway' needs one; leave out one of them")
    if spec.name == "gateway":
        yield Problem("name", "'gateway' is the name of the gateway in front; choose another")


def shards_are_started(spec: DeploymentSpec) -> Iterator[Problem]:
    """What runs elsewhere has its shards there, behind one address."""
    for option in ("shards", "uses_before", "uses_after"):
        if spec.external and option in spec.model_fields_set and getattr(spec, option) not in {None, 1}:
            yield Problem(option, "is for Executors that are started here, not for an external one")


def shards_have_no_port(spec: StepSpec) -> Iterator[Problem]:
    """No process of a sharded step answers for all of it: the Flow's gateway does."""
    if spec.ports and not spec.external and (spec.shards > 1 or spec.uses_before or spec.uses_after):
        yield Problem("port", "the shards of a step are reached through the Flow's gateway, which has the port")


def autoscale_fits(spec: DeploymentSpec) -> Iterator[Problem]:
    """Replicas come and go where all are alike and are started here, behind a gateway that knows of all requests."""
    given = spec.autoscale
    if given is None:
        return
    yield from (Problem("autoscale", text) for text in autoscale_complaints(given))
    alternatives = {
        "external": (spec.external, "it runs elsewhere, and has to be scaled there"),
        "stateful": (spec.stateful, "its replicas hold the state: change their number by scale() or add_replica()"),
        "shards": (spec.shards > 1, "each holds a part of the data: give replicas, which are shared out to the shards"),
        "uses_before": (spec.uses_before is not None, "make it a Deployment of its own before this one in a Flow"),
        "uses_after": (spec.uses_after is not None, "make it a Deployment of its own after this one in a Flow"),
        "include_gateway": (not spec.include_gateway, "replicas that come and go are behind a gateway: leave it out"),
    }
    for option, (holds, instead) in alternatives.items():
        if holds:
            yield Problem("autoscale", f"is not for {option}={shown(getattr(spec, option))}: {instead}")
    bounds = given.get("min", 1), given.get("max", spec.replicas)
    if "replicas" in spec.model_fields_set and not bounds[0] <= spec.replicas <= bounds[1]:
        yield Problem("replicas", f"{spec.replicas} is not between min and max of autoscale; leave it out")


def autoscale_complaints(given: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with bounds and times."""
    least, most = given.get("min", 1), given.get("max")
    if most is None:
        yield "max is missing: how many replicas there may be"
    elif least > most:
        yield f"min ({least}) is above max ({most})"
    for name in ("target_wait", "cooldown", "held_time"):
        if name in given and not given[name]:
            yield f"{name} has to be above 0"


def gateway_autoscale_fits(spec: GatewaySpec) -> Iterator[Problem]:
    """The bounds and times for each Executor go together."""
    for name, given in spec.deployments_autoscale.items():
        yield from (Problem("deployments_autoscale", f"{name}: {text}") for text in autoscale_complaints(given))


def step_ports_are_fixed(spec: StepSpec) -> Iterator[Problem]:
    """A replica that comes and goes has no port that its callers know."""
    if spec.autoscale is not None and spec.ports and not spec.external:
        yield Problem("port", "with autoscale the replicas are reached through the Flow's gateway: leave it out")


def gateway_is_no_copy(spec: GatewaySpec) -> Iterator[Problem]:
    """Copies of a gateway, which a cluster starts, do not differ."""
    if spec.replica_id > 0:
        yield Problem("replica_id", "copies of a gateway do not differ: leave it out", NotSupportedError)


def gateway_is_not_reloaded(spec: GatewaySpec) -> Iterator[Problem]:
    """Only workers are restarted when files change."""
    if spec.reload:
        text = "gateways are not reloaded; Executors are. A Flow with `reload` gets another one when its YAML changes"
        yield Problem("reload", text, NotSupportedError)


def gateway_computes_nothing(spec: GatewaySpec) -> Iterator[Problem]:
    """GPUs are for Executors, and so are containers."""
    if spec.gpus is not None:
        yield Problem("gpus", "is for Deployments; a gateway only passes requests on")
    if not CONTAINER_OPTIONS.keys() & spec.model_fields_set:
        return
    exported = {"env_from_secret", "entrypoint"} if is_image(spec.uses) else {"env_from_secret"}
    for option, value in spec.non_defaults().items():
        if option in CONTAINER_OPTIONS and value not in _NOTHING and option not in exported:
            yield Problem(
                option, "not available for a gateway, which runs as a process: leave it out", NotSupportedError
            )


def flow_yaml_is_loaded(spec: FlowSpec) -> Iterator[Problem]:
    """A Flow is given by options or by a file."""
    if spec.uses is not None:
        yield Problem("uses", "is for the command line; Flow.load_config reads the YAML of a Flow")


def version_is_known(spec: ExecutorSpec) -> Iterator[Problem]:
    """There is one version of the format."""
    if spec.version not in VERSIONS:
        yield Problem("version", f"{shown(spec.version)} is not a valid version number; there is '1'", BadYAMLVersion)


VERSIONS: Final = frozenset({"1", "1.0"})
IMAGE_SCHEMES: Final = frozenset({"docker", "jinahub+docker", "jinaai+docker"})
SANDBOX_SCHEMES: Final = frozenset({"jinahub+sandbox", "jinaai+sandbox"})
_NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})
"""Values by which files of Jina 3 say that an option is not used."""
_NEEDS_IMAGE: Final = (
    "not available without an image, uses='docker://IMAGE'; this Executor runs as a process: leave it out"
)
CONTAINER_OPTIONS: Final[Mapping[str, str]] = {
    "entrypoint": _NEEDS_IMAGE,
    "docker_kwargs": _NEEDS_IMAGE,
    "volumes": _NEEDS_IMAGE,
    "disable_auto_volume": _NEEDS_IMAGE,
    "force_network_mode": _NEEDS_IMAGE,
    "prefer_platform": _NEEDS_IMAGE,
    "env_from_secret": f"{_NEEDS_IMAGE}, and set the variables by `env`",
}
"""Options that only containers have, and why they are refused elsewhere."""
_BY_ORCHESTRATION: Final = "Deployment(...) and Flow.add(...) decide it: leave it out"
UNAVAILABLE: Final[Mapping[str, str]] = {
    # of gateways
    "expose_graphql_endpoint": "call the endpoints by POST, as GET /docs shows them",
    # clouds, requirements
    "provider": "serve it with protocol='http' and let the cloud call its endpoints",
    "provider_endpoint": "serve it with protocol='http' and let the cloud call its endpoints",
    # processes of a larger whole
    "runtime_cls": _BY_ORCHESTRATION,
    "pod_role": _BY_ORCHESTRATION,
    "deployment_role": _BY_ORCHESTRATION,
    "shard_id": _BY_ORCHESTRATION,
    "uses_before_address": "give the Executor itself as uses_before",
    "uses_after_address": "give the Executor itself as uses_after",
    "connection_list": "give `shards`, or external Deployments by host and port",
}
"""Options that raise NotSupportedError unless they keep their defaults or are empty, and what to do instead."""
WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "timeout_ctrl": "nothing waits for control messages; `grace` is how long a stop may take",
}
"""Options of Jina 3 that are accepted and change nothing; the log says so where another value is given."""
RULES: Final[dict[str, tuple[Callable[[Any], Iterator[Problem]], ...]]] = {
    "DeploymentSpec": (
        ports_match_protocols,
        ports_differ,
        protocols_differ,
        websocket_is_installed,
        grpc_options_have_an_effect,
        certificate_and_key,
        authorities_need_certificate,
        tls_needs_certificate,
        name_is_usable,
        one_host,
        uses_is_given,
        uses_scheme_is_available,
        container_options_need_an_image,
        images_do_not_change,
        targets_fit,
        names_are_not_resolved_all_the_time,
        shards_are_started,
        gateway_is_in_front,
        autoscale_fits,
        stateful_options_are_for_stateful,
        raft_configuration_fits,
        peer_ports_match_replicas,
        raft_peers_are_addresses,
        raft_peers_have_a_key,
        replica_is_one_of_them,
        stateful_runs_here,
        is_available,
    ),
    "ServiceOptions": (secrets_have_name_and_key,),
    "StepSpec": (
        name_is_identifier,
        needs_is_a_place,
        external_steps_speak_grpc,
        shards_have_no_port,
        step_ports_are_fixed,
        gateway_serves_http,
    ),
    "GatewaySpec": (
        ports_match_protocols,
        ports_differ,
        protocols_differ,
        websocket_is_installed,
        grpc_options_have_an_effect,
        certificate_and_key,
        authorities_need_certificate,
        name_is_usable,
        one_host,
        gateway_autoscale_fits,
        gateway_is_no_copy,
        gateway_is_not_reloaded,
        gateway_computes_nothing,
        names_are_not_resolved_all_the_time,
        uses_scheme_is_available,
        is_available,
    ),
    "FlowSpec": (
        flow_ports_match_protocols,
        ports_differ,
        protocols_differ,
        websocket_is_installed,
        grpc_options_have_an_effect,
        certificate_and_key,
        authorities_need_certificate,
        name_is_usable,
        one_host,
        flow_yaml_is_loaded,
        names_are_not_resolved_all_the_time,
        is_available,
    ),
    "ClientSpec": (address_is_whole, address_says_it_once, certificate_and_key, clients_do_not_count, is_available),
    "ExecutorSpec": (version_is_known,),
}
"""Name of a spec's class -> its rules; subclasses have those of their bases."""
