"""Builds an image: for each platform its layers, its documents and its bill of materials.

- All of it, or nothing: see `_layout`. Nothing of the base, of a wheel or of the package is run.
- The digest follows from the base, the package, Shoal, the locks and the settings. The moment of
  making is stated only if the environment says which: SOURCE_DATE_EPOCH.

Source: https://reproducible-builds.org/specs/source-date-epoch/.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from shoal import package as packages
from shoal.deploy._image import _own
from shoal.deploy._image._base import Base, take_base
from shoal.deploy._image._contents import (
    Libraries,
    add_libraries,
    add_package,
    add_shoal,
    libraries_of,
)
from shoal.deploy._image._documents import (
    EMPTY,
    INDEX,
    TITLE,
    Content,
    digest_of,
    image_config,
    image_index,
    image_manifest,
    layout_index,
    sbom_manifest,
)
from shoal.deploy._image._interpreter import check_glibc
from shoal.deploy._image._layout import find_image, written_to
from shoal.deploy._image._places import Wire, found_base, kept_at
from shoal.deploy._image._platforms import Platform, read_platforms, this_platform
from shoal.deploy._image._result import Image, ImageSettings, PlatformImage
from shoal.deploy._image._sbom import NAME, Materials, bill_of
from shoal.errors import ConfigurationError, RequirementError, UntrustedPackageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from shoal.deploy._image._contents import Added
    from shoal.deploy._image._layout import Writer
    from shoal.deploy._image._own import Shoal
    from shoal.package import Package

Progress: TypeAlias = "Callable[[str], None]"
"""Told what is being done, in a few words."""

_BASE_DIGEST = "org.opencontainers.image.base.digest"
_BASE_NAME = "org.opencontainers.image.base.name"
_VERSION = "org.opencontainers.image.version"
_EPOCH = "SOURCE_DATE_EPOCH"


def build_image(
    package: str | PathLike[str] | None = None,
    *,
    base: str | PathLike[str],
    output: str | PathLike[str],
    settings: ImageSettings | None = None,
    progress: Progress | None = None,
) -> Image:
    """Makes an image that serves a package, or any ONNX package that is mounted in it.

    Args:
        package: The directory of the package; None leaves it to whoever runs the image.
        base: What the image stands on: an OCI image layout, DIR or DIR@sha256:..., or an image in a
            registry, oci://HOST/NAME@sha256:...
        output: The folder to make, an OCI image layout; or oci://HOST/NAME:TAG to push it there.
        settings: Everything else that may be chosen; None takes every default.
        progress: Told what is being done.

    Raises:
        PathError: there is no base, package or wheel.
        ConfigurationError: Shoal does not run on the base, or a platform is none.
        CorruptPackageError: a layer, a wheel or the package is not what its digests say.
        UntrustedPackageError: the package runs code, and `allow_code` is False.
        RequirementError: there is no Shoal for a platform, no wheel of a library, no uv, or the
            package has no lock.
        RegistryError: a registry does not give the base, or does not take the image.
        StorageError: the output holds something, or cannot be written.
    """
    chosen = settings or ImageSettings()
    platforms = read_platforms(chosen.platforms)
    plan = _planned(package, platforms, chosen, progress or _say_nothing)
    with kept_at(output, plan.wire) as place, written_to(place) as writer:
        images = {each: _Building(plan, each, writer).build(base) for each in platforms}
        index = image_index(
            {each: made.manifest for each, made in images.items()},
            [made.sbom for made in images.values()],
        )
        writer.add(index)
        writer.finish(layout_index(INDEX, index, plan.tag))
    return Image(str(output), digest_of(index), tuple(made.told() for made in images.values()))


@dataclass(frozen=True)
class _Plan:
    """What is to be made, for every platform."""

    package: Package | None
    shoals: Mapping[Platform, Shoal]
    libraries: Libraries
    settings: ImageSettings
    created: str | None
    progress: Progress

    @property
    def wire(self) -> Wire:
        """How registries are spoken to."""
        return Wire(self.settings.plain_http, self.progress)

    @property
    def version(self) -> str:
        """The version of Shoal."""
        return next(iter(self.shoals.values())).version

    @property
    def title(self) -> str:
        """What the image is called."""
        return "shoal" if self.package is None else self.package.name

    @property
    def tag(self) -> str:
        """The version of what it is called after."""
        return self.version if self.package is None else self.package.version


@dataclass(frozen=True)
class _Made:
    """The image of one platform."""

    platform: Platform
    manifest: bytes
    sbom: bytes
    unpacked_bytes: int
    python: str

    def told(self) -> PlatformImage:
        return PlatformImage(
            platform=self.platform.name,
            digest=digest_of(self.manifest),
            unpacked_bytes=self.unpacked_bytes,
            python=self.python,
            sbom=digest_of(self.sbom),
        )


class _Building:
    """The making of one platform's image."""

    def __init__(self, plan: _Plan, platform: Platform, writer: Writer) -> None:
        self._plan = plan
        self._platform = platform
        self._writer = writer
        self._shoal = plan.shoals[platform]

    def build(self, base: str | PathLike[str]) -> _Made:
        """Adds all blobs of the image."""
        place, name, digest = found_base(base, self._platform, self._plan.wire)
        self._say("reading the base")
        taken = take_base(find_image(place, self._platform, digest), name, self._writer)
        check_glibc(taken.interpreter.glibc, self._shoal.glibc, "this Shoal")
        added = self._added(taken)
        manifest = self._manifest(taken, added)
        return _Made(
            platform=self._platform,
            manifest=manifest,
            sbom=self._sbom(taken, added, manifest),
            unpacked_bytes=taken.unpacked_bytes + added.unpacked_bytes,
            python=taken.interpreter.name,
        )

    def _added(self, base: Base) -> Added:
        self._say("installing the libraries")
        libraries = self._plan.libraries
        added = add_libraries(libraries, self._platform, base.interpreter, self._writer)
        self._say("adding Shoal")
        added += add_shoal(self._shoal, base.interpreter, self._writer)
        if self._plan.package is not None and not self._plan.settings.mounted:
            self._say("adding the package")
            added += add_package(self._plan.package, self._writer)
        return added

    def _manifest(self, base: Base, added: Added) -> bytes:
        annotations = _annotations(self._plan, base)
        content = Content(added.layers, _arguments(self._plan), annotations, self._plan.created)
        config = image_config(base.config, self._platform, content)
        manifest = image_manifest([*base.layers, *added.layers], config, annotations)
        self._writer.add(config)
        self._writer.add(manifest)
        return manifest

    def _sbom(self, base: Base, added: Added, manifest: bytes) -> bytes:
        materials = Materials(
            image=digest_of(manifest),
            title=self._plan.title,
            base=base,
            version=self._shoal.version,
            core_sha256=hashlib.sha256(self._shoal.files[_own.NATIVE]).hexdigest(),
            wheels=added.wheels,
            package=None if self._plan.settings.mounted else self._plan.package,
        )
        document = bill_of(materials)
        text = sbom_manifest(manifest, document, NAME)
        for blob in (document, EMPTY, text):
            self._writer.add(blob)
        return text

    def _say(self, words: str) -> None:
        self._plan.progress(f"{self._platform.name}: {words}")


def _say_nothing(words: str) -> None:
    """Nobody listens."""


def _planned(
    path: str | PathLike[str] | None,
    platforms: Sequence[Platform],
    settings: ImageSettings,
    progress: Progress,
) -> _Plan:
    progress("opening the package" if path is not None else "reading the lock")
    package = None if path is None else packages.open(path)
    if package is not None and package.description.runtime == "python" and not settings.allow_code:
        message = f"the package {package.name} {package.version} runs Python code"
        hint = "If you trust its origin, let the image run it: allow_code=True (--allow-code)."
        raise UntrustedPackageError(message, hint=hint)
    libraries = libraries_of(package)
    shoals = _shoals(settings.wheels, platforms)
    return _Plan(package, shoals, libraries, settings, _created(), progress)


def _shoals(wheels: Sequence[Path], platforms: Sequence[Platform]) -> dict[Platform, Shoal]:
    given: dict[Platform, Shoal] = {}
    for path in wheels:
        shoal = _own.from_wheel(Path(path))
        if shoal.platform in given:
            message = f"two wheels of Shoal for {shoal.platform.name} were given, expected one"
            raise ConfigurationError(message)
        given[shoal.platform] = shoal
    found = {each: given.get(each) or _running(each) for each in platforms}
    versions = sorted({each.version for each in found.values()})
    if len(versions) > 1:
        message = f"the platforms would have Shoal {' and '.join(versions)}, expected one version"
        raise ConfigurationError(
            message, hint="Give a wheel of the same version for each platform."
        )
    return found


def _running(platform: Platform) -> Shoal:
    """The Shoal that runs here, if it is for that platform."""
    if platform != this_platform():
        message = f"there is no Shoal for {platform.name} here, only for {this_platform().name}"
        hint = f"Give a wheel for it: --wheel shoal-...-{platform.wheels.partition('-')[0]}.whl"
        raise RequirementError(message, hint=hint)
    return _own.from_installation()


def _arguments(plan: _Plan) -> tuple[str, ...]:
    if plan.package is None:
        return ()
    code = ("--allow-code",) if plan.package.description.runtime == "python" else ()
    return (f"/{plan.package.image_directory}", *code)


def _annotations(plan: _Plan, base: Base) -> dict[str, str]:
    found = {
        TITLE: plan.title,
        _VERSION: plan.tag,
        _BASE_DIGEST: base.digest,
        "io.shoal.server-version": plan.version,
    }
    if base.name:
        found[_BASE_NAME] = base.name
    if plan.package is not None:
        found["io.shoal.package"] = plan.package.digest
    return found


def _created() -> str | None:
    """The moment that the environment states, in the form of OCI."""
    stated = os.environ.get(_EPOCH)
    if not stated:
        return None
    try:
        moment = datetime.fromtimestamp(int(stated), UTC)
    except (ValueError, OverflowError, OSError) as error:
        message = f"{_EPOCH} is {stated!r}, expected seconds since 1970"
        raise ConfigurationError(message) from error
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
