"""Python models: how their source is imported, and what they may give back."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from shoal import runtime
from shoal.errors import (
    CorruptPackageError,
    ModelError,
    RequirementError,
    UntrustedPackageError,
)
from shoal.runtime import Binding, Description, Model
from shoal.values import Column, Dtype, Signature

SIGNATURE = Signature(
    inputs=(Column("a", Dtype.FP64),),
    outputs=(Column("b", Dtype.FP32), Column("c", Dtype.INT64)),
)
BATCH = pa.record_batch({"a": [1.0, 2.0]})
GOOD = "return {'c': [1] * batch.num_rows, 'b': batch.column('a')}"


def described(**changed: Any) -> Description:
    parts: dict[str, Any] = {
        "format": 1,
        "name": "model",
        "version": "1",
        "runtime": "python",
        "pure": True,
        "signature": SIGNATURE,
        "binding": Binding(file="source/", object="model:predict"),
        "policy": runtime.Policy(),
        "tolerance": runtime.Tolerance(),
        "golden": "none",
    }
    return Description(**{**parts, **changed})


def opened(body: str, *, before: str = "", **changed: Any) -> Model:
    text = f"{before}\ndef predict(batch):\n    {body}\n"
    files = runtime.FilesInMemory({"source/model.py": text.encode()})
    return runtime.load(described(**changed), files, allow_code=True)


def test_answers_are_put_in_declared_order_and_types() -> None:
    answers = opened(GOOD).predict(BATCH)
    assert answers.schema.names == ["b", "c"]
    assert answers.schema.types == [pa.float32(), pa.int64()]
    assert answers.column("b").to_pylist() == [1.0, 2.0]


def test_code_is_not_even_imported_unless_it_is_allowed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = f"open({str(mark)!r}, 'w').close()\ndef predict(batch):\n    return batch\n"
    files = runtime.FilesInMemory({"source/model.py": text.encode()})
    with pytest.raises(UntrustedPackageError, match="runs Python code"):
        runtime.load(described(), files)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('seven')", "ValueError: seven"),
        ("return {'b': [1.0], 'c': [1]}", "1 rows for 2 records"),
        ("return {'b': [1.0, 2.0]}", "'c'"),
        ("return {'b': [1.0, 2.0], 'c': [1, 2], 'd': [1, 2]}", "'d'"),
        ("return {'b': [1.0, 2.0], 'c': ['x', 'y']}", "'c'"),
        ("return {'b': [1.0, None], 'c': [1, 2]}", "'b'"),
        ("return {'b': [1e300, 1.0], 'c': [1, 2]}", "'b'"),
        ("return None", "it is a NoneType"),
        ("return {'b': [1.0, 2.0], 'c': [[1], 'x']}", "not a table"),
    ],
)
def test_a_wrong_answer_is_the_model_s_error(body: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        opened(body).predict(BATCH)


def test_the_cause_of_a_failure_is_kept() -> None:
    with pytest.raises(ModelError) as caught:
        opened("raise KeyError('k')").predict(BATCH)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_source_that_cannot_be_imported_is_the_model_s_error() -> None:
    for before in ("import no_such_module", "1 / 0", "def ("):
        with pytest.raises(ModelError, match="cannot be imported"):
            opened(GOOD, before=before)
    with pytest.raises(ModelError, match="neither a function"):
        opened(GOOD, binding=Binding(file="source/", object="model:predict.__doc__"))


def test_requirements_are_checked_before_any_code_runs(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(RequirementError, match=r"no-such-thing==1 .not installed."):
        opened(GOOD, before=f"open({str(mark)!r}, 'w')", requirements=("no-such-thing==1",))
    assert not mark.exists()
    with pytest.raises(RequirementError, match="not a locked requirement"):
        opened(GOOD, requirements=("numpy>=1",))


def test_a_package_sees_its_own_modules_and_no_other_s() -> None:
    def of(number: int) -> Model:
        files = {
            "source/model.py": b"import json, json.decoder\n"
            b"import part as other\nfrom part import X\n"
            b"def predict(batch):\n    import part\n"
            b"    assert json.decoder and other is part\n"
            b"    return {'b': [part.X * 1.0] * batch.num_rows, 'c': [X] * batch.num_rows}\n",
            "source/part.py": f"X = {number}\n".encode(),
        }
        return runtime.load(described(), runtime.FilesInMemory(files), allow_code=True)

    one, two = of(1), of(2)
    assert one.predict(BATCH).column("c").to_pylist() == [1, 1]
    assert two.predict(BATCH).column("c").to_pylist() == [2, 2]
    assert "part" not in sys.modules
    assert "model" not in sys.modules


def test_a_module_of_the_process_is_not_mistaken_for_the_package_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "model", sys)
    assert opened(GOOD).predict(BATCH).num_rows == 2


def test_the_unpacked_source_goes_with_the_model() -> None:
    model = opened(GOOD, before="HERE = __file__")
    place = Path(model._function.__globals__["HERE"])  # type: ignore[attr-defined] # a PythonModel
    assert place.is_file()
    assert not (place.parent / "__pycache__").exists()
    root = place.parents[1]
    del model
    gc.collect()
    assert not root.exists()


def test_a_server_s_payload_starts_workers_and_runs_no_code_here(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = f"open({str(mark)!r}, 'w').close()\ndef predict(batch):\n    {GOOD}\n"
    files = runtime.FilesInMemory({"source/model.py": text.encode(), "shoal.json": b"{}"})
    with runtime.payload(described(), files, allow_code=True) as launch:
        assert isinstance(launch, runtime.Launch)
    assert launch.command[0] == sys.executable
    unpacked = Path(launch.directory)
    assert [str(each.relative_to(unpacked)) for each in unpacked.rglob("*.py")] == [
        "source/model.py"
    ]
    assert not mark.exists()
    del launch
    gc.collect()
    assert not unpacked.exists()


@pytest.mark.parametrize("place", ["/usr/lib/", "../", "", "source/inner/"])
def test_source_is_only_taken_from_its_own_directory(place: str) -> None:
    with pytest.raises(CorruptPackageError, match="expected 'source/'"):
        opened(GOOD, binding=Binding(file=place, object="model:predict"))


def test_an_object_that_the_package_lacks_is_refused() -> None:
    files = runtime.FilesInMemory({})
    with pytest.raises((CorruptPackageError, ModelError)):
        runtime.load(described(), files, allow_code=True)
