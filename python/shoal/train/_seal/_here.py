"""What trains here: the versions of what computes, and the revision of the code.

- Git is asked where the code lies in a repository: that of the directory, whatever `GIT_DIR` and
  its like in the environment say.
- Nothing is changed, not even git's index; no monitor and no hook is started. To tell whether a
  file differs, git does run the filters that it is configured to run on such files, as git-lfs is.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from importlib import metadata
from typing import TYPE_CHECKING

from shoal.errors import PathError, RequirementError
from shoal.train._seal._evidence import Code, Environment

if TYPE_CHECKING:
    from pathlib import Path

# The distributions that what is learned, exported and answered may depend on.
DISTRIBUTIONS = (
    *("shoal", "numpy", "scipy", "pandas", "pyarrow", "scikit-learn", "imbalanced-learn"),
    *("lightgbm", "xgboost-cpu", "xgboost", "skl2onnx", "onnxmltools", "onnx", "onnxruntime"),
    *("protobuf", "optuna", "dp-accounting", "fairlearn", "pandera", "threadpoolctl"),
)
_CHUNK_BYTES = 1 << 20
_GIT_WAIT_SECONDS = 30


def environment_here(lock: Path | None = None) -> Environment:
    """What computes here.

    Args:
        lock: A file that locks all distributions, such as `uv.lock`.

    Raises:
        PathError: the file cannot be read.
    """
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        distributions={name: found for name in DISTRIBUTIONS if (found := _version(name))},
        lock=None if lock is None else digest_of_file(lock),
    )


def code_revision(directory: Path) -> Code | None:
    """The revision of the code in a directory; None where it lies in no repository of git.

    Raises:
        RequirementError: it lies in one, but git is not there, or cannot say.
    """
    place = directory.absolute()
    if not any((each / ".git").exists() for each in (place, *place.parents)):
        return None
    commit = _git(place, "rev-parse", "--verify", "HEAD").strip()
    return Code(commit=commit, changed=bool(_git(place, "status", "--porcelain").strip()))


def code_revision_or_reason(directory: Path) -> Code | str | None:
    """The same; or why git cannot tell it, for those to whom that is only worth a note."""
    try:
        return code_revision(directory)
    except RequirementError as error:
        return str(error)


def digest_of_file(path: Path) -> str:
    """`sha256:` and the digest of a file.

    Raises:
        PathError: it cannot be read.
    """
    hasher = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_CHUNK_BYTES):
                hasher.update(piece)
    except OSError as error:
        raise PathError(f"{path} cannot be read: {error.strerror or error}") from error
    return f"sha256:{hasher.hexdigest()}"


def _git(directory: Path, *words: str) -> str:
    """What git prints."""
    git = shutil.which("git")
    if git is None:
        message = f"{directory} lies in a repository, and git is not there to tell its revision"
        raise RequirementError(message, hint="Install git, or state no revision.")
    command = [git, "--no-optional-locks", "-C", str(directory), "-c", "core.fsmonitor=false"]
    environment = {name: each for name, each in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603 - a list of words; no shell
            [*command, *words],
            capture_output=True,
            env=environment,
            timeout=_GIT_WAIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"git said nothing of {directory} for {_GIT_WAIT_SECONDS} seconds"
        raise RequirementError(message) from error
    except OSError as error:
        message = f"git cannot be asked for the revision of {directory}: {error.strerror or error}"
        raise RequirementError(message) from error
    if done.returncode:
        reason = " ".join(done.stderr.decode(errors="replace").split())
        message = f"git cannot tell the revision of {directory}: {reason}"
        raise RequirementError(message, hint="Commit the code, or state no revision.")
    return done.stdout.decode(errors="replace")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
