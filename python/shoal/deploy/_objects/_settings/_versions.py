"""Versions of Kubernetes: what objects are rendered for, and what each version knows.

| from | what |
|---|---|
| 1.31 | `unhealthyPodEvictionPolicy` of a disruption budget is stable |
| 1.33 | user namespaces (`hostUsers`) are on |
| 1.35 | image volumes are on |

Source: kubernetes/pkg/features/kube_features.go of these versions.
"""

from __future__ import annotations

import re

from shoal.errors import ConfigurationError

OLDEST = (1, 31)
NEWEST = (1, 37)
SUPPORTED = tuple(f"1.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1))
DEFAULT = "1.36"

_VERSION = re.compile(r"v?(\d{1,3})\.(\d{1,3})(?:[.+-].*)?")
_USER_NAMESPACES = (1, 33)
_IMAGE_VOLUMES = (1, 35)


def read_version(text: str) -> tuple[int, int]:
    """Reads `1.36`, or `v1.36.3` as a cluster tells it.

    Raises:
        ConfigurationError: it is no version, or none that objects are rendered for.
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        message = f"cluster is {text!r}, expected a version of Kubernetes such as {DEFAULT}"
        raise ConfigurationError(message)
    version = (int(match[1]), int(match[2]))
    if not OLDEST <= version <= NEWEST:
        message = f"cluster is {text}, expected {SUPPORTED[0]} to {SUPPORTED[-1]}"
        hint = f"A later cluster reads what is rendered for {SUPPORTED[-1]}."
        if version < OLDEST:
            hint = f"Upgrade the cluster to {SUPPORTED[0]} or later."
        raise ConfigurationError(message, hint=hint)
    return version


def has_user_namespaces(version: tuple[int, int]) -> bool:
    """Whether root in a container may be nobody on its node."""
    return version >= _USER_NAMESPACES


def has_image_volumes(version: tuple[int, int]) -> bool:
    """Whether an image can be a volume."""
    return version >= _IMAGE_VOLUMES
