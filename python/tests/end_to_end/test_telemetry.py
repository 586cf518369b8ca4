"""A server tells nobody of itself: ONNX Runtime's own reports are off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.end_to_end.driver import serving

if TYPE_CHECKING:
    from tests.end_to_end.models import Sealed


def test_onnx_runtime_keeps_no_file_for_reports(digits: Sealed, tmp_path: Path) -> None:
    place = str(tmp_path)
    # In CI its makers switch the reports off themselves.
    with serving(
        digits.path, CI="", TF_BUILD="", GITHUB_ACTIONS="", HOME=place, XDG_CACHE_HOME=place
    ) as served:
        assert served.ask("POST", "/predict", {"features": digits.rows[0]}).status == 200
        opened = [path.resolve() for path in Path(f"/proc/{served.process.pid}/fd").iterdir()]
        assert not [path for path in opened if path.suffix == ".db"]
        assert served.stop() == 0
    assert {path.name for path in tmp_path.iterdir()} <= {"shoal"}
