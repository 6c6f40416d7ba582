"""Credentials of registries: from the environment, Docker's configuration and its helpers; `login` and `logout`.

They are never printed: `repr` hides them, and no message carries them.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from jina.errors import ConfigError
from jina.hub.oci import whole

_DOCKER_HUB: Final = "https://index.docker.io/v1/"
"""What Docker calls its own registry in its configuration."""
_HELPER_TIME: Final = 30.0
_HELPER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name with a password, or an identity token."""

    username: str
    password: str = field(repr=False, default="")
    identity_token: str = field(repr=False, default="")

    @property
    def basic(self) -> str:
        """For the header Authorization."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def credentials_for(host: str) -> Credentials | None:
    """The credentials for a registry; None where there are none.

    `JINA_HUB_USERNAME` and `JINA_HUB_PASSWORD` are for the host of `JINA_HUB_REGISTRY` alone: a package that names
    another registry is not shown them.
    """
    own = os.environ.get("JINA_HUB_REGISTRY", "").partition("/")[0]
    username, password = os.environ.get("JINA_HUB_USERNAME", ""), os.environ.get("JINA_HUB_PASSWORD", "")
    if username and password and host == own:
        return Credentials(username, password)
    config = _read()
    helper = _table(config, "credHelpers").get(_key(host)) or config.get("credsStore")
    if helper and (found := _from_helper(str(helper), host)) is not None:
        return found
    auths = _table(config, "auths")
    for name in (_key(host), f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/"):
        if isinstance(entry := auths.get(name), dict) and (found := _of_entry(entry)) is not None:
            return found
    return None


def save(host: str, credentials: Credentials) -> str:
    """Keep credentials as `docker login` does: by its helper, else in its configuration; gives where they are."""
    config = _read()
    helper = _table(config, "credHelpers").get(_key(host)) or config.get("credsStore")
    if helper:
        value = {"ServerURL": _key(host), "Username": credentials.username, "Secret": credentials.password}
        _run_helper(str(helper), "store", json.dumps(value))
        return f"docker-credential-{helper}"
    code = base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
    config["auths"] = {**_table(config, "auths"), _key(host): {"auth": code}}
    return str(_write(config))


def forget(host: str) -> bool:
    """Remove what `save` kept; False where there was nothing."""
    config = _read()
    helper = _table(config, "credHelpers").get(_key(host)) or config.get("credsStore")
    found = bool(helper and _from_helper(str(helper), host) is not None)
    if found:
        _run_helper(str(helper), "erase", _key(host))
    auths = _table(config, "auths")
    if _key(host) in auths:
        config["auths"] = {name: entry for name, entry in auths.items() if name != _key(host)}
        _write(config)
        return True
    return found


def config_file() -> Path:
    """Docker's configuration, in `DOCKER_CONFIG` or below the home folder."""
    folder = os.environ.get("DOCKER_CONFIG")
    return Path(folder) / "config.json" if folder else Path.home() / ".docker" / "config.json"


def _key(host: str) -> str:
    return _DOCKER_HUB if host in {"docker.io", "index.docker.io", "registry-1.docker.io"} else host


def _table(config: dict[str, Any], key: str) -> dict[str, Any]:
    found = config.get(key)
    return found if isinstance(found, dict) else {}


def _read() -> dict[str, Any]:
    file = config_file()
    try:
        value = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        # The text of the file is not shown: it may hold credentials.
        raise ConfigError(f"{file} cannot be read: {type(error).__name__}", help="mend it, or remove it") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{file} is not a JSON object", help="mend it, or remove it")
    return value


def _write(config: dict[str, Any]) -> Path:
    file = config_file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with whole(file, mode=0o600) as target:
        target.write(json.dumps(config, indent="\t").encode() + b"\n")
    return file


def _of_entry(entry: dict[str, Any]) -> Credentials | None:
    token = entry.get("identitytoken") or ""
    username, password = entry.get("username") or "", entry.get("password") or ""
    try:
        decoded = base64.b64decode(entry.get("auth") or "", validate=True).decode().rstrip("\0")
    except (binascii.Error, ValueError, TypeError):
        decoded = ""
    if ":" in decoded:
        username, _, password = decoded.partition(":")
    if not (username and password) and not token:
        return None
    return Credentials(str(username), str(password), str(token))


def _from_helper(helper: str, host: str) -> Credentials | None:
    try:
        value = json.loads(_run_helper(helper, "get", _key(host)))
    except ConfigError:
        return None  # a helper fails where it has none for the host
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ConfigError(f"docker-credential-{helper} gave no JSON for {host}") from None
    username, secret = str(value.get("Username", "")), str(value.get("Secret", ""))
    if username == "<token>":
        return Credentials("", "", secret)
    return Credentials(username, secret) if username and secret else None


def _run_helper(helper: str, action: str, given: str) -> str:
    program = shutil.which(f"docker-credential-{helper}") if _HELPER.fullmatch(helper) else None
    if program is None:
        raise ConfigError(f"{config_file()} names the credential helper {helper!r}, which is not installed")
    try:
        done = subprocess.run(  # noqa: S603 - the helper that the user's configuration names
            [program, action],
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_HELPER_TIME,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"docker-credential-{helper} {action} did not end within {_HELPER_TIME:.0f} s") from None
    if done.returncode:
        raise ConfigError(f"docker-credential-{helper} {action} failed with code {done.returncode}")
    return done.stdout
