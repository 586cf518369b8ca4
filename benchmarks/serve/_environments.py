"""Environments of the peers, made by uv from locked requirements, and the programs a run needs.

A peer's environment is made anew when its lock changes. All use the system's Python: PyTriton
ships a Triton that loads that Python's shared library, which Pythons built by pyenv or uv may not
offer, and a peer should have the interpreter that its users have.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.serve._failure import BenchmarkError

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SYSTEM_PYTHONS = ("/usr/bin/python3.11", "/usr/local/bin/python3.11")
"""The locks are resolved for 3.11."""

OHA_VERSION = "1.16.0"

HAS_SHARED_LIBRARY = "import ctypes; ctypes.CDLL('libpython3.11.so.1.0')"


def program(name: str, remedy: str) -> str:
    """The path of a program.

    Raises:
        BenchmarkError: It is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise BenchmarkError(f"{name} is not installed: {remedy}")
    return found


def system_python() -> str:
    """A Python 3.11 of the system whose shared library can be loaded.

    Raises:
        BenchmarkError: There is none.
    """
    for candidate in SYSTEM_PYTHONS:
        if Path(candidate).exists() and _succeeds([candidate, "-c", HAS_SHARED_LIBRARY]):
            return candidate
    remedy = "apt-get install python3.11 libpython3.11"
    raise BenchmarkError(
        f"the peers need the system's Python 3.11 with its shared library: {remedy}"
    )


@functools.cache
def peer_python(peer: str, question: Path = HERE) -> str:
    """The Python of a peer's environment, which is made first if it is missing or stale.

    `question` is the folder of the benchmark whose peer it is.
    """
    place, lock = question / "environments" / peer, question / "peers" / peer / "requirements.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = place / "made-from"
    python = place / "bin" / "python"
    if not (stamp.exists() and stamp.read_text() == digest):
        uv = os.environ.get("UV") or program("uv", "pip install uv")
        _run([uv, "venv", "--quiet", "--clear", "--python", system_python(), str(place)])
        sync = [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(python)]
        _run([*sync, str(lock)])
        stamp.write_text(digest)
    return str(python)


def peer_versions(peer: str, question: Path = HERE) -> dict[str, str]:
    """The pinned version of each package of a peer that the comparison depends on."""
    lines = (question / "peers" / peer / "requirements.in").read_text().split()
    return dict(line.split("==") for line in lines)


@functools.cache
def oha_program() -> str:
    """The path of oha, the open-loop generator, built from crates.io if this version is missing.

    No distribution carries it; its own lock file is used.
    """
    place = HERE / "environments" / f"oha-{OHA_VERSION}"
    path = place / "bin" / "oha"
    if not path.exists():
        cargo = program("cargo", "https://rustup.rs")
        install = [cargo, "install", "--quiet", "--locked", "--root", str(place)]
        features = ["--no-default-features", "--features", "rustls"]
        _run([*install, *features, "--version", OHA_VERSION, "oha"])
    return str(path)


@functools.cache
def echo_program() -> str:
    """The path of our own echo, built in release mode."""
    cargo = program("cargo", "https://rustup.rs")
    _run([cargo, "build", "--quiet", "--locked", "--release", "--package", "echo"])
    return str(Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "echo")


def onnxruntime_library() -> str:
    """The shared library inside the onnxruntime wheel that Shoal itself loads.

    Raises:
        BenchmarkError: The wheel is not installed.
    """
    spec = importlib.util.find_spec("onnxruntime")
    places = list(spec.submodule_search_locations or []) if spec else []
    found = [path for place in places for path in Path(place, "capi").glob("libonnxruntime.so.*")]
    if not found:
        raise BenchmarkError("the onnxruntime wheel has no libonnxruntime: uv sync")
    return str(found[0])


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def _run(command: list[str]) -> None:
    # `just` keeps cargo off the network; here crates are fetched before anything is timed.
    environment = {**os.environ, "CARGO_NET_OFFLINE": "false"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
