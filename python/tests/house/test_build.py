"""The build sees every change of the Rust sources, and its wheel works where there is no Rust.

The test works on a copy of the repository, offline. The copy takes along what is built already of
other people's crates, so that only ours are compiled again, and only once: it is one test, since
two may run in two processes, each with a build of its own. The copy must not share the build folder
itself: cargo names a crate by its place inside the workspace, and so takes the copy's edited crate
for ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BUILT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
NOT_COPIED = (
    ".git",
    ".venv",
    "target",
    "environments",
    "work",
    ".prove",
    "*_cache",
    "*.so",
    "node_modules",
)
# The profile does not matter to what is asked here; this one is built in a fraction of the time.
PROFILE = {"MATURIN_PEP517_ARGS": "--profile dev"}
OUR_CRATES = ("shoal*", "libshoal*", "*native*", "echo*", "incremental")
OUTSIDE = ("VIRTUAL_ENV", "CARGO_TARGET_DIR")
CORE = Path("crates", "shoal-python", "src", "lib.rs")
VERSION = 'env!("CARGO_PKG_VERSION")'

SERVE = """
import json, sys, urllib.request
import shoal.serve

row = json.loads(sys.argv[2])
with shoal.serve.start(sys.argv[1]) as server:
    request = urllib.request.Request(
        f"http://{server.http}/predict",
        json.dumps({"features": row}).encode(),
        {"Content-Type": "application/json"},
    )
    print(json.load(urllib.request.urlopen(request))["prediction"][0])
"""


def uv(*arguments: str, directory: Path, **environment: str) -> str:
    """Run uv offline, outside the environment the tests run in; return what it printed."""
    inherited = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
    answer = subprocess.run(
        [os.environ.get("UV", "uv"), "--offline", "--no-progress", *arguments],
        cwd=directory,
        env={**inherited, **PROFILE, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository with other people's crates as built, and nothing built of ours."""
    directory = tmp_path / "copy"
    shutil.copytree(ROOT, directory, ignore=shutil.ignore_patterns(*NOT_COPIED))
    if BUILT.exists():
        built = directory / "target" / "debug"
        shutil.copytree(BUILT, built, ignore=shutil.ignore_patterns(*OUR_CRATES))
    return directory


def version_of_the_core(environment: Path) -> str:
    python = str(environment / "bin" / "python")
    command = [python, "-c", "import shoal._native; print(shoal._native.__version__)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def wheel(copy: Path) -> Path:
    """The wheel as it would be published, but for its profile."""
    uv("build", "--wheel", "--out-dir", "dist", directory=copy)
    (path,) = (copy / "dist").glob("*.whl")
    return path


@pytest.fixture
def digits(tmp_path: Path) -> tuple[Path, list[float], int]:
    """A sealed package, one row, and the answer the trained model gives for it."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    import shoal.package

    images, labels = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=10_000).fit(images[:1000], labels[:1000])
    package = shoal.package.build(
        model, name="digits", version="1", output=tmp_path / "digits", example=images[1000:]
    )
    return package.path, images[-1].tolist(), int(model.predict(images[-1:])[0])


@pytest.mark.timeout(900)
def test_the_wheel_serves_where_there_is_no_rust_and_an_edited_constant_is_seen(
    copy: Path, wheel: Path, digits: tuple[Path, list[float], int], tmp_path: Path
) -> None:
    assert "-cp311-abi3-" in wheel.name
    serves_where_there_is_no_rust(wheel, digits, tmp_path)
    sees_an_edited_constant(copy)


def serves_where_there_is_no_rust(
    wheel: Path, digits: tuple[Path, list[float], int], tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    sync = ("sync", "--frozen", "--no-dev", "--no-install-project")
    uv(*sync, directory=ROOT, UV_PROJECT_ENVIRONMENT=str(environment))
    install = ("pip", "install", "--no-deps", "--python", str(environment / "bin" / "python"))
    uv(*install, str(wheel), directory=tmp_path)

    path, row, expected = digits
    programs = str(environment / "bin")
    assert shutil.which("cargo", path=programs) is None
    answer = subprocess.run(
        [environment / "bin" / "python", "-c", SERVE, str(path), str(row)],
        cwd=tmp_path,
        env={"PATH": programs},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == str(expected)


def sees_an_edited_constant(copy: Path) -> None:
    sync = ("sync", "--frozen", "--no-dev")
    uv(*sync, directory=copy)
    before = version_of_the_core(copy / ".venv")

    source = (copy / CORE).read_text("utf-8")
    assert VERSION in source
    (copy / CORE).write_text(source.replace(VERSION, '"edited"'), "utf-8")
    uv(*sync, directory=copy)
    after = version_of_the_core(copy / ".venv")
    (copy / CORE).write_text(source, "utf-8")

    assert before != "edited"
    assert after == "edited"
