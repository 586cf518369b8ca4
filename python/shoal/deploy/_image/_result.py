"""What may be chosen for an image, and what is known of one that was made."""

from __future__ import annotations

from pathlib import Path

import msgspec


class ImageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The choices of one image; the defaults make one for this machine's processor.

    Args:
        platforms: What it is for: linux/amd64, linux/arm64, or both; none is this machine's.
        wheels: Wheels of Shoal, at most one for each platform; without one for this machine's
            platform, the Shoal that is running is taken.
        mounted: Whether the package's files are left out, because its own image is mounted where
            the server looks for them; what else it needs is in the image.
        allow_code: Whether the image may run the code of a Python package.
        plain_http: Whether registries are spoken to without TLS; by default those on this machine.
    """

    platforms: tuple[str, ...] = ()
    wheels: tuple[Path, ...] = ()
    mounted: bool = False
    allow_code: bool = False
    plain_http: bool | None = None


class PlatformImage(msgspec.Struct, frozen=True):
    """One platform of an image.

    Attributes:
        platform: What it is for.
        digest: The digest of its manifest.
        unpacked_bytes: The size of its files, the base's among them.
        python: The version of the Python that runs Shoal.
        sbom: The digest of the manifest of its bill of materials.
    """

    platform: str
    digest: str
    unpacked_bytes: int
    python: str
    sbom: str


class Image(msgspec.Struct, frozen=True):
    """An image that was made.

    Attributes:
        output: Where it is.
        digest: Its digest: that of the index of its platforms.
        platforms: Its platforms, in order.
    """

    output: str
    digest: str
    platforms: tuple[PlatformImage, ...]


class ImageBase(msgspec.Struct, frozen=True):
    """A base that was made.

    Attributes:
        output: Where it is.
        digest: The digest of its manifest: what `--base` takes after an `@`.
        platform: What it is for.
        unpacked_bytes: The size of its files.
        python: The version of its Python.
    """

    output: str
    digest: str
    platform: str
    unpacked_bytes: int
    python: str
