"""Looks up what a tag names now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.package._registry._repository import connected

if TYPE_CHECKING:
    from shoal.package._registry._reference import Resolved


def resolve(reference: str, *, plain_http: bool | None = None) -> Resolved:
    """The digest that a reference has now.

    Args:
        reference: `oci://HOST[:PORT]/NAME:TAG`, or `...@sha256:...`, which is not looked up.
        plain_http: Whether HTTP is spoken without TLS; by default with this machine only.

    Raises:
        InvalidRequestError: the reference is none.
        RegistryNotFoundError: the registry has nothing of that name.
        RegistryError: the registry refuses, or cannot be reached.
    """
    with connected(reference, plain_http=plain_http) as repository:
        return repository.resolve()
