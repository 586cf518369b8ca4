"""The command `just bench deploy`: takes the rounds, writes and prints."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.serve._material import prepare
from tools.machine import ROOT, Machine, commit, describe_machine, is_changed, now

FOLDER = Path(__file__).parent
IMAGE = "registry.example.org/shoal@sha256:" + "c3" * 32
NAMES = {"render": "rendered", "image": "an image from cached layers"}
BOUNDS_S = {"render": (1.0, 0.3), "image": (10.0, 3.0)}
SIZE_FLOOR_MB, SIZE_GOAL_MB = 250, 150


class Result(msgspec.Struct, frozen=True):
    """One run: where it was made, and what came out; seconds of each round."""

    date: str
    commit: str
    is_changed: bool
    machine: Machine
    unpacked_bytes: int
    rounds: list[dict[str, float]]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 9,
    results: Annotated[Path, typer.Option(help="Where the result goes.")] = FOLDER / "results",
) -> None:
    """A package rendered for Kubernetes, and made into an image."""
    sys.path.insert(0, str(ROOT / "python"))  # the base of the tests
    from shoal import deploy
    from tests.services import rootfs

    with tempfile.TemporaryDirectory(prefix="shoal-benchmark-") as directory:
        place, package = Path(directory), prepare()["digits"].package
        deploy.make_base(rootfs.debian(lambda name: shutil.which(name) or name), place / "base")
        commands = _commands(package, place)
        made = subprocess.run([*commands["image"], "--json"], check=True, stdout=subprocess.PIPE)
        (platform,) = json.loads(made.stdout)["platforms"]
        shutil.rmtree(place / "image")
        taken = [_round(commands, place, number) for number in range(rounds)]
    where = (now(), commit(), is_changed(), describe_machine())
    seen = Result(*where, platform["unpacked_bytes"], taken)
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{seen.date.replace(':', '')}-{seen.commit[:10]}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(seen), indent=1) + b"\n")
    report(seen, Console(soft_wrap=True))
    typer.echo(f"written: {path}")


def _commands(package: Path, place: Path) -> dict[str, list[str]]:
    shoal = [sys.executable, "-m", "shoal.cli"]
    registry = ["--registry", "oci://registry.example.org/digits", "--image", IMAGE]
    where = ["--namespace", "models", "--output", str(place / "render")]
    base = ["--base", str(place / "base"), "--output", str(place / "image")]
    return {
        "render": [*shoal, "deploy", str(package), *registry, *where],
        "image": [*shoal, "image", "build", str(package), *base],
    }


def _round(commands: dict[str, list[str]], place: Path, number: int) -> dict[str, float]:
    taken = {}
    for name, command in commands.items():
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken[name] = time.perf_counter() - began
        shutil.rmtree(place / name)
        typer.echo(f"round {number}: {name}, {taken[name]:.2f} s")
    return taken


def report(seen: Result, console: Console) -> None:
    """The figures beside what was asked."""
    table = Table(title="From a package to what a cluster takes, s")
    for heading in ("", "median", "least", "greatest", "floor", "goal"):
        table.add_column(heading)
    for name, said in NAMES.items():
        values = [each[name] for each in seen.rounds]
        shown = (statistics.median(values), min(values), max(values), *BOUNDS_S[name])
        table.add_row(said, *(f"{value:.2f}" for value in shown))
    console.print(table)
    unpacked = f"{seen.unpacked_bytes / 1e6:.0f} MB unpacked"
    console.print(f"The image has {unpacked} (floor {SIZE_FLOOR_MB}, goal {SIZE_GOAL_MB}).")
