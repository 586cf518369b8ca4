"""Law 1: a batch of n gives what n batches of one give, in any order, beside any batch-mates.

To enrol a model, add a function to `ENROLLED` that seals it and gives the package with rows to ask
(none of them missing). The mates are an outlier x10,000, a NaN and, where the model takes nulls, a
missing record; they stand at random places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from shoal import package
from shoal.errors import BatchDependenceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shoal.runtime import Model

Sealed = tuple["Model", pa.RecordBatch]

PIXELS, DIGITS = load_digits(return_X_y=True)


def _vectors(rows: Any) -> pa.RecordBatch:
    values = np.asarray(rows, np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    return pa.record_batch({"X": column})


def _network(place: Path) -> Sealed:
    model = make_pipeline(StandardScaler(), MLPClassifier((16,), tol=1e-2, random_state=0))
    model.fit(PIXELS[:600], DIGITS[:600])
    rows = _vectors(PIXELS[600:850])
    built = package.build(model, name="network", version="1", output=place, example=rows)
    return built.model(), rows.slice(0, 12)


def _trees_with_gaps(place: Path) -> Sealed:
    gaps = np.where(np.random.default_rng(0).random(PIXELS.shape) < 0.1, np.nan, PIXELS)
    model = HistGradientBoostingClassifier(max_iter=3).fit(gaps[:600], DIGITS[:600])
    rows = _vectors(gaps[600:850])
    built = package.build(model, name="trees", version="1", output=place, example=rows)
    return built.model(), rows.slice(0, 12)


def _numbers_and_text(place: Path) -> Sealed:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"age": random.normal(size=500), "city": random.choice(["Köln", "Oslo"], 500)}
    )
    columns = [
        ("numbers", StandardScaler(), ["age"]),
        ("text", OneHotEncoder(handle_unknown="ignore"), ["city"]),
    ]
    model = make_pipeline(ColumnTransformer(columns), Ridge())
    model.fit(frame[:250], frame["age"][:250] * 3)
    built = package.build(model, name="mixed", version="1", output=place, example=frame[250:])
    asked = frame[250:262].astype({"age": np.float32})
    return built.model(), pa.RecordBatch.from_pandas(asked, preserve_index=False)


def _python(place: Path) -> Sealed:
    source = place.parent / "source"
    source.mkdir()
    (source / "halve.py").write_text(
        "def predict(batch):\n    return {'half': batch.column('a').to_numpy() / 2}\n"
    )
    rows = pa.record_batch({"a": np.arange(12.0)})
    built = package.build(
        "halve:predict",
        name="halve",
        version="1",
        output=place,
        example=rows,
        settings=package.Settings(source=source),
    )
    return built.model(allow_code=True), rows


ENROLLED: dict[str, Callable[[Path], Sealed]] = {
    "network": _network,
    "numbers and text": _numbers_and_text,
    "python": _python,
    "trees with gaps": _trees_with_gaps,
}


@pytest.fixture(scope="module", params=sorted(ENROLLED))
def enrolled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    place = tmp_path_factory.mktemp("law") / "model"
    return ENROLLED[request.param](place)


def _mates(rows: pa.RecordBatch, model: Model) -> list[dict[str, Any]]:
    """The first record, made disturbing in each way that its columns allow."""
    first = rows.slice(0, 1).to_pylist()[0]

    def changed(change: Callable[[float], float]) -> dict[str, Any]:
        return {name: _changed(value, change) for name, value in first.items()}

    mates = [changed(lambda value: (value or 1.0) * 10_000), changed(lambda _: float("nan"))]
    nullable = {column.name for column in model.signature.inputs if column.nullable}
    if nullable:
        mates.append({name: None if name in nullable else first[name] for name in first})
    return mates


def _changed(value: Any, change: Callable[[float], float]) -> Any:
    if isinstance(value, list):
        return [change(each) for each in value]
    return change(value) if isinstance(value, float) else value


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return all(map(_same, found, expected))
    if isinstance(expected, float):
        return bool(np.isclose(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True))
    return bool(found == expected)


@given(data=st.data())
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neighbours_never_change_an_answer(enrolled: Sealed, data: st.DataObject) -> None:
    model, rows = enrolled
    alone = [model.predict(rows.slice(i, 1)).to_pylist()[0] for i in range(rows.num_rows)]
    asked = list(enumerate(rows.to_pylist()))
    everyone = data.draw(st.permutations([*asked, *((-1, mate) for mate in _mates(rows, model))]))
    batch = pa.RecordBatch.from_pylist([record for _, record in everyone], schema=rows.schema)
    answers = model.predict(batch).to_pylist()
    assert len(answers) == len(everyone)
    for (number, _), answer in zip(everyone, answers, strict=True):
        if number >= 0:
            assert all(_same(answer[name], alone[number][name]) for name in answer)


def test_every_enrolled_model_is_asked() -> None:
    assert len(ENROLLED) == 4


def test_the_law_can_be_broken(tmp_path: Path) -> None:
    """A scale over the whole batch, as dynamic quantization has, is not let through."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["X"], ["largest"], keepdims=0),
            helper.make_node("Div", ["X", "largest"], ["Y"]),
        ],
        "test",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["N", 64])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    with pytest.raises(BatchDependenceError, match="batch"):
        package.build(
            model, name="m", version="1", output=tmp_path / "m", example=_vectors(PIXELS[:20])
        )
