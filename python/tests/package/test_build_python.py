"""Sealing Python functions and classes: their source, their requirements, and who may run them."""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from shoal import package
from shoal.errors import (
    BatchDependenceError,
    InvalidRequestError,
    ModelError,
    RequirementError,
    UnsupportedModelError,
    UntrustedPackageError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package

EXAMPLE = pa.record_batch({"a": [1.0, 2.0, 3.0], "name": ["x", "y", "z"]})

ADDING = """
import numpy as np
import pyarrow as pa
from weights import BIAS

def predict(batch):
    values = batch.column("a").to_numpy() + BIAS
    return pa.record_batch({"sum": values, "name": batch.column("name")})

class Model:
    def __init__(self):
        self.bias = np.float64(BIAS)

    def predict(self, batch):
        return {"sum": batch.column("a").to_numpy() + self.bias}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "project"
    place.mkdir()
    (place / "adding.py").write_text(ADDING)
    (place / "weights.py").write_text("BIAS = 10\n")
    (place / "unrelated.py").write_text("raise SystemExit\n")
    monkeypatch.chdir(place)
    return place


def seal(model: Any, place: Path, **named: Any) -> Package:
    named = {"example": EXAMPLE, **named}
    return package.build(model, name="model", version="1", output=place, **named)


def test_a_function_is_sealed_with_what_it_imports(project: Path, tmp_path: Path) -> None:
    built = seal("adding:predict", tmp_path / "sealed")
    assert built.files() == (
        "requirements.txt",
        "shoal.json",
        "source/adding.py",
        "source/weights.py",
    )
    assert [column.name for column in built.signature.outputs] == ["sum", "name"]
    assert built.model(allow_code=True).predict(EXAMPLE).column("sum").to_pylist() == [11, 12, 13]


def test_sealing_does_not_import_the_source_into_this_process(
    project: Path, tmp_path: Path
) -> None:
    before = set(sys.modules)
    seal("adding:predict", tmp_path / "sealed")
    assert not {"adding", "weights", "unrelated"} & (set(sys.modules) - before)


def test_a_class_is_made_once_and_asked_for_each_batch(project: Path, tmp_path: Path) -> None:
    built = seal("adding:Model", tmp_path / "sealed")
    model = built.model(allow_code=True)
    assert model.predict(EXAMPLE).column("sum").to_pylist() == [11, 12, 13]
    assert model.predict(EXAMPLE.slice(1)).column("sum").to_pylist() == [12, 13]


def test_requirements_are_locked_to_what_is_installed(project: Path, tmp_path: Path) -> None:
    built = seal("adding:predict", tmp_path / "sealed")
    locked = (
        f"numpy=={metadata.version('numpy')}",
        f"pyarrow=={metadata.version('pyarrow')}",
    )
    assert built.description.requirements == locked
    assert built.read("requirements.txt").decode().splitlines() == list(locked)


def test_stated_requirements_replace_those_found(project: Path, tmp_path: Path) -> None:
    settings = package.Settings(requirements=["msgspec"])
    built = seal("adding:predict", tmp_path / "sealed", settings=settings)
    assert built.description.requirements == (f"msgspec=={metadata.version('msgspec')}",)
    with pytest.raises(RequirementError, match="no-such-distribution"):
        seal(
            "adding:predict",
            tmp_path / "other",
            settings=package.Settings(requirements=["no-such-distribution"]),
        )


def test_a_requirement_of_another_version_is_refused(project: Path, tmp_path: Path) -> None:
    with pytest.raises(RequirementError, match=r"numpy==0\.1 \(installed: "):
        seal(
            "adding:predict",
            tmp_path / "sealed",
            settings=package.Settings(requirements=["numpy==0.1"]),
        )
    assert not (tmp_path / "sealed").exists()


def test_opening_code_needs_to_be_allowed(project: Path, tmp_path: Path) -> None:
    built = seal("adding:predict", tmp_path / "sealed")
    with pytest.raises(UntrustedPackageError):
        built.model()
    with pytest.raises(UntrustedPackageError), built.payload():
        pass
    assert package.verify(tmp_path / "sealed").golden == "not run"
    assert package.verify(tmp_path / "sealed", allow_code=True).golden == "matched"
    shown = package.inspect(tmp_path / "sealed")
    assert (shown.runs_code, shown.golden_rows, shown.golden_origin) == (True, 4, "synthetic")


def test_a_directory_can_be_taken_whole(project: Path, tmp_path: Path) -> None:
    (project / "vocabulary.txt").write_text("a b c")
    settings = package.Settings(source=project)
    built = seal("adding:predict", tmp_path / "sealed", settings=settings)
    assert "source/vocabulary.txt" in built.files()
    assert "source/unrelated.py" in built.files()


def test_a_python_package_is_taken_with_all_its_modules(project: Path, tmp_path: Path) -> None:
    inner = project / "scoring" / "parts"
    inner.mkdir(parents=True)
    (project / "scoring" / "__init__.py").write_text("")
    (inner / "__init__.py").write_text("FACTOR = 2\n")
    (project / "scoring" / "model.py").write_text(
        "import scoring.parts\n"
        "from scoring import parts\n"
        "from .parts import FACTOR\n"
        "def run(batch):\n"
        "    import scoring.parts as again\n"
        "    factor = FACTOR * scoring.parts.FACTOR * parts.FACTOR * again.FACTOR\n"
        "    return {'a': batch.column('a').to_numpy() * factor}\n"
    )
    built = seal("scoring.model:run", tmp_path / "sealed")
    assert built.model(allow_code=True).predict(EXAMPLE).column("a").to_pylist() == [16, 32, 48]


def test_two_packages_with_modules_of_one_name_do_not_meet(project: Path, tmp_path: Path) -> None:
    first = seal("adding:predict", tmp_path / "first")
    (project / "weights.py").write_text("BIAS = 20\n")
    second = seal("adding:predict", tmp_path / "second")
    models = [each.model(allow_code=True) for each in (first, second)]
    sums = [model.predict(EXAMPLE).column("sum").to_pylist() for model in models]
    assert sums == [[11, 12, 13], [21, 22, 23]]


def test_a_live_function_of_a_module_is_sealed_from_its_source(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(project)
    monkeypatch.setitem(sys.modules, "weights", ModuleType("weights"))
    sys.modules["weights"].BIAS = 99  # type: ignore[attr-defined] # a module of this test
    live = importlib.import_module("adding")
    monkeypatch.delitem(sys.modules, "adding")
    by_object = seal(live.predict, tmp_path / "object")
    by_name = seal("adding:predict", tmp_path / "name")
    assert by_object.digest == by_name.digest
    answers = by_object.model(allow_code=True).predict(EXAMPLE)
    assert answers.column("sum").to_pylist() == [11, 12, 13]


@pytest.mark.parametrize(
    "model", [lambda batch: batch, type("Local", (), {"predict": None})().__class__.__call__]
)
def test_what_has_no_module_is_refused(model: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError):
        seal(model, tmp_path / "sealed")


def test_a_module_that_is_not_there_is_refused(project: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="no_such_module"):
        seal("no_such_module:predict", tmp_path / "sealed")
    with pytest.raises(ModelError, match="no_such_function"):
        seal("adding:no_such_function", tmp_path / "sealed")
    with pytest.raises(InvalidRequestError, match="no example"):
        seal("adding:predict", tmp_path / "sealed", example=None)


BAD = {
    "raises": ("1 / 0", "ZeroDivisionError"),
    "too few rows": ("return {'a': batch.column('a').slice(1)}", "2 rows for 3 records"),
    "no table": ("return 7", "it is a int"),
    "columns of different length": ("return {'a': [1], 'b': [1, 2]}", "not a table"),
    "no columns": ("return {}", "no outputs"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_function_that_answers_wrongly_is_not_sealed(
    name: str, project: Path, tmp_path: Path
) -> None:
    body, message = BAD[name]
    (project / "bad.py").write_text(f"def predict(batch):\n    {body}\n")
    with pytest.raises((ModelError, InvalidRequestError), match=message):
        seal("bad:predict", tmp_path / "sealed")
    assert not (tmp_path / "sealed").exists()


def test_a_function_that_depends_on_its_batch_is_refused(project: Path, tmp_path: Path) -> None:
    (project / "centred.py").write_text(
        "def predict(batch):\n"
        "    values = batch.column('a').to_numpy()\n"
        "    return {'a': values - values.mean()}\n"
    )
    with pytest.raises(BatchDependenceError):
        seal("centred:predict", tmp_path / "sealed")


def test_answers_may_be_arrays_of_any_rank(project: Path, tmp_path: Path) -> None:
    (project / "ranks.py").write_text(
        "import numpy as np\n"
        "def predict(batch):\n"
        "    rows = batch.num_rows\n"
        "    return {\n"
        "        'number': np.zeros(rows),\n"
        "        'row': np.zeros((rows, 3), np.float32),\n"
        "        'image': np.zeros((rows, 2, 3, 4), np.uint8),\n"
        "        'text': ['é'] * rows,\n"
        "    }\n"
    )
    built = seal("ranks:predict", tmp_path / "sealed")
    assert [column.shape for column in built.signature.outputs] == [(), (3,), (2, 3, 4), ()]
    answers = built.model(allow_code=True).predict(EXAMPLE)
    assert answers.column("text").to_pylist() == ["é"] * 3
    assert np.asarray(answers.column("image").to_numpy_ndarray()).shape == (3, 2, 3, 4)


def test_a_model_says_itself_that_a_record_must_not_be_run_twice(
    project: Path, tmp_path: Path
) -> None:
    assert seal("adding:predict", tmp_path / "pure").description.pure
    settings = package.Settings(pure=False)
    built = seal("adding:predict", tmp_path / "not-pure", settings=settings)
    assert not built.description.pure
    assert not package.open(tmp_path / "not-pure").description.pure
