"""Deployment and Flow: what users hold; a few lines each over the rooms below.

Takes: options.
Gives: a running service with `post`.
Never: starts a process itself.
"""

from __future__ import annotations

from jina.gateway.custom import Gateway
from jina.orchestration.deployment import Deployment
from jina.orchestration.flow import AsyncFlow, Flow

__all__ = ["AsyncFlow", "Deployment", "Flow", "Gateway"]
