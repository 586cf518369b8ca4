"""`shoal package build` says padding as `package.Settings` does, and serves what it sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal import package
from tests.cli.test_command_line import refused, run
from tests.package.padded import example, masked_sums, means, sealed

if TYPE_CHECKING:
    from pathlib import Path

PADDED = ("--pad", "ids=0,multiple-of=8", "--pad", "mask=0,multiple-of=8")


def command(
    place: Path, model: bytes, *more: str, rows: pa.RecordBatch | None = None
) -> tuple[str | Path, ...]:
    """The command that seals a model with the example of padded models."""
    (place / "model.onnx").write_bytes(model)
    pq.write_table(pa.Table.from_batches([rows or example()]), place / "rows.parquet")
    named = ("--name", "masked", "--version", "1", "--output", place / "sealed")
    shown = ("--example", place / "rows.parquet")
    return ("package", "build", place / "model.onnx", *named, *shown, *more)


def test_a_package_padded_by_options_is_the_one_padded_by_settings(tmp_path: Path) -> None:
    done = run(*command(tmp_path, masked_sums(), *PADDED, "--follows", "states=ids"))
    assert done.returncode == 0, done.stderr
    by_settings = sealed(tmp_path / "by-settings")
    assert package.open(tmp_path / "sealed").digest == by_settings.digest
    shown = run("package", "inspect", tmp_path / "sealed").stdout
    assert "ids FP32 [-1], padded with 0 at the end to multiples of 8\n" in shown


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--pad", "ids=0,by=8"), "'by=8' is unknown"),
        ((*PADDED, "--pad", "ids=1"), "the second one of column 'ids'"),
        (("--pad", "nobody=0"), "'nobody', which is no input"),
        (("--pad", "ids=text"), "expected a value of FP32"),
        ((*PADDED, "--follows", "states"), "'states' has not a name"),
        ((*PADDED, "--follows", "nobody=ids"), "'nobody', which is no output"),
        (("--follows", "states=ids"), "expected a padded input"),
    ],
)
def test_options_that_cannot_be_meant_are_wrong_input_and_seal_nothing(
    options: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    lines = refused(*command(tmp_path, masked_sums(), *options), code=2)
    assert reason in lines[0]
    assert not (tmp_path / "sealed").exists()


def test_a_model_that_padding_disturbs_is_refused(tmp_path: Path) -> None:
    rows = example().select(["ids"])
    lines = refused(*command(tmp_path, means(), "--pad", "ids=0", rows=rows), code=1)
    assert "'mean'" in lines[0]
    assert "padded" in lines[0]
    assert not (tmp_path / "sealed").exists()
