"""The bill of materials of an image: CycloneDX 1.6 as JSON, the same text for the same image.

- Each library is a component with its package URL and the hash of the wheel it came from; Shoal is
  one with the hash of its native core; the base and the package are named by their digests.
- No time and no random number: the serial number follows from the image's digest.

Source: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/; package URLs, https://github.com/package-url/purl-spec.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from shoal.errors import RequirementError
from shoal.runtime import canonical_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.deploy._image._base import Base
    from shoal.deploy._image._wheels import Wheel
    from shoal.package import Package

NAME = "sbom.cdx.json"


@dataclass(frozen=True)
class Materials:
    """What an image is made of.

    Attributes:
        image: The digest of its manifest.
        title: What it is called.
        base: What it stands on.
        version: The version of Shoal in it.
        core_sha256: The hash of Shoal's native core.
        wheels: The libraries.
        package: The package in it, or None.
    """

    image: str
    title: str
    base: Base
    version: str
    core_sha256: str
    wheels: Sequence[Wheel]
    package: Package | None


def bill_of(materials: Materials) -> bytes:
    """The text of an image's bill of materials.

    Raises:
        RequirementError: the library that writes it is not installed.
    """
    try:
        from cyclonedx.model.bom import Bom
        from cyclonedx.output.json import JsonV1Dot6
    except ImportError as error:
        message = "the bill of materials of an image needs cyclonedx-python-lib"
        raise RequirementError(message, hint="pip install 'shoal[deploy]'") from error
    bom = Bom(serial_number=_serial_number(materials.image))
    image = _component("container", materials.title, materials.image)
    bom.metadata.component = image
    parts = [*_libraries(materials), *_named_by_digest(materials)]
    for each in parts:
        bom.components.add(each)
    bom.register_dependency(image, parts)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"]
    return canonical_json(document)


def _serial_number(digest: str) -> UUID:
    return uuid5(NAMESPACE_URL, digest)


def _libraries(materials: Materials) -> list[Any]:
    own = _component(
        "library", "shoal", f"sha256:{materials.core_sha256}", version=materials.version
    )
    others = [
        _component("library", each.name, f"sha256:{each.sha256}", version=each.version)
        for each in materials.wheels
    ]
    return [own, *others]


def _named_by_digest(materials: Materials) -> list[Any]:
    base, package = materials.base, materials.package
    found = [_component("container", base.name or "base", base.digest)]
    if package is not None:
        found.append(_component("machine-learning-model", package.name, package.digest))
    return found


def _component(kind: str, name: str, digest: str, *, version: str | None = None) -> Any:
    """A component; a library of Python has a version, what else there is has its digest."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    purl = None if version is None else PackageURL("pypi", name=name, version=version)
    return Component(
        type=ComponentType(kind),
        name=name,
        version=version or digest,
        purl=purl,
        bom_ref=f"{name}@{version or digest}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:"))],
    )
