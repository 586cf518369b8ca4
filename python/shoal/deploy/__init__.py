"""From a package to replicas behind a service: images, objects of Kubernetes, rollouts.

- Importing this room loads nothing heavy.
"""

from __future__ import annotations

from typing import Any

__all__: list[str] = []

_LAZY: dict[str, str] = {}


def __getattr__(name: str) -> Any:
    """Loads what needs the libraries of the extra `deploy` when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
