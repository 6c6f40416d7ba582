"""The copies of one Deployment's Executor: shards, the replicas of each, and what is around the shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from jina.plan.plans import Part, PollingMode

if TYPE_CHECKING:
    from jina.spec.deployment import DeploymentSpec

BEFORE: Final = "uses_before"
AFTER: Final = "uses_after"
AROUND: Final[tuple[Part, ...]] = (BEFORE, AFTER)
"""The options that put Executors around the shards; also how their processes are called."""

_DEFAULT_POLLING: Final[Mapping[str, PollingMode]] = {"/index": "ANY", "/search": "ALL"}
"""What Jina 3 does on these endpoints unless the mapping of the option names them."""


class Copy(NamedTuple):
    """One worker of a Deployment."""

    name: str
    shard: int = 0
    replica: int = 0
    part: Part = ""


def copies(spec: DeploymentSpec) -> Iterator[Copy]:
    """All workers of a Deployment that are started here: shard by shard, then those around the shards."""
    if spec.raft_peers:
        yield Copy(f"{spec.name}/rep-{spec.replica_id}", replica=spec.replica_id)
        return
    for shard in range(spec.shards):
        inside = f"{spec.name}/shard-{shard}" if spec.shards > 1 else spec.name
        for replica in range(spec.replicas):
            yield Copy(f"{inside}/rep-{replica}", shard, replica)
    for part in around(spec):
        yield Copy(f"{spec.name}/{part}-0", part=part)


def around(spec: DeploymentSpec) -> list[Part]:
    """Which of the Executors around the shards the Deployment has."""
    return [part for part in AROUND if getattr(spec, part) is not None]


def is_plain(spec: DeploymentSpec) -> bool:
    """Whether one worker is all."""
    return bool(spec.raft_peers) or (spec.replicas == spec.shards == 1 and not around(spec))


def replicas(spec: DeploymentSpec) -> int:
    """How many replicas there are, also elsewhere."""
    return len(spec.raft_peers or ()) or spec.replicas


def owner(deployment: str, part: str) -> str:
    """The name under which the Executor of a part is kept, and travels."""
    return f"{deployment}/{part}" if part else deployment


def polling(spec: DeploymentSpec) -> dict[str, PollingMode]:
    """How many shards get a request, by endpoint and with `*` for the others; empty with a single shard."""
    if spec.shards == 1:
        return {}
    given = cast("PollingMode | dict[str, PollingMode]", spec.polling)
    modes: dict[str, PollingMode] = {"*": "ANY", **_DEFAULT_POLLING}
    modes.update(given if isinstance(given, dict) else {"*": given})
    return modes
