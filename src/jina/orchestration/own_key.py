"""The key with which an orchestration calls what it runs itself."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from jina.plan.plans import AccessPlan, DeploymentPlan, FlowPlan, GatewayPlan, KeyPlan, WorkerPlan

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
            return msgspec.structs.replace(plan, gateway=self._added(plan.gateway))
        if isinstance(plan, DeploymentPlan) and plan.workers:
            return msgspec.structs.replace(plan, workers=[self._added(worker) for worker in plan.workers])
        return plan

    def _added(self, process: S) -> S:
        access: AccessPlan = process.access
        if not access.keys and not access.keys_file:
            return process
        import secrets

        from jina.spec.access import SCOPES, digest_of

        self.text = self.text or secrets.token_hex(16)
        own = KeyPlan(name=NAME, digest=digest_of(self.text), scopes=list(SCOPES))
        changed = msgspec.structs.replace(access, keys=[*access.keys, own])
        return msgspec.structs.replace(process, access=changed)
