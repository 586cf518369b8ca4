"""The settings of a deployment, as the cluster has them: its Deployment says how it was rendered.

- What renders a deployment writes its settings beside it, so that a new package can be rendered in
  the same way by whoever has the cluster only.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shoal.deploy._objects._labels import PACKAGE_DIGEST
from shoal.deploy._objects._settings._deployment import Deployment
from shoal.deploy._objects._workloads import SETTINGS
from shoal.errors import ClusterConflictError, ConfigurationError, DeployError


def settings_of(content: dict[str, Any]) -> Deployment:
    """The settings that a Deployment was rendered from.

    Raises:
        DeployError: it does not say them, or those of another version of this program.
        ClusterConflictError: its package was changed by something else since.
    """
    name = content["metadata"]["name"]
    stated = content["metadata"].get("annotations") or {}
    text = stated.get(SETTINGS)
    hint = "Deploy it once more, by `shoal deploy` of this version."
    if text is None:
        raise DeployError(f"the Deployment {name} does not say its settings", hint=hint)
    try:
        settings = msgspec.json.decode(text, type=Deployment)
    except (msgspec.MsgspecError, ConfigurationError, RecursionError) as error:
        message = f"the settings of the Deployment {name} cannot be read: {error}"
        raise DeployError(message, hint=hint) from None
    if stated.get(PACKAGE_DIGEST) != settings.content.digest:
        message = f"the Deployment {name} states another package than its settings"
        raise ClusterConflictError(message, hint=hint)
    return settings
