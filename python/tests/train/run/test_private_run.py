"""A private run spends what is stated, says so, and writes nothing that records gave away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from shoal import package
from shoal.errors import BudgetError, ConfigurationError, ConflictError
from shoal.train import (
    Configuration,
    InputData,
    Numeric,
    PrivateBoolean,
    PrivateCategorical,
    PrivateNumeric,
    PrivateSettings,
    Threshold,
    open_dataset,
    read_configuration,
    run,
)
from shoal.train._collect._recipe import InputText
from shoal.train._run._run import NOBODY
from tests.train.conftest import CITIES, customers

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = PrivateSettings(
    epsilon=3.0,
    classes=("no", "yes"),
    columns={
        "age": PrivateNumeric(bounds=(18, 100), flag=True),
        "city": PrivateCategorical(categories=tuple(CITIES)),
        "is_member": PrivateBoolean(),
    },
)


def configured(tmp_path: Path, **parts: Any) -> Configuration:
    path = tmp_path / "customers.parquet"
    pq.write_table(customers(4000, seed=5).drop_columns(["spent"]), path)
    given: dict[str, Any] = {"private": SETTINGS} | parts
    return Configuration(
        name="churn",
        version="1.0.0",
        target="left",
        data=InputData(input=[InputText(files=str(path))]),
        **given,
    )


def test_a_private_run_ends_with_what_it_has_spent(tmp_path: Path) -> None:
    output = tmp_path / "output"
    trained = run(configured(tmp_path), output)
    assert trained.spent is not None
    assert trained.spent.private
    assert 0 < trained.spent.epsilon <= 3.0
    accuracy = trained.report.evaluation.metric("accuracy")
    assert accuracy.value is not None
    assert accuracy.value > 0.6
    dataset = open_dataset(output / "dataset")
    shown = [(output / name).read_text() for name in ("report.html", "report.json")]
    card = (output / "model-card.md").read_text()
    assert "epsilon" in card.lower()
    assert dataset.digest not in "".join([*shown, card])
    whole = b"".join(
        path.read_bytes() for path in (output / "package").rglob("*") if path.is_file()
    )
    assert dataset.digest.encode() not in whole
    assert dataset.digest.removeprefix("sha256:").encode() not in whole
    assert sorted(path.name for path in output.iterdir()) == [
        "dataset",
        "model-card.md",
        "package",
        "report.html",
        "report.json",
        "run.json",
    ]
    inputs = package.open(output / "package").description.signature.inputs
    assert {column.name for column in inputs} == {"age", "city", "is_member"}


def test_a_private_run_that_did_not_end_is_not_begun_again_unasked(tmp_path: Path) -> None:
    output = tmp_path / "output"

    def step(name: str) -> None:
        if name == "sealing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(configured(tmp_path), output, watch=NOBODY._replace(step=step))
    with pytest.raises(ConflictError, match="a private training was begun") as caught:
        run(configured(tmp_path), output)
    assert "spends its epsilon again" in str(caught.value.hint)
    (output / "private.begun").unlink()
    assert run(configured(tmp_path), output).spent is not None


def test_an_epsilon_too_small_is_said(tmp_path: Path) -> None:
    import msgspec

    small = msgspec.structs.replace(SETTINGS, epsilon=1e-4)
    with pytest.raises(BudgetError, match="epsilon"):
        run(configured(tmp_path, private=small), tmp_path / "output")
    assert not (tmp_path / "output" / "private.begun").exists()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("threshold", Threshold()),
        ("columns", {"age": Numeric()}),
        ("golden_rows", "real"),
        ("held_out", 0.3),
    ],
)
def test_what_it_would_not_keep_to_is_refused(name: str, part: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"`{name}` was given beside"):
        configured(tmp_path, **{name: part})


TEXT = """
name = "a"
version = "1"
target = "left"
[data]
dataset = "records"
[private]
epsilon = 3.0
classes = ["no", "yes"]
[private.columns]
age = { kind = "KIND", bounds = [18, 100] }
"""


def test_it_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text(TEXT.replace("KIND", "numeric"))
    private = read_configuration(path).private
    assert private is not None
    assert private.columns == {"age": PrivateNumeric(bounds=(18, 100))}
    path.write_text(TEXT.replace("KIND", "text"))
    with pytest.raises(ConfigurationError, match="'text'"):
        read_configuration(path)
    path.write_text(TEXT.replace("KIND", "numeric").replace("epsilon = 3.0", "epsilon = -1.0"))
    with pytest.raises(ConfigurationError, match=r"train\.toml: epsilon is -1\.0"):
        read_configuration(path)
