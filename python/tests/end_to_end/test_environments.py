"""What workers may import: this environment, or the one that a package's lock lists.

The one distribution required, `shoalgreeting`, is a wheel made here; uv finds it in a directory and
asks no index. It is importable where the package is sealed, and nowhere else.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from shoal import package, serve
from shoal.errors import RequirementError
from tests.end_to_end.driver import ask

if TYPE_CHECKING:
    from pathlib import Path

NAME = "shoalgreeting"
FILES = {
    f"{NAME}.py": "WORD = {word!r}\n",
    f"{NAME}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n",
    f"{NAME}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{NAME}-1.0.dist-info/RECORD": "",
}
MODEL = f"""
import sys
import {NAME}

def predict(batch):
    seen = int("rich" in sys.modules or __import__("importlib").util.find_spec("rich") is not None)
    return {{"word": [{NAME}.WORD] * batch.num_rows, "rich": [seen] * batch.num_rows}}
"""
QUESTION = {"inputs": [{"name": "value", "shape": [1], "datatype": "FP64", "data": [1.0]}]}


def write_wheel(directory: Path, word: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"{NAME}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(zipfile.ZipInfo(name), text.replace("{word!r}", repr(word)))
    return path


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where uv, which also runs these tests, finds the wheel; its caches and ours are empty."""
    directory = tmp_path / "wheels"
    write_wheel(directory, "hello")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(directory))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return directory


def seal(tmp_path: Path, wheels: Path, *, lock: bool = True) -> Path:
    """A package that requires the wheel, sealed while the wheel can be imported."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "greeter.py").write_text(MODEL)
    installed = tmp_path / "installed"
    with zipfile.ZipFile(next(wheels.iterdir())) as wheel:
        wheel.extractall(installed)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(installed)
        patch.chdir(project)
        settings = package.Settings(requirements=[f"{NAME}==1.0"], lock=lock)
        example = pa.record_batch({"value": [1.0, 2.0]})
        built = package.build(
            "greeter:predict",
            name="greeter",
            version="1",
            output=tmp_path / "greeter",
            example=example,
            settings=settings,
        )
    return built.path


def answered(path: Path) -> dict[str, object]:
    options = serve.Options(worker_environment="locked")
    with serve.start(path, allow_code=True, options=options) as server:
        outputs = ask(server.http, "POST", "/v2/models/greeter/infer", QUESTION).json()["outputs"]
    return {output["name"]: output["data"][0] for output in outputs}


def environments(tmp_path: Path) -> list[str]:
    return [each.name for each in (tmp_path / "cache" / "shoal" / "environments").iterdir()]


def test_a_lock_lists_the_hash_of_what_is_required(tmp_path: Path, wheels: Path) -> None:
    digest = hashlib.sha256(next(wheels.iterdir()).read_bytes()).hexdigest()
    built = package.open(seal(tmp_path, wheels))
    text = built.read("requirements.txt").decode()
    assert text.split() == [f"{NAME}==1.0", "\\", f"--hash=sha256:{digest}"]
    assert built.description.requirements == (f"{NAME}==1.0",)


def test_workers_run_in_the_environment_of_the_lock_made_once(tmp_path: Path, wheels: Path) -> None:
    path = seal(tmp_path, wheels)
    # What the server's environment has beside Shoal's own needs is not to be seen.
    assert answered(path) == {"word": "hello", "rich": 0}
    made = environments(tmp_path)
    assert len(made) == 1
    shutil.rmtree(wheels)
    shutil.rmtree(tmp_path / "uv")
    assert answered(path) == {"word": "hello", "rich": 0}
    assert environments(tmp_path) == made


def test_another_file_of_the_same_version_is_refused(tmp_path: Path, wheels: Path) -> None:
    path = seal(tmp_path, wheels)
    write_wheel(wheels, "something else")
    shutil.rmtree(tmp_path / "uv")  # which holds the right file still
    with pytest.raises(RequirementError, match=r"(?i)hash"):
        answered(path)
    assert environments(tmp_path) == []


def test_the_current_environment_is_refused_by_the_name_of_what_it_lacks(
    tmp_path: Path, wheels: Path
) -> None:
    with pytest.raises(RequirementError, match=rf"{NAME}==1\.0 \(not installed\)"):
        serve.start(seal(tmp_path, wheels), allow_code=True)


def test_a_package_without_hashes_has_no_environment_of_its_own(
    tmp_path: Path, wheels: Path
) -> None:
    with pytest.raises(RequirementError, match="no lock with hashes"):
        answered(seal(tmp_path, wheels, lock=False))


def test_without_uv_the_error_says_so(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = seal(tmp_path, wheels)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequirementError, match="uv is not installed") as caught:
        answered(path)
    assert caught.value.hint == "pip install uv"


def test_a_lock_that_uv_cannot_resolve_is_refused_when_sealing(
    tmp_path: Path, wheels: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_FIND_LINKS", str(tmp_path / "empty"))
        with pytest.raises(RequirementError, match=f"cannot be locked.*{NAME}"):
            seal(tmp_path, wheels)
    assert not (tmp_path / "greeter").exists()
