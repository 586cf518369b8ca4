"""From records of mixed types to a private package: what it costs, is worth, and holds."""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes

from shoal.errors import (
    BudgetError,
    DtypeError,
    InvalidRequestError,
    MissingColumnError,
    NullError,
    ShoalError,
)
from shoal.evaluate import ModelCard, Report, to_html, to_json, to_markdown
from shoal.train import (
    PrivateBoolean,
    PrivateCategorical,
    PrivateModel,
    PrivateNumeric,
    PrivateSettings,
    learn_privately,
    seal,
)
from shoal.train._prepare._frames import frame_of
from shoal.train._private._records._columns import Numbers
from tests.train.conftest import CITIES, customers
from tests.train.private.searching import bytes_below, records_in

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.evaluate import Metric
    from shoal.train._private._records._settings import PrivateColumn

STATED: dict[str, PrivateColumn] = {
    "age": PrivateNumeric(bounds=(0, 100), flag=True),
    "income": PrivateNumeric(bounds=(0, 100_000), missing=20_000),
    "city": PrivateCategorical(categories=tuple(CITIES[:5])),
    "is_member": PrivateBoolean(),
}
FOUND: dict[str, PrivateColumn] = {
    "age": PrivateNumeric(),
    "city": PrivateCategorical(),
    "is_member": PrivateBoolean(),
}


def settings(**changes: Any) -> PrivateSettings:
    """Settings of the customers, of whom it is asked whether they left."""
    usual: dict[str, Any] = {"epsilon": 3.0, "columns": STATED, "classes": ("no", "yes")}
    return PrivateSettings(**(usual | changes))


NUMBERS: dict[str, Any] = {"classes": (), "target_bounds": (-400, 400)}


@cache
def records(rows: int = 3000) -> pa.Table:
    return customers(rows, seed=0)


@cache
def model() -> PrivateModel:
    return learn_privately(records(), "left", settings(threshold=True, scale="noisy"), seed=1)


@pytest.mark.parametrize("epsilon", [0.5, 3.0])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"threshold": True, "hidden_layers": ((), (8,)), "learning_rates": (0.5, 1.0)},
        {"columns": FOUND, "choice_share": 0.3},
        {"columns": FOUND, "choice_share": 0.3, "scale": "noisy", "threshold": True},
        {**NUMBERS},
        {**NUMBERS, "scale": "noisy", "learning_rates": (0.1, 0.3), "delta": 1e-7},
    ],
    ids=["stated", "chosen", "found", "all", "numbers", "numbers chosen"],
)
def test_no_record_costs_more_than_was_allowed(epsilon: float, changes: dict[str, Any]) -> None:
    asked = settings(epsilon=epsilon, **changes)
    target = "spent" if asked.target_bounds else "left"
    learned = learn_privately(records(), target, asked)
    spent = learned.spent
    assert spent.private
    assert 0.9 * epsilon < spent.epsilon <= epsilon
    assert all(0.9 * epsilon < part.epsilon <= epsilon for part in spent.parts)
    assert spent.delta == (asked.delta or 1e-5)
    assert sum(part.records for part in spent.parts) == spent.records == 3000
    assert {use.part for use in spent.uses} == {part.name for part in spent.parts}
    assert all(metric.value is not None for metric in learned.evaluation.metrics)


def test_only_what_is_asked_for_takes_records() -> None:
    plain = learn_privately(records(), "left", settings())
    assert [part.name for part in plain.spent.parts] == ["evaluation", "learning"]
    names = [part.name for part in model().spent.parts]
    assert names == ["evaluation", "preparation", "choice", "learning"]


def test_what_was_spent_on_what_is_said_in_words_and_numbers() -> None:
    learned = learn_privately(records(), "left", settings(columns=FOUND, choice_share=0.3))
    facts = learned.facts
    assert facts["Privacy spent"].startswith("epsilon ")
    assert "of at most 3 at delta 1e-05" in facts["Privacy spent"]
    assert "bounds of age (epsilon 0.74" in facts["Spent on preparation"]
    assert "categories of city (epsilon 1.4" in facts["Spent on preparation"]
    assert "training (noise " in facts["Spent on learning"]
    assert "confusion matrix (epsilon 3" in facts["Spent on evaluation"]
    assert "the number of records: 3000" in facts["Taken as public"]
    assert "age 0 to 100" not in facts["Taken as public"]  # it was found, not stated
    assert model().facts["Privacy spent"].startswith("NOT PRIVATE")


def test_the_delta_is_a_tenth_of_one_over_the_records_at_most() -> None:
    assert settings().budget(10**7).delta == pytest.approx(1e-8)
    assert settings().budget(1000).delta == 1e-5
    with pytest.raises(BudgetError, match="expected below 1/3000"):
        learn_privately(records(), "left", settings(delta=0.001))


@pytest.mark.parametrize("changes", [{}, {"hidden_layers": ((), (8,))}], ids=["one", "two models"])
def test_an_epsilon_too_small_to_train_says_what_is_needed(changes: dict[str, Any]) -> None:
    few = records().slice(0, 400)
    with pytest.raises(BudgetError, match=r"epsilon 0\.01 is too small to train") as caught:
        learn_privately(few, "left", settings(epsilon=0.01, **changes), seed=0)
    needed = float(str(caught.value).split()[-1])
    learned = learn_privately(few, "left", settings(epsilon=needed, **changes), seed=0)
    assert learned.spent.epsilon <= needed


@pytest.mark.parametrize(("name", "what"), [("age", "bounds"), ("city", "categories")])
def test_what_cannot_be_found_is_named(name: str, what: str) -> None:
    asked = settings(epsilon=0.05, columns={name: FOUND[name]})
    with pytest.raises(BudgetError, match=f"the {what} of column '{name}' cannot be found") as one:
        learn_privately(records(), "left", asked)
    assert "State it" in str(one.value.hint)


def test_bounds_are_found_near_the_ends_of_nearly_all_values() -> None:
    generator = np.random.default_rng(0)
    found = learn_privately(
        pa.table(
            {
                "year": generator.integers(1990, 2021, 20_000),
                "loss": -generator.lognormal(5, 1, 20_000),
                "small": np.append(generator.normal(0, 0.01, 19_999), 1e30),
                "class": generator.integers(0, 2, 20_000),
            }
        ),
        "class",
        settings(
            columns={name: PrivateNumeric() for name in ("year", "loss", "small")}, classes=(0, 1)
        ),
        seed=0,
    )
    ends = [(column.low, column.high) for column in found.columns if isinstance(column, Numbers)]
    expected = [(1985, 2025), (-960, -16), (-0.025, 0.025)]
    for found_ends, true_ends in zip(ends, expected, strict=True):
        assert np.allclose(found_ends, true_ends, atol=0.2 * (true_ends[1] - true_ends[0]))


def test_breast_cancer_is_told_within_epsilon_3() -> None:
    rows, classes = load_breast_cancer(return_X_y=True)
    names = [f"x{place}" for place in range(rows.shape[1])]
    bounds: dict[str, PrivateColumn] = {
        name: PrivateNumeric(bounds=(0.0, float(high)))
        for name, high in zip(names, 1.2 * rows.max(axis=0), strict=True)
    }
    table = pa.table(dict(zip(names, rows.T, strict=True)) | {"benign": classes == 1})
    asked = PrivateSettings(
        epsilon=3.0, columns=bounds, classes=(False, True), scale="noisy", learning_rates=(1.0,)
    )
    found = []
    for seed in range(5):
        learned = learn_privately(table, "benign", asked, seed=seed)
        answers = learned.fitted.pipeline.predict(frame_of(table, learned.fitted.preparation))
        found.append(float(np.mean(answers == np.where(classes == 1, "True", "False"))))
        assert learned.spent.epsilon <= 3.0
    assert np.mean(found) > 0.92


@pytest.mark.parametrize("hidden_layers", [(), (8,)], ids=str)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_sealed_model_answers_made_up_records_alike(
    hidden_layers: tuple[int, ...], classes: int, tmp_path: Path
) -> None:
    table = records()
    if classes == 3:
        table = with_three_classes(table)
    labels = ("no", "yes", "perhaps")[:classes]
    asked = settings(classes=labels, hidden_layers=(hidden_layers,))
    learned = learn_privately(table, "left", asked, seed=3)
    package = seal(
        learned.fitted, learned.example(300), name="p", version="1", output=tmp_path / "p"
    )
    fresh = learned.example(2000, seed=5)
    assert fresh.column("city").null_count > 0
    answers = package.model().predict(served(fresh)).column("label").to_pylist()
    expected = learned.fitted.pipeline.predict(frame_of(fresh, learned.fitted.preparation))
    assert answers == expected.tolist()
    assert set(answers) >= {"no", "yes"}


def test_a_sealed_regressor_answers_made_up_records_alike(tmp_path: Path) -> None:
    learned = learn_privately(records(), "spent", settings(**NUMBERS), seed=3)
    package = seal(
        learned.fitted, learned.example(300), name="p", version="1", output=tmp_path / "p"
    )
    fresh = learned.example(2000, seed=5)
    answers = package.model().predict(served(fresh)).column("prediction").to_numpy()
    expected = learned.fitted.pipeline.predict(frame_of(fresh, learned.fitted.preparation))
    assert np.abs(answers - expected).max() < 0.01


def test_an_unknown_category_and_a_hole_are_answered(tmp_path: Path) -> None:
    learned = model()
    package = seal(
        learned.fitted, learned.example(300), name="p", version="1", output=tmp_path / "p"
    )
    rows = pa.table(
        {
            "age": pa.array([30.0, 30.0, None, 1e30], pa.float64()),
            "income": pa.array([1e4, 1e4, None, -5.0], pa.float64()),
            "city": pa.array(["Atlantis", "Lemuria", None, "Bern"]),
            "is_member": pa.array([True, True, None, False]),
        }
    )
    answers = package.model().predict(served(rows))
    shares = np.stack(answers.column("probabilities").to_pylist())
    assert np.array_equal(shares[0], shares[1])
    assert np.isfinite(shares).all()


def test_no_record_is_found_in_a_private_package_or_report(tmp_path: Path) -> None:
    learned = model()
    package = seal(
        learned.fitted, learned.example(300), name="p", version="1", output=tmp_path / "p"
    )
    card = ModelCard(name="churn", version="1", facts=learned.facts)
    report = Report(card=card, evaluation=learned.evaluation)
    package.attest("privacy", msgspec.to_builtins(learned.spent))
    package.attest("report", msgspec.json.decode(to_json(report)))
    told = [to_html(report).encode(), to_markdown(report).encode(), to_json(report)]
    data = b"\0".join([bytes_below(tmp_path / "p"), *told, repr(learned).encode()])
    rows = full_rows(records())
    assert len(rows) == 50
    assert records_in(data, rows) == []
    assert records_in(data + rows[7].tobytes(), rows) == [7]
    frame = frame_of(records(), learned.fitted.preparation)
    features = (
        learned.fitted.pipeline[0]
        .named_transformers_["numbers"]
        .transform(frame[["age", "income", "is_member"]].dropna().iloc[:50])
    )
    assert records_in(data, features[:, :2].astype(np.float64)) == []


def test_a_report_shows_what_was_measured_and_how() -> None:
    learned = model()
    page = to_html(
        Report(card=ModelCard(name="churn", facts=learned.facts), evaluation=learned.evaluation)
    )
    for said in (
        "discrete Laplace",
        "NOT PRIVATE",
        "Spent on learning",
        "nothing was learned from",
    ):
        assert said in page
    assert "with replacement" not in page
    numbers = learn_privately(records(), "spent", settings(**NUMBERS), seed=0)
    page = to_html(Report(card=ModelCard(name="churn"), evaluation=numbers.evaluation))
    assert "49 bins of errors" in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": {}}, "name no column"),
        ({"columns": {"age": PrivateNumeric(bounds=(100, 0))}}, "bounds of column 'age' are 100"),
        ({"columns": {"age": PrivateNumeric(bounds=(0, math.inf))}}, "two finite numbers"),
        ({"columns": {"age": PrivateNumeric(bounds=(0, 9), missing=10)}}, "'age': missing is 10"),
        ({"columns": {"age": PrivateNumeric(missing=math.nan)}}, "'age': missing is nan"),
        ({"columns": {"city": PrivateCategorical(categories=())}}, "categories of column 'city'"),
        ({"columns": {"city": PrivateCategorical(categories=("a", "a"))}}, "none twice"),
        ({"classes": ()}, "neither classes nor target_bounds"),
        ({"target_bounds": (0, 1)}, "both classes and target_bounds"),
        ({"classes": ("yes",)}, "expected at least two"),
        ({"classes": (1, "1")}, "each once"),
        ({"classes": (), "target_bounds": (1, 1)}, "target_bounds are 1 and 1"),
        ({"positive": "perhaps"}, "positive is 'perhaps'"),
        ({"classes": ("a", "b", "c"), "threshold": True}, "there are 3 classes, expected two"),
        ({"hidden_layers": ((0,),)}, "a width below 1"),
        ({"hidden_layers": ()}, "0 models are to be compared"),
        ({"learning_rates": (0.0,)}, "numbers above 0"),
        ({"positive_weight": 0.0}, "positive_weight is 0"),
        ({"evaluation_share": 0.9}, "leave records to learn from"),
        ({"evaluation_share": 0.0}, "shares above 0"),
        ({"epsilon": 0.0}, "epsilon is 0"),
        ({"delta": 2.0}, "delta is 2"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        settings(**changes)


@pytest.mark.parametrize(
    ("changes", "target", "error", "message"),
    [
        ({"columns": {"hight": PrivateNumeric()}}, "left", MissingColumnError, "'hight'"),
        ({"columns": {"notes": PrivateNumeric(bounds=(0, 1))}}, "left", DtypeError, "'notes'"),
        ({"columns": {"since": PrivateNumeric(bounds=(0, 1))}}, "left", DtypeError, "'since'"),
        ({"columns": {"left": PrivateCategorical()}}, "left", InvalidRequestError, "as well"),
        ({"classes": ("no", "maybe")}, "left", InvalidRequestError, "'left' is 'yes' in row"),
        ({}, "nothing", InvalidRequestError, "no column 'nothing'"),
        ({}, "spent", DtypeError, "'spent' is double, expected classes"),
        ({}, "city", NullError, "'city' is missing"),
        (NUMBERS, "left", DtypeError, "'left' is string, expected numbers"),
    ],
)
def test_records_that_do_not_fit_are_refused_by_name(
    changes: dict[str, Any], target: str, error: type[ShoalError], message: str
) -> None:
    columns = {name: column for name, column in STATED.items() if name != target}
    with pytest.raises(error, match=message):
        learn_privately(records(), target, settings(**({"columns": columns} | changes)))


def test_few_records_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="none is left for"):
        learn_privately(records().slice(0, 1), "left", settings(threshold=True), seed=0)


def test_settings_are_read_from_a_table_of_text() -> None:
    read = msgspec.convert(
        {
            "epsilon": 3,
            "classes": ["no", "yes"],
            "hidden_layers": [[], [16]],
            "columns": {
                "age": {"kind": "numeric", "bounds": [0, 100], "flag": True},
                "city": {"kind": "categorical", "categories": ["Bern"]},
                "is_member": {"kind": "boolean"},
            },
        },
        PrivateSettings,
    )
    assert read.columns["age"] == PrivateNumeric(bounds=(0.0, 100.0), flag=True)
    assert read.candidates == (((), 0.5), ((16,), 0.5))
    with pytest.raises(msgspec.ValidationError, match="Invalid value 'text'"):
        msgspec.convert({"epsilon": 3, "columns": {"notes": {"kind": "text"}}}, PrivateSettings)
    with pytest.raises(msgspec.ValidationError, match="unknown field `epsilom`"):
        msgspec.convert({"epsilon": 3, "epsilom": 3, "columns": {}}, PrivateSettings)


def test_the_first_class_can_be_the_one_that_is_looked_for() -> None:
    rare = records().filter(pc.less(records().column("spent"), -100))
    both = pa.concat_tables([rare, records()])
    few = {"positive": "no", "threshold": True, "positive_weight": 20.0}
    many = {"positive": "no", "threshold": True, "positive_weight": 0.05}
    said = []
    for changes in (few, many):
        learned = learn_privately(both, "left", settings(**changes), seed=0)
        answers = learned.fitted.pipeline.predict(frame_of(both, learned.fitted.preparation))
        said.append(float(np.mean(answers == "no")))
    assert said[0] > 0.8
    assert said[1] < 0.3


@pytest.mark.parametrize(
    ("name", "bounds"), list(product(["mean_absolute_error", "r2"], [(25.0, 350.0)]))
)
def test_errors_of_numbers_are_measured_near_the_true_ones(
    name: str, bounds: tuple[float, float]
) -> None:
    rows, targets = load_diabetes(return_X_y=True)
    table = pa.table({f"x{place}": column for place, column in enumerate(np.tile(rows, (5, 1)).T)})
    table = table.append_column("target", pa.array(np.tile(targets, 5)))
    columns: dict[str, PrivateColumn] = {
        f"x{place}": PrivateNumeric(bounds=(-0.2, 0.2)) for place in range(rows.shape[1])
    }
    asked = PrivateSettings(epsilon=3.0, columns=columns, target_bounds=bounds)
    learned = learn_privately(table, "target", asked, seed=0)
    answers = learned.fitted.pipeline.predict(frame_of(table, learned.fitted.preparation))
    moved, truth = answers.clip(*bounds), np.tile(targets, 5)
    true = {
        "mean_absolute_error": np.abs(moved - truth).mean(),
        "r2": 1 - np.square(moved - truth).mean() / truth.var(),
    }
    assert holds(learned.evaluation.metric(name), float(true[name]))
    assert learned.evaluation.metric("r2").value == pytest.approx(true["r2"], abs=0.15)


def test_whole_numbers_that_no_double_holds_can_be_predicted() -> None:
    table = records()
    place = table.column_names.index("spent")
    spent = pc.add(pc.cast(pc.round(table.column("spent")), pa.int64()), 2**60)
    table = table.set_column(place, "spent", spent)
    bounds = (2.0**60 - 400, 2.0**60 + 400)
    learned = learn_privately(table, "spent", settings(classes=(), target_bounds=bounds), seed=0)
    answers = learned.fitted.pipeline.predict(frame_of(table, learned.fitted.preparation))
    assert np.isfinite(answers).all()


def holds(metric: Metric, value: float) -> bool:
    return metric.bounds is not None and metric.bounds.low <= value <= metric.bounds.high


def with_three_classes(table: pa.Table) -> pa.Table:
    is_odd = pc.greater(table.column("spent"), 100)
    classes = pc.if_else(is_odd, "perhaps", table.column("left"))
    return table.set_column(table.column_names.index("left"), "left", classes)


def served(table: pa.Table) -> pa.RecordBatch:
    """Records as a request brings them: numbers, true and false as FP32."""
    columns = {
        name: values if pa.types.is_string(values.type) else values.cast(pa.float32())
        for name, values in zip(table.column_names, table.columns, strict=True)
    }
    return pa.table(columns).combine_chunks().to_batches()[0]


def full_rows(table: pa.Table) -> Any:
    """(50, 3) the numbers of records that lack none."""
    whole = table.select(["age", "income", "spent"]).drop_null().slice(0, 50)
    return np.column_stack([column.to_numpy() for column in whole.columns])
