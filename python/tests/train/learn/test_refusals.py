"""What cannot be learned from, or with, is refused by name; and memory has a bound."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, Perceptron, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB, MultinomialNB

from shoal import train
from shoal.errors import (
    DtypeError,
    InvalidRequestError,
    MissingColumnError,
    NullError,
    PathError,
    ShoalError,
)
from shoal.train import Categorical, Date, Gradient, LearnSettings, Numeric, Preparation, Text
from shoal.train._learn._stored._records import BLOCK_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shoal.train._prepare._description import Feature

ROWS = 40_000
NAMES = np.array(["no", "yes"])


def records(**changes: Any) -> pa.Table:
    draw = np.random.default_rng(0)
    x = draw.normal(size=ROWS)
    columns = {
        "x": pa.array(x),
        "name": pa.array(np.array(["a", "b", "c"])[draw.integers(0, 3, ROWS)]),
        "at": pa.array(draw.integers(0, 10**9, ROWS), pa.timestamp("s")),
        "y": pa.array(NAMES[(x + draw.normal(size=ROWS) > 0).astype(int)]),
        **changes,
    }
    return pa.table({name: values for name, values in columns.items() if values is not None})


def with_value(value: Any, kind: pa.DataType) -> pa.Array:
    """A column that has it in row 33,000, which is not in the first micro-batch."""
    usual = ["no", "yes"] if pa.types.is_string(kind) else [0.0, 1.0]
    values: list[Any] = [usual[number % 2] for number in range(ROWS)]
    values[33_000] = value
    return pa.array(values, kind)


AT = "row 33000"
WRONG_RECORDS: list[tuple[dict[str, Any], type[ShoalError], str]] = [
    ({"y": None}, InvalidRequestError, "there is no column 'y' to predict"),
    ({"y": with_value(None, pa.string())}, NullError, f"the target 'y' is missing in {AT}"),
    ({"y": with_value(np.nan, pa.float64())}, NullError, f"the target 'y' is missing in {AT}"),
    ({"y": with_value(np.inf, pa.float64())}, DtypeError, f"the target 'y' is inf in {AT}"),
    ({"y": pa.array(["no"] * ROWS)}, InvalidRequestError, "all targets are of one class, 'no'"),
    ({"y": pa.array(range(ROWS))}, InvalidRequestError, "'y' has more than 1000 different values"),
    ({"x": with_value(np.inf, pa.float64())}, DtypeError, f"column 'x' {AT} is inf"),
    ({"x": with_value(1e300, pa.float64())}, DtypeError, f"column 'x' {AT} is 1e\\+300"),
    ({"x": with_value("no", pa.string())}, DtypeError, "column 'x' is string, expected numbers"),
    ({"x": None}, MissingColumnError, "there is no column 'x'; there are name, at, y"),
    ({"at": pa.nulls(ROWS, pa.timestamp("s"))}, NullError, "column 'at' row 0 has no date"),
]
COLUMNS: dict[str, Feature] = {"x": Numeric(), "name": Categorical(), "at": Date()}


def learn(table: Any, model: Any = None, columns: Any = None, **changes: Any) -> Any:
    preparation = Preparation(columns=columns or COLUMNS)
    how = LearnSettings(**{"preparation": preparation, "epochs": 1, **changes})
    return train.learn(table, "y", model, settings=how)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("changes", "kind", "said"), WRONG_RECORDS, ids=lambda each: str(each)[:40]
)
def test_wrong_records_are_named(
    changes: dict[str, Any], kind: type[ShoalError], said: str, workers: int
) -> None:
    with pytest.raises(kind, match=said):
        learn(records(**changes), workers=workers)


def test_a_column_of_keys_is_refused() -> None:
    keys = pa.table({"name": [f"key {number}" for number in range(100_001)]})
    table = keys.append_column("y", pa.array(NAMES[np.arange(100_001) % 2]))
    with pytest.raises(InvalidRequestError, match="'name' has more than 100000 different values"):
        learn(table, columns={"name": Categorical()})


@pytest.mark.parametrize("empty", [records().slice(0, 0), [], records().slice(0, 0).to_batches()])
def test_no_records_are_refused(empty: Any) -> None:
    with pytest.raises(InvalidRequestError, match="no records"):
        learn(empty)


def test_records_that_are_all_dropped_are_refused() -> None:
    nothing = pa.nulls(ROWS, pa.float64())
    with pytest.raises(InvalidRequestError, match="no records to learn from") as refused:
        learn(records(x=nothing), columns={"x": Numeric(missing="drop")})
    assert "missing values" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"name": Text()}, "column 'name': words of a text cannot be learned in micro-batches"),
        ({"x": Numeric(missing="modelled")}, "column 'x': missing='modelled' cannot be learned"),
        ({"x": Numeric(missing="keep")}, "column 'x': missing='keep' cannot be learned"),
        ({"x": Numeric(missing="most_frequent")}, "missing='most_frequent' cannot be learned"),
    ],
)
def test_what_needs_all_records_at_once_is_refused(columns: Any, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        learn(records(), columns=columns)


@pytest.mark.parametrize(
    ("preparation", "said"),
    [
        (Preparation(columns={}), "names no column"),
        (Preparation(columns=COLUMNS, polynomial=2), "polynomial=2 cannot be learned"),
        (Preparation(columns=COLUMNS, select=3), "select=3 cannot be learned"),
    ],
)
def test_products_and_selections_are_refused(preparation: Preparation, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        learn(records(), preparation=preparation)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (RandomForestClassifier(), "RandomForestClassifier does not learn in micro-batches"),
        (LinearRegression(), "LinearRegression does not learn in micro-batches"),
        ("logistic", "str does not learn in micro-batches"),
        (SGDRegressor(), "SGDRegressor does regression, the target asks for classification"),
        (SGDClassifier(average=True), "SGDClassifier has average=True"),
        (SGDClassifier(early_stopping=True), "SGDClassifier has early_stopping=True"),
        (Perceptron(class_weight="balanced"), "Perceptron has class_weight='balanced'"),
        (SGDClassifier(alpha=-1), "the estimator refuses: .*alpha"),
        (
            SGDClassifier(loss="squared_error", learning_rate="constant", eta0=1e300),
            "the estimator refuses: .*overflow",
        ),
        (MultinomialNB(), "the estimator refuses: Negative values"),
        (Gradient(hidden_layers=(50,), learning_rate=1e200), "the loss is not finite in step [23]"),
    ],
    ids=str,
)
def test_models_that_cannot_are_named(model: Any, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        learn(records(), model)


def test_what_only_counts_reads_records_once() -> None:
    with pytest.raises(InvalidRequestError, match="epochs is 2, expected 1: GaussianNB only"):
        learn(records(), GaussianNB(), epochs=2)


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        (LearnSettings, {"epochs": 0}, "epochs is 0, expected at least 1"),
        (LearnSettings, {"shards": 0}, "shards is 0"),
        (LearnSettings, {"workers": -1}, "workers is -1"),
        (LearnSettings, {"held_out": 1.0}, "held_out is 1.0, expected from 0 to below 1"),
        (LearnSettings, {"patience": 2}, "no record is held out"),
        (LearnSettings, {"seed": -1}, "seed is -1"),
        (Gradient, {"hidden_layers": (0,)}, "hidden_layers is"),
        (Gradient, {"penalty": -1.0}, "penalty is -1.0"),
        (Gradient, {"learning_rate": 0.0}, "learning_rate is 0.0"),
        (Gradient, {"schedule": "steps"}, "schedule is 'steps'"),
        (Gradient, {"momentum": 1.0}, "momentum is 1.0"),
        (Gradient, {"clip_norm": 0.0}, "clip_norm is 0.0"),
        (Gradient, {"clipping": "all"}, "clipping is 'all'"),
    ],
)
def test_settings_that_cannot_be_are_refused(kind: Any, changes: Any, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        kind(**changes)


def test_too_few_records_to_hold_out_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="leaves some on both sides"):
        learn(records().slice(0, 3), held_out=0.1)


def test_what_can_be_read_once_only_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="generator can be gone through once"):
        learn(batch for batch in records().to_batches())


def test_files_of_text_are_refused_and_missing_ones_named(tmp_path: Path) -> None:
    (tmp_path / "records.csv").write_text("x,y\n1,a\n2,b\n")
    with pytest.raises(InvalidRequestError, match="is csv, expected Parquet") as refused:
        learn(tmp_path / "records.csv")
    assert "train.collect" in str(refused.value.hint)
    with pytest.raises(PathError):
        learn(tmp_path / "nothing.parquet")


def test_without_a_preparation_types_decide() -> None:
    table = records(at=None, is_old=pa.array([True, False] * (ROWS // 2)))
    found = train.learn(table, "y", settings=LearnSettings(epochs=1))
    kinds = {name: type(each) for name, each in found.preparation.columns.items()}
    assert kinds == {"x": Numeric, "name": Categorical, "is_old": Numeric}
    with_date = train.learn(records().select(["at", "y"]), "y", settings=LearnSettings(epochs=1))
    assert with_date.preparation.columns == {"at": Date(missing="1970-01-01")}
    nested = table.append_column("list", pa.array([[1]] * ROWS))
    with pytest.raises(DtypeError, match="column 'list' is list"):
        train.learn(nested, "y")


class Counted:
    """Records of which somebody counts how many micro-batches are held at a time."""

    def __init__(self, batches: int) -> None:
        self.batches, self.held, self.most = batches, 0, 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for number in range(self.batches):
            draw = np.random.default_rng(number)
            x = draw.normal(size=BLOCK_ROWS)
            columns = {"x": pa.array(x), "y": pa.array(NAMES[(x > 0).astype(int)])}
            batch = pa.record_batch(columns)
            self.held += 1
            self.most = max(self.most, self.held)
            weakref.finalize(batch, self._let_go)
            yield batch
            del batch

    def _let_go(self) -> None:
        self.held -= 1


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_few_micro_batches_are_held_however_many_there_are(workers: int) -> None:
    source = Counted(40)
    learn(source, columns={"x": Numeric()}, workers=workers)
    assert source.held == 0
    assert source.most <= workers + 3
