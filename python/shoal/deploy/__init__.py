"""From a package to replicas behind a service: images, objects of Kubernetes, rollouts.

- `run_canary` tries another package on a share of the requests, and keeps it or takes it back.
- `apply` makes a cluster have a deployment's objects, and touches nothing else.
- `build_image` makes an image that serves a package, without a daemon.
- `render` is pure: the same settings give the same objects, for one version of Kubernetes.
- What is deployed is named by digest, images and packages alike.
- Importing this room loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.deploy._canary._analysis import (
        Analysis,
        Disagreement,
        MetricText,
        Prometheus,
        read_analysis,
        read_steps,
    )
    from shoal.deploy._canary._canary import CanaryRequest, run_canary, stop_canary
    from shoal.deploy._canary._events import CanaryEvent
    from shoal.deploy._canary._judge import Verdict
    from shoal.deploy._canary._machine import CanaryWeights
    from shoal.deploy._canary._settings import with_settings
    from shoal.deploy._cluster._apply import Applied, Change, apply
    from shoal.deploy._cluster._clock import SYSTEM_CLOCK, Clock
    from shoal.deploy._cluster._commands import (
        RolledBack,
        Scaled,
        Status,
        cluster_version,
        rollback,
        scale,
        status,
    )
    from shoal.deploy._cluster._delete import Deleted, delete
    from shoal.deploy._cluster._job import JobState, run_job
    from shoal.deploy._cluster._replicas import Autoscaler
    from shoal.deploy._cluster._revisions import Revision
    from shoal.deploy._cluster._rollout import Rollout, wait_for_rollout
    from shoal.deploy._cluster._troubles import Trouble
    from shoal.deploy._image._build import build_image
    from shoal.deploy._image._result import Image, ImageBase, ImageSettings, PlatformImage
    from shoal.deploy._image._rootfs import make_base
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
    from shoal.deploy._resolve import resolve_reference

__all__ = [
    "SYSTEM_CLOCK",
    "Analysis",
    "Applied",
    "Autoscaler",
    "Autoscaling",
    "Canary",
    "CanaryEvent",
    "CanaryRequest",
    "CanaryWeights",
    "Change",
    "Clock",
    "Deleted",
    "Deployment",
    "Disagreement",
    "Image",
    "ImageBase",
    "ImageSettings",
    "JobState",
    "MetricText",
    "Monitoring",
    "Operation",
    "Patch",
    "PatchTarget",
    "PlatformImage",
    "Prometheus",
    "Reference",
    "Revision",
    "RolledBack",
    "Rollout",
    "Route",
    "Scaled",
    "Status",
    "TrainingJob",
    "Trouble",
    "Verdict",
    "alert_groups",
    "apply",
    "build_image",
    "cluster_version",
    "delete",
    "find_package",
    "make_base",
    "read_analysis",
    "read_deployment",
    "read_reference",
    "read_steps",
    "read_training_job",
    "reference_to",
    "render",
    "render_job",
    "resolve_reference",
    "rollback",
    "run_canary",
    "run_job",
    "scale",
    "status",
    "stop_canary",
    "wait_for_rollout",
    "with_settings",
    "write",
]

_SETTINGS = "_objects._settings"
_LAZY: dict[str, str] = {
    "SYSTEM_CLOCK": "_cluster._clock",
    "Analysis": "_canary._analysis",
    "Applied": "_cluster._apply",
    "Autoscaler": "_cluster._replicas",
    "Autoscaling": f"{_SETTINGS}._deployment",
    "Canary": f"{_SETTINGS}._deployment",
    "CanaryEvent": "_canary._events",
    "CanaryRequest": "_canary._canary",
    "CanaryWeights": "_canary._machine",
    "Change": "_cluster._apply",
    "Clock": "_cluster._clock",
    "Deleted": "_cluster._delete",
    "Deployment": f"{_SETTINGS}._deployment",
    "Disagreement": "_canary._analysis",
    "Image": "_image._result",
    "ImageBase": "_image._result",
    "ImageSettings": "_image._result",
    "JobState": "_cluster._job",
    "MetricText": "_canary._analysis",
    "Monitoring": f"{_SETTINGS}._deployment",
    "Operation": f"{_SETTINGS}._patch",
    "Patch": f"{_SETTINGS}._patch",
    "PatchTarget": f"{_SETTINGS}._patch",
    "PlatformImage": "_image._result",
    "Prometheus": "_canary._analysis",
    "Reference": f"{_SETTINGS}._references",
    "Revision": "_cluster._revisions",
    "RolledBack": "_cluster._commands",
    "Rollout": "_cluster._rollout",
    "Route": f"{_SETTINGS}._deployment",
    "Scaled": "_cluster._commands",
    "Status": "_cluster._commands",
    "TrainingJob": f"{_SETTINGS}._training",
    "Trouble": "_cluster._troubles",
    "Verdict": "_canary._judge",
    "alert_groups": "_objects._watch._alerts",
    "apply": "_cluster._apply",
    "build_image": "_image._build",
    "cluster_version": "_cluster._commands",
    "delete": "_cluster._delete",
    "find_package": f"{_SETTINGS}._read",
    "make_base": "_image._rootfs",
    "read_analysis": "_canary._analysis",
    "read_deployment": f"{_SETTINGS}._read",
    "read_reference": f"{_SETTINGS}._references",
    "read_steps": "_canary._analysis",
    "read_training_job": f"{_SETTINGS}._read",
    "reference_to": f"{_SETTINGS}._references",
    "render": "_objects._render",
    "render_job": "_objects._job",
    "resolve_reference": "_resolve",
    "rollback": "_cluster._commands",
    "run_canary": "_canary._canary",
    "run_job": "_cluster._job",
    "scale": "_cluster._commands",
    "status": "_cluster._commands",
    "stop_canary": "_canary._canary",
    "wait_for_rollout": "_cluster._rollout",
    "with_settings": "_canary._settings",
    "write": "_objects._files",
}
# What these import is in the extra `deploy`.
_EXTRA = frozenset(
    {"cyclonedx", "httpx2", "lightkube", "lightkube.models", "lightkube.resources", "yaml"}
)


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
