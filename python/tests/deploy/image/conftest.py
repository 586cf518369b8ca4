"""What the tests of images share: a base of Debian, a small package, an image of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from shoal import deploy, package
from shoal.deploy._image._cache import cache_folder
from tests.deploy.image.making import made_up_base
from tests.package.conftest import doubling
from tests.services import rootfs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shoal.deploy import Image
    from shoal.package import Package


@pytest.fixture(scope="session", autouse=True)
def layers_of_all_runs(cache_of_the_session: None) -> None:
    """Layers are kept for later runs; each has the digest of what it is made from as its name."""
    kept = rootfs.KEPT.parent / "layers"
    kept.mkdir(parents=True, exist_ok=True)
    cache_folder().mkdir(exist_ok=True)
    (cache_folder() / "layers").symlink_to(kept)


@pytest.fixture(scope="session")
def double(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A package that doubles four numbers."""
    place = tmp_path_factory.mktemp("packages") / "double"
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    return package.build(doubling(), name="double", version="2", output=place, example=rows)


@pytest.fixture(scope="session")
def debian(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base on which Shoal runs: Debian 12 with Python 3.11."""
    place = tmp_path_factory.mktemp("bases") / "debian"
    deploy.make_base(rootfs.debian(program), place, platform="linux/amd64")
    return place


@pytest.fixture(scope="session")
def image(
    debian: Path, double: Package, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Image]:
    """An image of the package on Debian."""
    place = tmp_path_factory.mktemp("images") / "double"
    return place, deploy.build_image(double.path, base=debian, output=place)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A made-up base: quick to build on, but nothing of it runs."""
    return made_up_base(tmp_path / "base")
