"""`python -m tests.services.kubernetes build`: compile the programs of a control plane."""

from __future__ import annotations

import argparse
import shutil
import sys

from tests.services.kubernetes._binaries import build


def main() -> None:
    """Build what is not in the cache, and say where it lies."""
    parser = argparse.ArgumentParser(prog="python -m tests.services.kubernetes")
    parser.add_argument("action", choices=["build"])
    parser.parse_args()
    go = shutil.which("go")
    if go is None:
        sys.exit("go is not installed: see `just doctor`")
    sys.stdout.write(f"{build(go)}\n")


if __name__ == "__main__":
    main()
