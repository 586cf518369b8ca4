"""A pipeline from files to files that is killed anywhere goes on where it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from shoal.pipeline import Ledger
from tests.conftest import PROVE_SCALE
from tests.pipeline.conftest import FILES
from tests.pipeline.crashing import Run
from tests.pipeline.killing import Killer, Way, places

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("records", "windows")
PLACES = 4


def read(directory: Path, _run: Run) -> list[object]:
    rows = pq.read_table(directory / "out", ignore_prefixes=["_", "."]).to_pylist()
    return [list(row.values()) for row in rows]


@pytest.fixture(scope="module")
def ways(files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Way]:
    """To Parquet, and what runs give that nobody interrupts."""

    def way(kind: str) -> Way:
        def begin(directory: Path) -> Run:
            (directory / "in").symlink_to(files)
            return Run(kind)

        directory = tmp_path_factory.mktemp("whole") / kind
        found = Way(begin, read).run_whole(directory)
        with Ledger.read(directory / "ledger") as ledger:
            assert (ledger.last() or (0, None))[0] > FILES
        return found

    return {kind: way(kind) for kind in KINDS}


@pytest.mark.parametrize("calls", ["write", "flush", "name"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(7200)
def test_a_pipeline_killed_at_a_system_call_goes_on_where_it_was(
    kind: str, calls: str, ways: dict[str, Way], killer: Killer
) -> None:
    kills = killer.at_calls(ways[kind], calls, places(PLACES, 8))
    assert kills >= PLACES if PROVE_SCALE == 1 else kills > 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(1200)
def test_a_pipeline_killed_at_random_moments_goes_on_where_it_was(
    kind: str, ways: dict[str, Way], killer: Killer
) -> None:
    killer.at_random(ways[kind], 0.25)
