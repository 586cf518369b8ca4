"""From a package to replicas behind a service: images, objects of Kubernetes, rollouts.

- `render` is pure: the same settings give the same objects, for one version of Kubernetes.
- What is deployed is named by digest, images and packages alike.
- Importing this room loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.deploy._objects._files import write
    from shoal.deploy._objects._job import render_job
    from shoal.deploy._objects._render import render
    from shoal.deploy._objects._settings._deployment import (
        Autoscaling,
        Canary,
        Deployment,
        Monitoring,
        Route,
    )
    from shoal.deploy._objects._settings._patch import Operation, Patch, PatchTarget
    from shoal.deploy._objects._settings._read import (
        find_package,
        read_deployment,
        read_training_job,
    )
    from shoal.deploy._objects._settings._references import Reference, read_reference, reference_to
    from shoal.deploy._objects._settings._training import TrainingJob
    from shoal.deploy._objects._watch._alerts import alert_groups

__all__ = [
    "Autoscaling",
    "Canary",
    "Deployment",
    "Monitoring",
    "Operation",
    "Patch",
    "PatchTarget",
    "Reference",
    "Route",
    "TrainingJob",
    "alert_groups",
    "find_package",
    "read_deployment",
    "read_reference",
    "read_training_job",
    "reference_to",
    "render",
    "render_job",
    "write",
]

_SETTINGS = "_objects._settings"
_LAZY: dict[str, str] = {
    "Autoscaling": f"{_SETTINGS}._deployment",
    "Canary": f"{_SETTINGS}._deployment",
    "Deployment": f"{_SETTINGS}._deployment",
    "Monitoring": f"{_SETTINGS}._deployment",
    "Operation": f"{_SETTINGS}._patch",
    "Patch": f"{_SETTINGS}._patch",
    "PatchTarget": f"{_SETTINGS}._patch",
    "Reference": f"{_SETTINGS}._references",
    "Route": f"{_SETTINGS}._deployment",
    "TrainingJob": f"{_SETTINGS}._training",
    "alert_groups": "_objects._watch._alerts",
    "find_package": f"{_SETTINGS}._read",
    "read_deployment": f"{_SETTINGS}._read",
    "read_reference": f"{_SETTINGS}._references",
    "read_training_job": f"{_SETTINGS}._read",
    "reference_to": f"{_SETTINGS}._references",
    "render": "_objects._render",
    "render_job": "_objects._job",
    "write": "_objects._files",
}
# What these import is in the extra `deploy`.
_EXTRA = frozenset({"lightkube", "lightkube.models", "lightkube.resources", "yaml"})


def __getattr__(name: str) -> Any:
    """Loads what needs the libraries of the extra `deploy` when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    try:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        from shoal.errors import RequirementError

        message = f"deploying needs {error.name}, which is not installed"
        raise RequirementError(message, hint="pip install 'shoal[deploy]'") from error
