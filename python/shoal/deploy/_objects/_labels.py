"""What every object says of itself.

- All objects of a deployment carry `shoal.io/deployment: NAME`: by it they are found, shown and
  pruned, whoever applied them.
- Pods say their track, `stable` or `canary`: each has its own Service.
- The package is an annotation: a digest is too long for a label.

Source: Kubernetes documentation, "Recommended Labels".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from lightkube.models.meta_v1 import LabelSelector, ObjectMeta

if TYPE_CHECKING:
    from shoal.deploy._objects._settings._deployment import Deployment
    from shoal.deploy._objects._settings._references import Reference

DEPLOYMENT = "shoal.io/deployment"
TRACK = "shoal.io/track"
COMPONENT = "app.kubernetes.io/component"
PACKAGE_DIGEST = "shoal.io/package-digest"

Track: TypeAlias = Literal["stable", "canary"]

# As much of a digest as people compare.
_SHORT = slice(7, 19)


def labels(name: str, component: str, content: Reference | None) -> dict[str, str]:
    """The labels of an object.

    Args:
        name: The deployment.
        component: What the object is for.
        content: The package that it is about.
    """
    version = {} if content is None else {"app.kubernetes.io/version": content.digest[_SHORT]}
    return {
        "app.kubernetes.io/name": "shoal",
        "app.kubernetes.io/instance": name,
        **version,
        COMPONENT: component,
        "app.kubernetes.io/managed-by": "shoal",
        DEPLOYMENT: name,
    }


def metadata(
    asked: Deployment, component: str, suffix: str = "", *, content: Reference | None = None
) -> ObjectMeta:
    """Name, namespace, labels and annotations of an object.

    Args:
        asked: The deployment.
        component: What the object is for.
        suffix: What follows the deployment's name in its own.
        content: The package it is about; None for the deployment's.
    """
    about = content or asked.content
    return ObjectMeta(
        name=f"{asked.name}{suffix}",
        namespace=asked.namespace,
        labels=labels(asked.name, component, about),
        annotations={PACKAGE_DIGEST: about.digest},
    )


def chosen(asked: Deployment, track: Track | None = None) -> dict[str, str]:
    """The labels by which Pods are chosen: all, or those of one track."""
    return {DEPLOYMENT: asked.name} | ({} if track is None else {TRACK: track})


def selector(asked: Deployment, track: Track | None = None) -> LabelSelector:
    """The same as Kubernetes takes it."""
    return LabelSelector(matchLabels=chosen(asked, track))
