"""The command `just bench registry`: takes the rounds, writes and prints."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.registry._package import sealed
from tools.machine import ROOT, Machine, commit, describe_machine, is_changed, now

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent
FLOOR, GOAL = 1.2, 1.0
NAMES = ("shoal", "skopeo")


class Turn(msgspec.Struct, frozen=True):
    """One pull: seconds until the process had ended, and processor time of it."""

    wall_s: float
    cpu_s: float


class Result(msgspec.Struct, frozen=True):
    """One run: where it was made, and what came out."""

    date: str
    commit: str
    is_changed: bool
    machine: Machine
    skopeo: str
    megabytes: int
    pushed_again_bytes: int
    rounds: list[dict[str, Turn]]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 7,
    megabytes: Annotated[int, typer.Option(min=1, help="The size of the package.")] = 500,
    results: Annotated[Path, typer.Option(help="Where the result goes.")] = FOLDER / "results",
) -> None:
    """A large package pulled by Shoal and by skopeo."""
    sys.path.insert(0, str(ROOT / "python"))  # the registry of the tests
    from tests.services.docker_registry import running

    with (
        tempfile.TemporaryDirectory(prefix="shoal-benchmark-") as directory,
        running(lambda name: shutil.which(name) or name) as registry,
    ):
        place, name = Path(directory), f"{registry.host}/models/large"
        digest = sealed(place / "package", megabytes)
        push = _shoal("push", str(place / "package"), f"oci://{name}:1", "--json")
        subprocess.run(push, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        again = subprocess.run(push, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        sent_bytes = json.loads(again.stdout)["sent_bytes"]
        taken = [_round(number, name, digest, place) for number in range(rounds)]
    version = subprocess.run(["skopeo", "--version"], check=True, stdout=subprocess.PIPE)
    where = (now(), commit(), is_changed(), describe_machine(), version.stdout.decode().strip())
    seen = Result(*where, megabytes, sent_bytes, taken)
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{seen.date.replace(':', '')}-{seen.commit[:10]}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(seen), indent=1) + b"\n")
    report(seen, Console(soft_wrap=True))
    typer.echo(f"written: {path}")


def _shoal(*words: str) -> list[str]:
    return [sys.executable, "-m", "shoal.cli", "package", *words]


def _round(number: int, name: str, digest: str, place: Path) -> dict[str, Turn]:
    pulls: dict[str, Callable[[Path], list[str]]] = {
        "shoal": lambda target: _shoal("pull", f"oci://{name}:1", str(target)),
        "skopeo": lambda target: [
            "skopeo",
            "copy",
            "--quiet",
            "--preserve-digests",
            "--src-tls-verify=false",
            f"docker://{name}:1",
            f"oci:{target}:1",
        ],
    }
    taken = {}
    for which in NAMES if number % 2 == 0 else NAMES[::-1]:
        taken[which] = _turn(pulls[which](place / which), place / which, digest)
        shutil.rmtree(place / which)
        typer.echo(f"round {number}: {which}, {taken[which].wall_s:.2f} s")
    return taken


def _turn(command: list[str], target: Path, digest: str) -> Turn:
    os.sync()
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    wall_s, after = time.perf_counter() - began, os.times()
    index: Any = json.loads((target / "index.json").read_text("utf-8"))
    if index["manifests"][0]["digest"] != digest:
        message = f"{command[0]} pulled another manifest than {digest}"
        raise ValueError(message)
    cpu_s = sum(after[2:4]) - sum(before[2:4])
    return Turn(wall_s, cpu_s)


def report(seen: Result, console: Console) -> None:
    """The figures beside what was asked."""
    table = Table(title=f"A package of {seen.megabytes} MB pulled from a registry on this machine")
    for heading in ("", "median", "least", "greatest"):
        table.add_column(heading)
    for name in NAMES:
        _row(table, f"{name}, s", [each[name].wall_s for each in seen.rounds])
        _row(table, f"{name}, s of processor time", [each[name].cpu_s for each in seen.rounds])
    ratios = [each["shoal"].wall_s / each["skopeo"].wall_s for each in seen.rounds]
    _row(table, f"shoal, of skopeo's time (floor {FLOOR}, goal {GOAL})", ratios)
    console.print(table)
    console.print(f"Pushed again: {seen.pushed_again_bytes} bytes of blobs were sent (floor 0).")


def _row(table: Table, name: str, values: list[float]) -> None:
    shown = [statistics.median(values), min(values), max(values)]
    table.add_row(name, *(f"{value:.2f}" for value in shown))
