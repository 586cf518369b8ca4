"""`import shoal.train` loads nothing heavy; names are loaded when they are asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shoal import train

HEAVY = ("numpy", "sklearn", "scipy", "dp_accounting", "pandas", "onnx")


def test_importing_the_room_loads_nothing_heavy() -> None:
    program = f"import sys, shoal.train; print([m for m in {HEAVY} if m in sys.modules])"
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_name_of_the_room_is_there() -> None:
    assert all(hasattr(train, name) for name in train.__all__)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = train.missing
