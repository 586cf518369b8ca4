"""What the native server needs to start workers for a Python package.

- The source is unpacked to a temporary directory that lives as long as the `Launch`: a worker that
  is started again reads it again.
- A worker is another process of a Python interpreter, started by its path and never forked. It may
  import what this process can (`current`), or what the package's lock lists (`locked`, see
  `_environment`).
- Nothing of the package is imported here.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from shoal.errors import CorruptPackageError
from shoal.runtime._environment import interpreter, link_own_modules

if TYPE_CHECKING:
    from shoal.runtime._description import Description
    from shoal.runtime._files import Files

SOURCE_DIRECTORY: Final = "source/"
REQUIREMENTS_FILE: Final = "requirements.txt"

Environment: TypeAlias = Literal["current", "locked"]

# An allocator that sets aside a gigabyte at once would leave nothing of a memory limit.
_BEGIN: Final = "import json, os, sys; os.environ.setdefault('MIMALLOC_ARENA_EAGER_COMMIT', '0'); "
_MAIN: Final = "from shoal.runtime._worker import main; main()"
_WITH_PATHS: Final = f"{_BEGIN} sys.path[:] = json.loads(sys.argv[1]); {_MAIN}"
_WITH_MORE_PATHS: Final = f"{_BEGIN} sys.path += json.loads(sys.argv[1]); {_MAIN}"
# Unbuffered, so that what a model printed before its end is not lost; a crash says where.
_FLAGS: Final = ("-u", "-X", "faulthandler")


class Launch:
    """The command of a worker, and the directory of the package that it opens."""

    command: list[str]
    directory: str

    def __init__(self, description: Description, files: Files, environment: Environment) -> None:
        """Unpacks the source, and makes the environment where it is a locked one.

        Raises:
            CorruptPackageError: the package does not hold its source.
            RequirementError: the locked environment cannot be made.
        """
        root = Path(tempfile.mkdtemp(prefix="shoal-"))
        weakref.finalize(self, shutil.rmtree, root, ignore_errors=True)
        place = root / "package"
        place.mkdir()
        self.directory = str(place)
        unpack_source(description, files, place)
        if environment == "current":
            paths = [path or str(Path.cwd()) for path in sys.path]
            self.command = [sys.executable, *_FLAGS, "-c", _WITH_PATHS, json.dumps(paths)]
        else:
            # Isolated: what the server's user or variables add to Python is in no lock.
            python = str(interpreter(files.read(REQUIREMENTS_FILE)))
            own = json.dumps([str(link_own_modules(root / "shoal"))])
            self.command = [python, "-I", *_FLAGS, "-c", _WITH_MORE_PATHS, own]


def unpack_source(description: Description, files: Files, directory: Path) -> None:
    """Writes the source of a package below a directory.

    Raises:
        CorruptPackageError: the description places it elsewhere than a package does.
    """
    root = description.binding.file
    if root != SOURCE_DIRECTORY:
        message = f"the source lies in {root!r}, expected {SOURCE_DIRECTORY!r}"
        raise CorruptPackageError(message)
    (directory / root).mkdir()
    for name in files.names():
        if name.startswith(root):
            place = directory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            files.copy(name, place)
