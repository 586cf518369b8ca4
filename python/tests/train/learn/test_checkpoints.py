"""Whatever ends a learning, the next one goes on to the same answer, or says why it cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import SGDClassifier

from shoal import train
from shoal.errors import ConflictError, CorruptPackageError, SinkError
from shoal.train import Categorical, Gradient, LearnSettings, Numeric, Preparation
from tests.services import until
from tests.train.conftest import customers

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[4]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
COLUMNS = Preparation(columns={"age": Numeric(), "city": Categorical(), "is_member": Numeric()})
MODEL = Gradient(hidden_layers=(4,))
STEPS = 40

# The same learning as `whole` below; it stops where it is after so many steps, until it is killed.
LEARN = """
import sys, threading
from shoal import train
from shoal.train import Categorical, Gradient, LearnSettings, Numeric, Preparation

told = 0
def tell(progress):
    global told
    told += 1
    if told == int(sys.argv[3]):
        print("there", flush=True)
        threading.Event().wait()

columns = {"age": Numeric(), "city": Categorical(), "is_member": Numeric()}
how = LearnSettings(
    preparation=Preparation(columns=columns), epochs=8, step_records=200, held_out=0.1, patience=8,
    checkpoints=sys.argv[2], checkpoint_steps=2,
)
records = sys.argv[1] if sys.argv[1].endswith(".parquet") else train.open_dataset(sys.argv[1])
train.learn(records, "left", Gradient(hidden_layers=(4,)), settings=how, tell=tell)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same records as a file and as a dataset."""
    folder = tmp_path_factory.mktemp("records")
    pq.write_table(customers(1000, seed=0), folder / "records.parquet")
    train.collect(folder / "records.parquet", folder / "dataset")
    pq.write_table(customers(1000, seed=1), folder / "others.parquet")
    train.collect(folder / "others.parquet", folder / "others")
    return folder


def settings(folder: Path | None, **changes: Any) -> LearnSettings:
    usual = {"preparation": COLUMNS, "epochs": 8, "step_records": 200, "held_out": 0.1}
    how: dict[str, Any] = {**usual, "patience": 8, "workers": 1, **changes}
    return LearnSettings(checkpoints=folder, checkpoint_steps=2, **how)


def weights(fitted: Any) -> list[bytes]:
    last = fitted.pipeline.steps[-1][1]
    return [array.tobytes() for array in (*last.coefs_, *last.intercepts_)]


def learned(records: Any, folder: Path | None = None, **changes: Any) -> tuple[list[bytes], int]:
    told: list[train.Progress] = []
    how = settings(folder, **changes)
    fitted = train.learn(records, "left", MODEL, settings=how, tell=told.append)
    return weights(fitted), len(told)


def kill_after(records: Path, folder: Path, steps: int) -> None:
    command = [sys.executable, "-c", LEARN, str(records), str(folder), str(steps)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("name", ["records.parquet", "dataset"])
def test_a_killed_learning_goes_on_to_the_same_bits(files: Path, tmp_path: Path, name: str) -> None:
    records = files / name if name.endswith(".parquet") else train.open_dataset(files / name)
    whole, steps = learned(records)
    assert steps == STEPS
    for after in (1, 4, 9, 12):  # in its first step too, before any model is kept
        kill_after(files / name, tmp_path / "learning", after)
    assert (tmp_path / "learning" / "records").exists()
    found, left = learned(records, tmp_path / "learning")
    assert found == whole
    assert 10 < left < STEPS - 10
    assert sorted(path.name for path in (tmp_path / "learning").iterdir()) == [
        "learning.json",
        "state.npz",
    ]
    assert learned(records, tmp_path / "learning", workers=2) == (whole, 0)


def test_models_of_scikit_learn_go_on_as_well(files: Path, tmp_path: Path) -> None:
    how = settings(tmp_path, patience=None, epochs=2)
    model = SGDClassifier(loss="log_loss")

    def stop(progress: train.Progress) -> None:
        if progress.epoch == 2 and progress.step == 3:
            raise KeyboardInterrupt

    source = files / "records.parquet"
    with pytest.raises(KeyboardInterrupt):
        train.learn(source, "left", model, settings=how, tell=stop)
    found = train.learn(source, "left", model, settings=how).pipeline.steps[-1][1]
    whole = train.learn(
        source, "left", model, settings=settings(None, patience=None, epochs=2)
    ).pipeline.steps[-1][1]
    assert (found.coef_ == whole.coef_).all()
    assert found.t_ == whole.t_


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"seed": 1}, "seed=0, expected 1"),
        ({"epochs": 9}, "epochs=8, expected 9"),
        ({"step_records": 100}, "step_records=200, expected 100"),
        ({"shards": 2}, "shards=8, expected 2"),
        ({"held_out": 0.2}, "held_out=0.1, expected 0.2"),
    ],
)
def test_another_learning_is_refused_by_what_differs(
    files: Path, tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    learned(files / "records.parquet", tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConflictError, match=what) as refused:
        learned(files / "records.parquet", tmp_path, **changes)
    assert "Choose another folder" in str(refused.value.hint)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_another_model_target_or_preparation_is_refused(files: Path, tmp_path: Path) -> None:
    source = files / "records.parquet"
    learned(source, tmp_path)
    model = Gradient(hidden_layers=(4,), learning_rate=0.02)
    with pytest.raises(ConflictError, match=r"learning_rate=0\.01, expected 0\.02"):
        train.learn(source, "left", model, settings=settings(tmp_path))
    with pytest.raises(ConflictError, match="'Gradient', expected 'SGDClassifier'"):
        train.learn(source, "left", SGDClassifier(), settings=settings(tmp_path))
    with pytest.raises(ConflictError, match="target='left', expected 'city'"):
        train.learn(source, "city", MODEL, settings=settings(tmp_path))
    fewer = Preparation(columns={"age": Numeric()})
    with pytest.raises(ConflictError, match="preparation="):
        train.learn(source, "left", MODEL, settings=settings(tmp_path, preparation=fewer))


@pytest.mark.parametrize("name", ["others.parquet", "others"])
def test_other_records_are_refused(files: Path, tmp_path: Path, name: str) -> None:
    source = "records.parquet" if name.endswith(".parquet") else "dataset"

    def opened(each: str) -> Any:
        return files / each if each.endswith(".parquet") else train.open_dataset(files / each)

    whole, _ = learned(opened(source), tmp_path)
    with pytest.raises(ConflictError, match=r"sha256:\w+, expected sha256:\w+"):
        learned(opened(name), tmp_path)
    assert learned(opened(source), tmp_path) == (whole, 0)


def test_two_at_a_time_in_one_folder_are_refused(files: Path, tmp_path: Path) -> None:
    def again(_progress: train.Progress) -> None:
        with pytest.raises(ConflictError, match="another process is learning in"):
            learned(files / "records.parquet", tmp_path)

    how = settings(tmp_path, epochs=1)
    train.learn(files / "records.parquet", "left", MODEL, settings=how, tell=again)


@pytest.mark.parametrize("name", ["state.npz", "learning.json"])
@pytest.mark.parametrize("damage", [lambda _: b"", lambda data: data[: len(data) // 2]])
def test_a_damaged_checkpoint_is_named(
    files: Path, tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    learned(files / "records.parquet", tmp_path)
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    with pytest.raises(CorruptPackageError, match=f"{name} of .* cannot be read"):
        learned(files / "records.parquet", tmp_path)


def test_pickles_in_a_checkpoint_are_not_read(files: Path, tmp_path: Path) -> None:
    learned(files / "records.parquet", tmp_path)
    with np.load(tmp_path / "state.npz") as kept:
        arrays = {name: kept[name] for name in kept.files}
    arrays["epoch"] = np.array({"not": "read"}, object)
    np.savez(tmp_path / "state.npz", **arrays)
    with pytest.raises(CorruptPackageError, match="allow_pickle=False"):
        learned(files / "records.parquet", tmp_path)


# The limit holds for all files that a process writes, from some step on.
FULL = """
import resource, sys
from shoal import errors, train
from shoal.train import Categorical, Gradient, LearnSettings, Numeric, Preparation

def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)

def tell(progress):
    if progress.epoch == 2:
        limit()

columns = {"age": Numeric(), "city": Categorical(), "is_member": Numeric()}
how = LearnSettings(
    preparation=Preparation(columns=columns), epochs=8, step_records=200, held_out=0.1, patience=8,
    checkpoints=sys.argv[2] or None, checkpoint_steps=2,
)
train.learn  # loaded, with all that it needs
if sys.argv[3] == "at once":
    limit()
try:
    train.learn(sys.argv[1], "left", Gradient(hidden_layers=(4,)), settings=how, tell=tell)
except errors.SinkError as error:
    print(error, "|", error.hint)
"""


@pytest.mark.parametrize(
    ("kept", "when", "limit_bytes"),
    [
        ("learning", "at once", 0),
        ("learning", "at once", 5000),
        ("learning", "later", 9),
        ("", "at once", 0),
        ("", "at once", 5000),
    ],
)
def test_a_full_disk_is_a_named_error_and_the_next_one_goes_on(
    files: Path, tmp_path: Path, kept: str, when: str, limit_bytes: int
) -> None:
    folder = str(tmp_path / kept) if kept else ""
    command = [sys.executable, "-W", "error", "-c", FULL, str(files / "records.parquet"), folder]
    done = subprocess.run(
        [*command, when, str(limit_bytes)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "what is being learned cannot be kept in" in done.stdout
    assert "Free some space" in done.stdout
    assert done.stderr == ""
    if folder:
        whole, _ = learned(files / "records.parquet")
        found, steps = learned(files / "records.parquet", Path(folder))
        assert found == whole
        assert steps == (STEPS if when == "at once" else STEPS - 5)


def test_a_folder_that_cannot_be_written_is_named(files: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SinkError, match=r"cannot be kept in .*file"):
        learned(files / "records.parquet", tmp_path / "file" / "inside")


def test_without_a_folder_a_kill_leaves_nothing(files: Path, tmp_path: Path) -> None:
    script = LEARN.replace("checkpoints=sys.argv[2], checkpoint_steps=2,", "")
    command = [sys.executable, "-c", script, str(files / "records.parquet"), "", "3"]
    environment = {**ENVIRONMENT, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        until(lambda: list(tmp_path.iterdir()) == [], "no name is left")
        process.kill()
    assert list(tmp_path.iterdir()) == []
