"""Images as `uses`, and the words with which an engine runs a container of one (pure)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from jina.errors import ConfigError, nearest
from jina.hub.fetch import Named
from jina.hub.oci import Reference, docker_name

_NAMED: Final = ("jinahub+docker", "jinaai+docker")


def image_of(uses: str) -> str:
    """The name by which an engine knows the image that `uses` is; raises `ConfigError` for a wrong one."""
    scheme, _, name = uses.strip().partition("://")
    if scheme.lower() in _NAMED:
        return _image_in_registry(uses, f"{scheme.lower().removesuffix('+docker')}://{name}")
    try:
        Reference.parse(docker_name(name))
    except ConfigError:
        raise ConfigError(
            f"{uses!r} names no image",
            help="write docker://NAME[:TAG], NAME in lower case, as `docker run` takes it",
        ) from None
    return name


def at_digest(image: str, digest: str) -> str:
    """The image with that digest, whatever version its name says; the image itself where `digest` is empty."""
    return f"{_without_version(image)}@{digest}" if digest else image


def _without_version(image: str) -> str:
    return re.sub(r":[^/]*$", "", image.partition("@")[0])


def _image_in_registry(uses: str, package: str) -> str:
    """The image of that name in the registry of JINA_HUB_REGISTRY."""
    named = Named.parse(package)
    reference = named.reference
    if not reference.registry:
        raise ConfigError(
            f"{uses}: images come from a registry that an engine can reach, and {named.registry} is a folder",
            help="name the registry of the image: JINA_HUB_REGISTRY=HOST[/PREFIX]; or write docker://IMAGE",
        )
    version = f"@{reference.digest}" if reference.digest else f":{reference.tag or 'latest'}"
    return f"{reference.registry}/{reference.repository}{version}"


# --- docker_kwargs ------------------------------------------------------------------------------------------------

_VALUES: Final = {
    "blkio_weight": "blkio-weight",
    "cgroup_parent": "cgroup-parent",
    "cgroupns": "cgroupns",
    "cpu_period": "cpu-period",
    "cpu_quota": "cpu-quota",
    "cpu_rt_period": "cpu-rt-period",
    "cpu_rt_runtime": "cpu-rt-runtime",
    "cpu_shares": "cpu-shares",
    "cpuset_cpus": "cpuset-cpus",
    "cpuset_mems": "cpuset-mems",
    "domainname": "domainname",
    "hostname": "hostname",
    "ipc_mode": "ipc",
    "isolation": "isolation",
    "kernel_memory": "kernel-memory",
    "mac_address": "mac-address",
    "mem_limit": "memory",
    "mem_reservation": "memory-reservation",
    "mem_swappiness": "memory-swappiness",
    "memswap_limit": "memory-swap",
    "network": "network",
    "network_mode": "network",
    "oom_score_adj": "oom-score-adj",
    "pid_mode": "pid",
    "pids_limit": "pids-limit",
    "platform": "platform",
    "runtime": "runtime",
    "shm_size": "shm-size",
    "stop_signal": "stop-signal",
    "user": "user",
    "userns_mode": "userns",
    "uts_mode": "uts",
    "volume_driver": "volume-driver",
    "working_dir": "workdir",
}
_SWITCHES: Final = {
    "init": "init",
    "oom_kill_disable": "oom-kill-disable",
    "privileged": "privileged",
    "publish_all_ports": "publish-all",
    "read_only": "read-only",
}
_LISTS: Final = {
    "cap_add": "cap-add",
    "cap_drop": "cap-drop",
    "device_cgroup_rules": "device-cgroup-rule",
    "devices": "device",
    "dns": "dns",
    "dns_opt": "dns-option",
    "dns_search": "dns-search",
    "domains": "dns-search",
    "group_add": "group-add",
    "security_opt": "security-opt",
    "volumes_from": "volumes-from",
}
_PAIRS: Final = {
    "extra_hosts": ("add-host", ":"),
    "labels": ("label", "="),
    "links": ("link", ":"),
    "storage_opt": ("storage-opt", "="),
    "sysctls": ("sysctl", "="),
    "tmpfs": ("tmpfs", ":"),
}
_REFUSED: Final = {
    "auto_remove": "a container is removed when it ends",
    "command": "its arguments are the options of the Deployment",
    "detach": "a container ends with the program that started it",
    "entrypoint": "it is an option of the Deployment: entrypoint",
    "healthcheck": "its health is asked for over gRPC",
    "image": "`uses` names it",
    "name": "each container gets a name of its own, from that of its worker",
    "remove": "a container is removed when it ends",
    "restart_policy": "options of the Deployment decide it: restart_limit, restart_backoff",
    "stdin_open": "its standard input is how it learns that the program has ended",
    "stream": "its lines are passed on in any case",
    "tty": "its lines are passed on in any case",
}
_HARMLESS: Final = {"auto_remove": True, "remove": True, "detach": True, "stdin_open": True, "stream": True}
"""Values by which `docker_kwargs` ask for what happens anyway."""


def flags_of(given: Mapping[str, Any]) -> list[str]:
    """The words for `docker run` that say what these arguments of the Docker SDK's `containers.run` say.

    Raises `ConfigError` naming the argument that has none.
    """
    words: list[str] = []
    for name, value in given.items():
        if value is None or _HARMLESS.get(name) is value:
            continue
        if name in _REFUSED:
            raise ConfigError(f"docker_kwargs: {name} is not available: {_REFUSED[name]}")
        if name not in _KNOWN:
            near = nearest(name, _KNOWN)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ConfigError(
                f"docker_kwargs: there is no flag for {name!r}{hint}", help=f"{', '.join(sorted(_KNOWN))}"
            )
        try:
            words += _KNOWN[name](value)
        except (TypeError, ValueError, LookupError, AttributeError):
            raise ConfigError(f"docker_kwargs: {name}: {value!r} is not what the Docker SDK takes") from None
    return words


def _plain(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise TypeError


def _value(flag: str) -> Callable[[Any], list[str]]:
    return lambda value: [f"--{flag}={_plain(value)}"]


def _switch(flag: str) -> Callable[[Any], list[str]]:
    def words(value: Any) -> list[str]:
        if not isinstance(value, bool):
            raise TypeError
        return [f"--{flag}"] if value else []

    return words


def _list(flag: str) -> Callable[[Any], list[str]]:
    return lambda value: [f"--{flag}={_plain(one)}" for one in ([value] if isinstance(value, str) else value)]


def _pairs(flag: str, between: str) -> Callable[[Any], list[str]]:
    def words(value: Any) -> list[str]:
        if not isinstance(value, Mapping):
            return _list(flag)(value)
        return [f"--{flag}={key}{between}{_plain(one)}" if one not in (None, "") else f"--{flag}={key}"
                for key, one in value.items()]  # fmt: skip

    return words


def _environment(value: Any) -> list[str]:
    return _pairs("env", "=")(value)


def _cpus(value: Any) -> list[str]:
    return [f"--cpus={int(value) / 1e9:g}"]


def _volumes(value: Any) -> list[str]:
    if not isinstance(value, Mapping):
        return _list("volume")(value)
    return [f"--volume={place}:{one['bind']}:{one.get('mode', 'rw')}" for place, one in value.items()]


def _ports(value: Mapping[str, Any]) -> list[str]:
    words = []
    for inside, outside in value.items():
        for one in outside if isinstance(outside, list) else [outside]:
            host = ":".join(map(str, one)) if isinstance(one, tuple) else "" if one is None else str(one)
            words.append(f"--publish={host}:{inside}" if host else f"--publish={inside}")
    return words


def _ulimits(value: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [{key.lower(): part for key, part in one.items()} for one in value]
    return [f"--ulimit={one['name']}={one['soft']}:{one.get('hard', one['soft'])}" for one in found]


def _log_config(value: Mapping[str, Any]) -> list[str]:
    found = {key.lower(): part for key, part in value.items()}
    options = [f"--log-opt={key}={part}" for key, part in (found.get("config") or {}).items()]
    return [f"--log-driver={found['type']}", *options]


def _mounts(value: Sequence[Mapping[str, Any]]) -> list[str]:
    words = []
    for one in value:
        found = {key.lower(): part for key, part in one.items()}
        parts = [f"type={found['type']}", f"target={found['target']}"]
        parts += [f"source={found['source']}"] if found.get("source") else []
        parts += ["readonly"] if found.get("readonly") else []
        words.append(f"--mount={','.join(map(_csv, parts))}")
    return words


def _csv(text: str) -> str:
    """A field of a line of comma-separated values, as engines read some of their flags."""
    return '"' + text.replace('"', '""') + '"' if set(text) & {",", '"'} else text


def _device_requests(value: Sequence[Mapping[str, Any]]) -> list[str]:
    words = []
    for one in value:
        found = {key.lower().replace("_", ""): part for key, part in one.items()}
        if devices := found.get("deviceids"):
            words += gpu_words(f"device={','.join(devices)}")
        else:
            words += gpu_words("all" if found["count"] == -1 else str(int(found["count"])))
    return words


_KNOWN: Final[Mapping[str, Callable[[Any], list[str]]]] = {
    **{name: _value(flag) for name, flag in _VALUES.items()},
    **{name: _switch(flag) for name, flag in _SWITCHES.items()},
    **{name: _list(flag) for name, flag in _LISTS.items()},
    **{name: _pairs(*flag) for name, flag in _PAIRS.items()},
    "device_requests": _device_requests,
    "environment": _environment,
    "log_config": _log_config,
    "mounts": _mounts,
    "nano_cpus": _cpus,
    "ports": _ports,
    "ulimits": _ulimits,
    "volumes": _volumes,
}


def gpu_words(gpus: str, engine: str = "docker") -> list[str]:
    """The words for `all`, a number of GPUs, or `device=0,1`."""
    if not gpus:
        return []
    if engine != "podman":
        return ["--gpus", _csv(gpus)]
    # podman knows GPUs by the Container Device Interface.
    kind, _, names = gpus.partition("=")
    which = ["all"] if kind == "all" else names.split(",") if names else list(map(str, range(int(kind))))
    return [f"--device=nvidia.com/gpu={one}" for one in which]


# --- volumes ------------------------------------------------------------------------------------------------------


def volumes_of(given: Sequence[str], *, folder: str | None = None) -> list[str]:
    """`local:container[:mode]` of each volume, as in Jina 3: `local` alone is mounted at `/` and its last part.

    A relative path starts at `folder`, or where the program runs. Raises `ConfigError` for what is no volume.
    """
    return [_volume(one, folder) for one in given]


def _volume(text: str, folder: str | None) -> str:
    local, _, rest = text.partition(":")
    inside, _, mode = rest.partition(":")
    if not local or (inside and not inside.startswith("/")) or ":" in mode:
        raise ConfigError(f"volumes: {text!r} is not LOCAL:CONTAINER, LOCAL:CONTAINER:ro or LOCAL")
    place = os.path.abspath(os.path.join(folder or "", os.path.expanduser(local)))
    inside = inside or f"/{os.path.basename(place)}"
    return f"{place}:{inside}:{mode or 'rw'}"


# --- arguments that Jina 3 gives its containers -------------------------------------------------------------------


def arguments_of(options: Mapping[str, Any]) -> list[str]:
    """Options as the command line of Jina 3 has them: `--native --port 1 2 --uses-with {"a": 1}`."""
    return list(_words(options))


def _words(options: Mapping[str, Any]) -> Iterator[str]:
    import json

    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is None or value is False or value in ([], {}, ""):
            continue
        yield flag
        if isinstance(value, Mapping):
            yield json.dumps(value)
        elif isinstance(value, list):
            yield from map(str, value)
        elif value is not True:
            yield str(value)
