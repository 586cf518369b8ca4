"""The lock of what serving needs, from `uv.lock`: `python -m tools.serving_lock`.

An image holds what its server imports and nothing else, so the lock leaves out what only clients,
pipelines and training need, and what onnxruntime's wheel requires for its Python module, which is
never imported. Run it after `uv lock`; a test compares.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "python" / "shoal" / "deploy" / "_image" / "serving.txt"
NOT_IMPORTED = (
    *("aiohttp", "apsw", "datasketches", "grpcio", "obstore", "prometheus-client"),
    *("flatbuffers", "packaging", "protobuf"),
)


def exported() -> str:
    """The lock as `uv.lock` has it."""
    command = ["uv", "export", "--frozen", "--offline", "--quiet", "--no-dev", "--no-emit-project"]
    form = ["--no-header", "--no-annotate", "--format", "requirements.txt"]
    pruned = [word for name in NOT_IMPORTED for word in ("--prune", name)]
    answer = subprocess.run(
        [*command, *form, *pruned], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return answer.stdout


if __name__ == "__main__":
    PLACE.write_text(exported(), encoding="utf-8")
    print(f"written: {PLACE.relative_to(ROOT)}")
