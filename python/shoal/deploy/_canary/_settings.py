"""The settings of a deployment, as the cluster has them: beside what they were rendered to.

- Whoever applies a deployment writes its settings to it, so that another package can be rendered in
  the same way by whoever has the cluster only. There is no secret in them.
- What is written to files has none: who applies those has settings of its own, such as a chart's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from shoal.deploy._objects._labels import PACKAGE_DIGEST
from shoal.deploy._objects._settings._deployment import Deployment
from shoal.errors import ClusterConflictError, ConfigurationError, DeployError

if TYPE_CHECKING:
    from collections.abc import Iterable

SETTINGS = "shoal.io/settings"
# All annotations of an object together may have 256 KiB.
LIMIT_BYTES = 128 * 1024


def with_settings(objects: Iterable[Any], asked: Deployment) -> tuple[Any, ...]:
    """The objects of a deployment, its Deployment with the settings they were rendered from.

    Args:
        objects: What `render` gives.
        asked: What it was given. Settings with patches of more than 128 KiB are left out; such a
            deployment can have no canary.
    """
    lasting = msgspec.structs.replace(asked, canary=None)
    text = msgspec.json.encode(lasting, order="deterministic").decode()
    made = tuple(objects)
    if len(text) > LIMIT_BYTES:
        return made
    for each in made:
        if each.kind == "Deployment" and each.metadata.name == asked.name:
            each.metadata.annotations = {**(each.metadata.annotations or {}), SETTINGS: text}
    return made


def settings_of(content: dict[str, Any]) -> Deployment:
    """The settings that a Deployment was rendered from.

    Raises:
        DeployError: it does not say them, or those of another version of this program.
        ClusterConflictError: its package was changed by something else since.
    """
    name = content["metadata"]["name"]
    text = (content["metadata"].get("annotations") or {}).get(SETTINGS)
    hint = "Deploy it once more, by `shoal deploy --apply` of this version."
    if text is None:
        raise DeployError(f"the Deployment {name} does not say its settings", hint=hint)
    try:
        settings = msgspec.json.decode(text, type=Deployment)
    except (msgspec.MsgspecError, ConfigurationError, RecursionError) as error:
        message = f"the settings of the Deployment {name} cannot be read: {error}"
        raise DeployError(message, hint=hint) from None
    if served_digest(content) != settings.content.digest:
        message = f"{name} serves another package than its settings say: it was changed since"
        raise ClusterConflictError(message, hint=hint)
    return settings


def served_digest(content: dict[str, Any]) -> str:
    """The package that the replicas of a Deployment are to serve."""
    metadata = content["spec"]["template"].get("metadata") or {}
    return str((metadata.get("annotations") or {}).get(PACKAGE_DIGEST, ""))
