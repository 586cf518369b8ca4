"""Why a cluster did not do what was asked, in the words of this project.

- Each message says what was asked, and what the API server answered; the hint is the remedy.
- A kind that the cluster does not know is named with the project that defines it.
- Addresses lose the user and the password they may carry.

Source: kubernetes.io/docs/reference/kubernetes-api (Status), and the server's own messages.
"""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2
from lightkube import ApiError

from shoal.errors import (
    ClusterAccessError,
    ClusterConflictError,
    ClusterLacksError,
    ClusterUnavailableError,
    DeployError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightkube.models.meta_v1 import Status, StatusCause

    from shoal.deploy._cluster._kinds import Kind

# Who defines the kinds that Kubernetes itself does not have.
PROJECTS = {
    "gateway.networking.k8s.io": "Gateway API",
    "networking.istio.io": "Istio",
    "security.istio.io": "Istio",
    "keda.sh": "KEDA",
    "serving.kserve.io": "KServe",
    "monitoring.coreos.com": "the Prometheus operator",
}
OWNED_BY_ANOTHER = "FieldManagerConflict"
QUOTA = "exceeded quota"
NO_RIGHT = "is forbidden: User"
POD_SECURITY = "violates PodSecurity"
ENDING = "because it is being terminated"


@contextmanager
def told(asked: str, server: str, kind: Kind | None = None) -> Iterator[None]:
    """Turns what goes wrong inside the block into an error of this project.

    Args:
        asked: What is asked for, such as "apply Service iris".
        server: The address of the API server.
        kind: The kind of object it is about.

    Raises:
        DeployError: one of its kinds; see the module.
    """
    try:
        yield
    except ApiError as error:
        raise answered(error.status, asked) from error
    except httpx2.HTTPStatusError as error:
        raise _answered_otherwise(error, asked, kind) from error
    except (httpx2.TransportError, OSError) as error:
        raise ClusterUnavailableError(
            f"{asked}: the API server {address(server)} cannot be reached: {error}",
            hint="Is it the right context of the kubeconfig, and is the network there?",
        ) from error


def address(server: str) -> str:
    """An address without user and password."""
    parts = urlsplit(server)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def answered(status: Status, asked: str) -> DeployError:
    """The error for an answer of the API server."""
    message = f"{asked}: {status.message}"
    if status.code == HTTPStatus.UNAUTHORIZED:
        hint = "Log in again: the credentials of the kubeconfig are not those of a user."
        return ClusterAccessError(message, hint=hint)
    if status.code == HTTPStatus.FORBIDDEN:
        return _forbidden(status.message or "", message)
    if status.code == HTTPStatus.NOT_FOUND:
        return _not_found(status, message)
    if status.code == HTTPStatus.CONFLICT:
        return _conflict(status, message)
    if status.code in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
        return DeployError(message)
    return ClusterUnavailableError(message, hint="Try again a little later.")


def owned_fields(error: BaseException | None) -> tuple[str, ...]:
    """The fields that another manager owns, if that is what an error comes from."""
    status = error.status if isinstance(error, ApiError) else None
    return tuple(str(cause.field) for cause in _owned(status))


def _forbidden(reason: str, message: str) -> DeployError:
    if QUOTA in reason:
        hint = "Ask for a larger quota of the namespace, or for fewer replicas or smaller requests."
        return ClusterLacksError(message, hint=hint)
    if NO_RIGHT in reason:
        hint = "Who runs the cluster can grant it with a RoleBinding, such as to the role `edit`."
        return ClusterAccessError(message, hint=hint)
    if POD_SECURITY in reason:
        hint = "A patch must have loosened the Pod; as rendered it passes `restricted`."
        return ClusterAccessError(message, hint=hint)
    if ENDING in reason:
        return ClusterLacksError(message, hint="Wait until it is gone, then make it anew.")
    return ClusterAccessError(message)


def _not_found(status: Status, message: str) -> DeployError:
    details = status.details
    if details is not None and details.kind == "namespaces":
        hint = f"kubectl create namespace {details.name}"
        return ClusterLacksError(message, hint=hint)
    return ClusterLacksError(message)


def _conflict(status: Status, message: str) -> DeployError:
    if not (causes := _owned(status)):
        return ClusterConflictError(message, hint="Someone changes it at this moment: try again.")
    owned = "; ".join(f"{cause.field}: {cause.message}" for cause in causes)
    return ClusterConflictError(
        f"{message.partition(': ')[0]}: another manager owns what would be changed: {owned}",
        hint="Leave these fields to it with a patch, or take them over with --force.",
    )


def _owned(status: Status | None) -> list[StatusCause]:
    causes = (status.details.causes if status and status.details else None) or []
    return [cause for cause in causes if cause.reason == OWNED_BY_ANOTHER]


def _answered_otherwise(
    error: httpx2.HTTPStatusError, asked: str, kind: Kind | None
) -> DeployError:
    """A server that has no such kind answers in plain text, and so does what is no API server."""
    if error.response.status_code == HTTPStatus.NOT_FOUND and kind is not None:
        project = PROJECTS.get(kind.group)
        return ClusterLacksError(
            f"{asked}: the cluster does not know {kind} of {kind.api_version}",
            hint=f"Install {project} in it, or choose another --target."
            if project
            else "Is the cluster older than those that are supported?",
        )
    code = error.response.status_code
    message = f"{asked}: {address(str(error.request.url))} answered with {code}"
    return ClusterUnavailableError(message, hint="Is this the address of an API server?")
