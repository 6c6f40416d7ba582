"""Options of the `jina hub` commands."""

from __future__ import annotations

from jina.spec.base import Spec


class HubNewSpec(Spec):
    """Answers of the wizard; what is not given is asked for."""

    name: str | None = None
    """Name of the Executor's class, such as MyExecutor."""
    path: str | None = None
    """Folder to write the package to; ./NAME by default."""
    advance_configuration: bool | None = None
    """Go through the advanced part: Dockerfile, description, keywords, URL."""
    description: str | None = None
    """One line about what the Executor does."""
    keywords: str | None = None
    """Keywords, separated by commas."""
    url: str | None = None
    """Address of the Executor's home page."""
    dockerfile: str | None = None
    """Template of the Dockerfile: cpu, torch-gpu, tf-gpu, jax-gpu or none."""


class HubBuildSpec(Spec):
    """How to build an Executor package."""

    dockerfile_only: bool = False
    """Write the Dockerfile and stop."""
    dockerfile: str = "cpu"
    """Template of the Dockerfile: cpu, torch-gpu, tf-gpu or jax-gpu."""
    force: bool = False
    """Overwrite a Dockerfile that is there."""
