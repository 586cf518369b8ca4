"""From a package to replicas behind a service: images, objects of Kubernetes, rollouts.

- `apply` makes a cluster have a deployment's objects, and touches nothing else.
- Importing this room loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

__all__ = [
    "SYSTEM_CLOCK",
    "Applied",
    "Autoscaler",
    "Change",
    "Clock",
    "Deleted",
    "JobState",
    "Revision",
    "RolledBack",
    "Rollout",
    "Scaled",
    "Status",
    "Trouble",
    "apply",
    "cluster_version",
    "delete",
    "rollback",
    "run_job",
    "scale",
    "status",
    "wait_for_rollout",
]

_LAZY: dict[str, str] = {
    "SYSTEM_CLOCK": "_cluster._clock",
    "Applied": "_cluster._apply",
    "Autoscaler": "_cluster._replicas",
    "Change": "_cluster._apply",
    "Clock": "_cluster._clock",
    "Deleted": "_cluster._delete",
    "JobState": "_cluster._job",
    "Revision": "_cluster._revisions",
    "RolledBack": "_cluster._commands",
    "Rollout": "_cluster._rollout",
    "Scaled": "_cluster._commands",
    "Status": "_cluster._commands",
    "Trouble": "_cluster._troubles",
    "apply": "_cluster._apply",
    "cluster_version": "_cluster._commands",
    "delete": "_cluster._delete",
    "rollback": "_cluster._commands",
    "run_job": "_cluster._job",
    "scale": "_cluster._commands",
    "status": "_cluster._commands",
    "wait_for_rollout": "_cluster._rollout",
}
# What these import is in the extra `deploy`.
_EXTRA = frozenset({"httpx2", "lightkube", "lightkube.models", "lightkube.resources", "yaml"})


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
