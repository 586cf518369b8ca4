"""From a package to replicas behind a service: images, objects of Kubernetes, rollouts.

- Importing this room loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.deploy._image._build import build_image
    from shoal.deploy._image._result import Image, ImageBase, ImageSettings, PlatformImage
    from shoal.deploy._image._rootfs import make_base

__all__ = ["Image", "ImageBase", "ImageSettings", "PlatformImage", "build_image", "make_base"]

_LAZY = {
    "Image": "_image._result",
    "ImageBase": "_image._result",
    "ImageSettings": "_image._result",
    "PlatformImage": "_image._result",
    "build_image": "_image._build",
    "make_base": "_image._rootfs",
}


def __getattr__(name: str) -> Any:
    """Loads what needs the libraries of the extra `deploy` when it is first asked for."""
    from importlib import import_module

    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
