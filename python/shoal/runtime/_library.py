"""Where ONNX Runtime's shared library lies: inside the installed wheel, which is not imported."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from shoal.errors import RequirementError

_PATTERNS = ("libonnxruntime.so*", "libonnxruntime*.dylib", "onnxruntime.dll")


def library() -> Path:
    """The path of ONNX Runtime's shared library, which from here on reports to nobody.

    Its official builds tell their makers of each process and keep a file for it, unless the
    environment forbids that before they are loaded. Whoever sets the variable decides.

    Raises:
        RequirementError: the `onnxruntime` wheel is not installed, or holds no library.

    Source:
        https://github.com/microsoft/onnxruntime/pull/27379
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    spec = find_spec("onnxruntime")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for pattern in _PATTERNS:
            if found := sorted(Path(place, "capi").glob(pattern)):
                return found[0]
    message = "ONNX Runtime's shared library is not in this environment"
    raise RequirementError(message, hint="pip install onnxruntime")
