"""The API of Kubernetes in plain objects, with the accounts and certificates of a kubeconfig: lightkube finds these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from jina.errors import MissingExtra, Unavailable, UsageError, install_command

if TYPE_CHECKING:
    from httpx2 import Client, Response

Object = dict[str, Any]
MANAGER: Final = "jina"
"""As what our changes are noted in the objects."""
_TIMEOUT: Final = 15.0
_LARGEST_PAGE: Final = 500
_MERGE: Final = "application/merge-patch+json"
_APPLY: Final = "application/apply-patch+yaml"


class Conflict(Exception):
    """The object has changed since it was read, or is another one of the same name."""


class Missing(UsageError):
    """There is no such object."""


class Refused(Exception):
    """A disruption budget does not allow it now."""


class Api:
    """Requests to the API server, for objects of one namespace. May be used by one thread at a time.

    Without `kubeconfig` it is the account of the pod, else the file of the variable `KUBECONFIG`, or `~/.kube/config`.
    Raises `MissingExtra` without the extra, and `UsageError` where nothing tells where the server is.
    """

    def __init__(self, namespace: str | None = None, kubeconfig: str | None = None, context: str | None = None) -> None:
        try:
            from lightkube.config.client_adapter import Client as Connected
            from lightkube.config.client_adapter import ConnectionParams
            from lightkube.config.kubeconfig import KubeConfig
            from lightkube.core.exceptions import ConfigError
        except ImportError:
            raise MissingExtra(
                "`jina kubernetes` needs lightkube, which is not installed", help=install_command("kubernetes")
            ) from None
        import httpx2

        try:
            config = KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_env()
            chosen = config.get(context)
            assert chosen is not None
            if chosen.user is None:
                raise UsageError(f"the context {chosen.context_name!r} of the kubeconfig names no user")
            self._client: Client = Connected(chosen, ConnectionParams(timeout=httpx2.Timeout(_TIMEOUT)))
        except (ConfigError, KeyError, OSError, ValueError) as error:
            raise UsageError(
                f"it is not known where the Kubernetes API is: {error}",
                help="give --kubeconfig FILE and --context NAME as kubectl takes them, or set KUBECONFIG",
            ) from None
        self.namespace = namespace or chosen.namespace
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def path(self, group: str, plural: str, name: str = "") -> str:
        """Of objects of a kind in the namespace, or of one of them; `group` is `v1`, or `apps/v1`."""
        root = f"/api/{group}" if "/" not in group else f"/apis/{group}"
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def get(self, path: str) -> Object:
        """One object; raises `Missing`."""
        return self._json(self._send("GET", path))

    def list(self, path: str, labels: str = "") -> list[Object]:
        """All objects of a kind as they are now, page by page."""
        found: list[Object] = []
        token = ""
        while True:
            query = {"limit": str(_LARGEST_PAGE), "labelSelector": labels, "continue": token}
            page = self._json(self._send("GET", path, params={name: text for name, text in query.items() if text}))
            found += page.get("items") or []
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return found

    def patch(self, path: str, content: Mapping[str, Any]) -> Object:
        """Merge into an object; raises `Conflict` where it has another `resourceVersion` than the content."""
        return self._json(
            self._send("PATCH", path, content, params={"fieldManager": MANAGER}, headers={"Content-Type": _MERGE})
        )

    def apply(self, content: Object) -> Object:
        """Make an object what it is in a file, whoever changed it; raises `Conflict` as `patch` does."""
        path = self._path_of(content)
        params = {"fieldManager": MANAGER, "force": "true"}
        return self._json(self._send("PATCH", path, content, params=params, headers={"Content-Type": _APPLY}))

    def live(self, content: Object) -> Object | None:
        """The object of that name that is there."""
        try:
            return self.get(self._path_of(content))
        except Missing:
            return None

    def delete(self, path: str, uid: str, version: str = "") -> None:
        """Delete what has that uid; nothing where it is gone. Raises `Conflict` where it is not in that version."""
        conditions = {"uid": uid, **({"resourceVersion": version} if version else {})}
        try:
            self._send("DELETE", path, {"preconditions": conditions})
        except Missing:
            return

    def evict(self, pod: str, uid: str) -> None:
        """End a pod within its disruption budget; raises `Refused` where that does not allow it."""
        content = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        try:
            self._send("POST", f"{self.path('v1', 'pods', pod)}/eviction", content)
        except Missing:
            return

    def require_namespace(self) -> None:
        """Raise where there is none; an account that may not read namespaces is believed."""
        try:
            self._send("GET", f"/api/v1/namespaces/{self.namespace}", quiet=True)
        except Missing:
            raise Missing(
                f"there is no namespace {self.namespace!r}", help=f"kubectl create namespace {self.namespace}"
            ) from None
        except _Forbidden:
            return

    # --- requests ---------------------------------------------------------------------------------------------

    def _path_of(self, content: Object) -> str:
        version, kind = str(content.get("apiVersion", "")), str(content.get("kind", ""))
        name = str((content.get("metadata") or {}).get("name", ""))
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        if version not in self._kinds:
            try:
                resources = self.get(root)["resources"]
            except Missing:
                raise UsageError(f"{kind} {name}: this cluster has no API {version!r}") from None
            self._kinds[version] = {
                one["kind"]: (one["name"], one["namespaced"]) for one in resources if "/" not in one["name"]
            }
        if kind not in self._kinds[version]:
            raise UsageError(f"{kind} {name}: this cluster has no such kind in {version}")
        plural, namespaced = self._kinds[version][kind]
        namespace = (content.get("metadata") or {}).get("namespace") or self.namespace
        return f"{root}/namespaces/{namespace}/{plural}/{name}" if namespaced else f"{root}/{plural}/{name}"

    def _send(
        self,
        method: str,
        path: str,
        content: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        quiet: bool = False,
    ) -> Response:
        import httpx2
        import msgspec
        from lightkube.core.exceptions import ConfigError

        body = None if content is None else msgspec.json.encode(content)
        named = {"Content-Type": "application/json", **(headers or {})} if body else {}
        try:
            response = self._client.request(method, path, content=body, params=dict(params or {}), headers=named)
        except (httpx2.HTTPError, OSError, ConfigError) as error:
            where = f"{self._client.base_url.host}:{self._client.base_url.port or 443}"
            raise Unavailable(
                f"the Kubernetes API at {where} does not answer: {error or type(error).__name__}"
            ) from None
        if response.is_success:
            return response
        raise self._error(response, method, path, quiet=quiet)

    @staticmethod
    def _json(response: Response) -> Object:
        content: Object = response.json()
        return content

    def _error(self, response: Response, method: str, path: str, *, quiet: bool) -> Exception:
        try:
            text = str(response.json().get("message", ""))
        except ValueError:
            text = response.text[:200]
        code = response.status_code
        if code == 404:
            return Missing(text or f"there is no {path}")
        if code == 409:
            return Conflict(text)
        if code == 429 and path.endswith("/eviction"):
            return Refused(text)
        if code == 403:
            return _Forbidden(text, help="" if quiet else _rule(method, path))
        if code == 401:
            return UsageError("the Kubernetes API does not know this account", help="see `kubectl auth whoami`")
        if code in {400, 422}:
            return UsageError(f"the Kubernetes API refuses {method} {path}: {text}")
        return Unavailable(f"the Kubernetes API answers {code} to {method} {path}: {text}")


class _Forbidden(UsageError):
    """The account may not do it."""


def _rule(method: str, path: str) -> str:
    """The rule of RBAC that is missing."""
    words = path.strip("/").split("/")
    group = "" if words[0] == "api" else words[1]
    rest = words[2 if words[0] == "api" else 3 :]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    resource = "/".join([rest[0], *rest[2:3]])
    verb = {"GET": "get" if len(rest) > 1 else "list", "POST": "create"}.get(method, method.lower())
    return (
        "a Role that is bound to the account needs the rule "
        f"{{apiGroups: [{group!r}], resources: [{resource!r}], verbs: [{verb!r}]}}"
    )


def first(objects: Iterable[Object], name: str) -> Object | None:
    """The object of a name among these."""
    return next((one for one in objects if one.get("name") == name), None)
