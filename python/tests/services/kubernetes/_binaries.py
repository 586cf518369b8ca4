"""The programs of a control plane, compiled once and kept in the user's cache.

- `go.mod` and `go.sum` name every module. What is built has its place by their digest, the version
  of Go and the way it is built, so that another version never meets the old programs.
- A place has all programs or does not exist; two builds at once wait for each other.
- A build takes 6 to 15 minutes on 2 cores and 1.5 GB of memory; it is one of `just prove`, or of
  `python -m tests.services.kubernetes build`, and never of `just test`.

Source: Kubernetes' own modules cannot be installed with `go install`, as they name each other by
folder; in a module of its own each is replaced by what is published (kubernetes/kubernetes#79384).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services import USER_CACHE

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
ETCD = "go.etcd.io/etcd/server/v3"
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
VERSION = "v1.36.3"
COMPILERS = 2


def built(go: str) -> Path | None:
    """The folder of the programs, if they are in the cache."""
    folder = _place(go)
    return folder if folder.is_dir() else None


def build(go: str) -> Path:
    """The folder of the programs, compiled if they are not in the cache."""
    folder = _place(go)
    with _alone(folder):
        if not folder.is_dir():
            _compile(go, folder)
    return folder


def _place(go: str) -> Path:
    """Where the programs of these modules, this Go and this way to build are kept."""
    version = subprocess.run(
        [go, "env", "GOVERSION", "GOARCH"], cwd=HERE, capture_output=True, check=True
    ).stdout
    digest = hashlib.sha256(version)
    digest.update((HERE / "go.mod").read_bytes() + (HERE / "go.sum").read_bytes())
    digest.update(_link_options().encode())
    return USER_CACHE / "shoal" / f"kubernetes-{digest.hexdigest()[:16]}"


def _compile(go: str, folder: Path) -> None:
    """Compiles into a folder beside the place, which takes its name when all is there."""
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        packages = [f"k8s.io/kubernetes/cmd/{name}" for name in COMPONENTS]
        _go_build(go, f"{unfinished}/", packages)
        _go_build(go, f"{unfinished}/etcd", [ETCD])
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _go_build(go: str, output: str, packages: list[str]) -> None:
    options = ["-p", str(COMPILERS), "-trimpath", "-buildvcs=false", "-ldflags", _link_options()]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
    command = ["nice", "-n", "10", go, "build", *options, "-o", output, *packages]
    subprocess.run(command, cwd=HERE, env=environment, check=True)


def _link_options() -> str:
    """Without a version of its own a server says v0.0.0, which clients take for a very old one."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    values = {"gitVersion": VERSION, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    modules = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    stated = [f"-X {module}.{name}={value}" for module in modules for name, value in values.items()]
    return " ".join(["-s -w", *stated])


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One build at a time, over all processes of this user."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
