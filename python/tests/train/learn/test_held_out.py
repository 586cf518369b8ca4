"""What is held out teaches nothing: neither the model, nor what stands before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline

from shoal import train
from shoal.errors import ConflictError, InvalidRequestError
from shoal.train import Categorical, Date, Gradient, LearnSettings, Numeric, Preparation
from shoal.train._learn._order import Order
from shoal.train._learn._stored._store import Range
from shoal.train._prepare._frames import frame_of
from tests.train.conftest import customers

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.train._prepare._description import Feature

ROWS, STEP_RECORDS, SHARE = 1000, 256, 0.1
RECORDS = customers(ROWS, seed=0)
ORDER = Order(ROWS, STEP_RECORDS, SHARE, 0)
IS_HELD_OUT = pa.array(~ORDER.is_learned(Range(0, ROWS)))
COLUMNS: dict[str, Feature] = {
    "age": Numeric(flag=True),
    "income": Numeric(missing="mean", scale="robust"),
    "spent": Numeric(scale="min_max"),
    "city": Categorical(least_rows=30),
    "since": Date(parts=("year", "month", "weekday")),
    "is_member": Numeric(),
}
CLASSES = Preparation(columns=COLUMNS)
NUMBERS = Preparation(columns={name: each for name, each in COLUMNS.items() if name != "spent"})


def with_held_out(name: str, values: Any) -> pa.Table:
    """The records, of which held-out ones have another value in a column."""
    column = RECORDS.column(name)
    values = values if isinstance(values, pa.ChunkedArray) else pa.scalar(values, column.type)
    place = RECORDS.column_names.index(name)
    return RECORDS.set_column(place, name, pc.if_else(IS_HELD_OUT, values, column))


def learned(
    records: Any, target: str = "left", model: Any = None, **changes: Any
) -> tuple[train.Fitted, list[train.Progress]]:
    told: list[train.Progress] = []
    usual = {"preparation": NUMBERS if target == "spent" else CLASSES, "held_out": SHARE}
    how: dict[str, Any] = {**usual, "step_records": STEP_RECORDS, **changes}
    model = model or Gradient()
    fitted = train.learn(records, target, model, settings=LearnSettings(**how), tell=told.append)
    return fitted, told


def everything(fitted: train.Fitted) -> dict[str, Any]:
    """All that was learned, by the names that scikit-learn has for it."""
    columns, estimator = fitted.pipeline[0], fitted.pipeline[-1]
    steps = [step for _, step, _ in columns.transformers_]
    flat = [
        part
        for step in [*steps, estimator]
        for part in (step.named_steps.values() if isinstance(step, Pipeline) else [step])
    ]
    return {
        f"{number} {name}": repr(np.asarray(value, object).tolist())
        for number, part in enumerate(flat)
        for name, value in vars(part).items()
        if name.endswith("_") and not name.startswith("_")
    }


OTHER: dict[str, tuple[str, Any]] = {
    "numbers": ("age", pc.add(RECORDS.column("age"), 1000.0)),
    "all numbers missing": ("income", None),
    "a range": ("spent", 1e6),
    "a new name": ("city", "Atlantis"),
    "a name": ("city", "Sion"),
    "dates": ("since", 4_000_000_000),
    "true and false": ("is_member", True),
    "classes": ("left", "yes"),
    "a new class": ("left", pa.chunked_array([["perhaps", "yes"] * (ROWS // 2)])),
}
MODELS = [Gradient(hidden_layers=(4,)), SGDClassifier(loss="log_loss"), GaussianNB()]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("what", OTHER)
def test_other_values_that_are_held_out_change_not_a_bit(what: str, model: Any) -> None:
    epochs = 1 if isinstance(model, GaussianNB) else 2
    records = with_held_out(*OTHER[what])
    found, told = learned(records, model=model, workers=1, epochs=epochs)
    wanted, before = learned(RECORDS, model=model, workers=2, epochs=epochs)
    assert everything(found) == everything(wanted)
    assert found.pipeline[-1].classes_.tolist() == ["no", "yes"]
    assert [each.loss for each in told] == [each.loss for each in before]


@pytest.mark.parametrize(("name", "value"), [("spent", 1e5), OTHER["numbers"]])
def test_another_number_to_predict_that_is_held_out_changes_the_held_out_loss_alone(
    name: str, value: Any
) -> None:
    found, told = learned(with_held_out(name, value), "spent")
    wanted, before = learned(RECORDS, "spent")
    assert everything(found) == everything(wanted)
    assert [each.loss for each in told] == [each.loss for each in before]
    assert told[-1].held_out_loss != before[-1].held_out_loss


def test_a_scale_is_that_of_the_records_that_are_learned_from() -> None:
    values = np.random.default_rng(0).normal(size=ROWS)
    is_learned = ORDER.is_learned(Range(0, ROWS))
    moved = np.where(is_learned, values, values + 1000)
    table = pa.table({"x": moved, "y": np.where(values > 0, "yes", "no")})
    how = LearnSettings(held_out=SHARE, step_records=STEP_RECORDS, epochs=1)
    columns = train.learn(table, "y", settings=how).pipeline[0]
    scaler = columns.transformers_[0][1].named_steps["scale"]
    known = values[is_learned].astype(np.float32).astype(np.float64)
    assert abs(scaler.offsets_[0] - known.mean()) < 1e-7
    assert abs(scaler.factors_[0] - 1 / known.std()) < 1e-6


def test_a_name_that_only_held_out_records_have_is_an_unknown_one() -> None:
    fitted, _ = learned(with_held_out("city", "Atlantis"))
    frame = frame_of(RECORDS, CLASSES)
    columns = fitted.pipeline[0]
    seen, never = (columns.transform(frame.assign(city=name)) for name in ("Atlantis", "Utopia"))
    assert (seen == never).all()


def test_the_held_out_loss_is_that_of_classes_that_are_learned() -> None:
    """Half of what is held out is of another class: the loss is that of the other half."""
    places = np.flatnonzero(IS_HELD_OUT)[::2]
    is_other = np.isin(np.arange(ROWS), places)
    classes = RECORDS.column("left").to_numpy()
    records = RECORDS.set_column(
        RECORDS.column_names.index("left"), "left", pa.array(np.where(is_other, "other", classes))
    )
    fitted, told = learned(records)
    rest = RECORDS.filter(pc.and_not(IS_HELD_OUT, pa.array(is_other)))
    chances = fitted.pipeline.predict_proba(frame_of(rest, CLASSES))
    wanted = (rest.column("left").to_numpy() == "yes").astype(int)
    loss = -np.log(chances[np.arange(len(wanted)), wanted]).mean()
    assert told[-1].held_out_loss is not None
    assert abs(told[-1].held_out_loss - loss) < 1e-5


def test_one_class_beside_those_held_out_is_refused() -> None:
    table = pa.table(
        {"x": np.arange(1000.0), "y": pc.if_else(IS_HELD_OUT, pa.scalar("yes"), pa.scalar("no"))}
    )
    how = LearnSettings(held_out=SHARE, step_records=STEP_RECORDS)
    with pytest.raises(InvalidRequestError, match="of one class, 'no'") as refused:
        train.learn(table, "y", settings=how)
    assert "held out do not count" in str(refused.value.hint)


def test_held_out_records_of_unknown_classes_alone_measure_nothing_and_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="no record that is held out is of a class"):
        learned(with_held_out("left", "perhaps"), patience=2)


def test_a_folder_of_statistics_over_held_out_records_is_refused(tmp_path: Path) -> None:
    learned(RECORDS, checkpoints=tmp_path)
    kept = tmp_path / "learning.json"
    kept.write_bytes(kept.read_bytes().replace(b'"format":2', b'"format":1'))
    with pytest.raises(ConflictError, match="of format 1, 2 is known"):
        learned(RECORDS, checkpoints=tmp_path)
