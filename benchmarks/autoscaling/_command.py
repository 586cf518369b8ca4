"""`python benchmarks/run.py autoscaling`: plays every scaler on every load, writes and prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.autoscaling import _models, _profiles
from benchmarks.autoscaling._pictures import draw_day, draw_price
from benchmarks.autoscaling._shapes import shapes
from benchmarks.autoscaling._study import (
    QUEUE_WAIT_TARGET,
    Outcome,
    Play,
    Report,
    Scaler,
    best_target,
    outcome,
    play,
    scalers,
)
from tools import machine

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = machine.ROOT / "benchmarks" / "autoscaling" / "results"
PICTURES = machine.ROOT / "docs" / "concepts" / "pictures"
IN_THE_DAY = (
    Scaler("queue wait", QUEUE_WAIT_TARGET),
    Scaler("cpu", 0.7, "kubernetes"),
)


class Result(msgspec.Struct, frozen=True):
    """Everything a run says."""

    date: str
    commit: str
    changed: bool
    machine: machine.Machine
    default_target: float
    best_target: float | None
    """The highest queue wait with which no model is late over a day, or steps."""
    profiles: list[_profiles.Profile]
    outcomes: list[Outcome]


def main(
    *,
    measure: Annotated[bool, typer.Option("--measure", help="Measure the models anew.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Plays at once.")] = 2,
    results: Annotated[Path, typer.Option(help="Folder for JSON and Markdown.")] = RESULTS,
    pictures: Annotated[bool, typer.Option("--pictures", help="Draw those of docs, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compares scaling by queue wait with scaling by processor, in simulated time."""
    console = Console(stderr=True)
    if measure:
        for model in track(_models.MODELS, "measuring", console=console):
            _profiles.measure(model)
    profiles = [_profiles.read(model) for model in _models.MODELS]
    seen = _study(_build(), profiles, workers, console)
    result = _result(profiles, seen)
    _write(result, results, console)
    if pictures:
        _draw(seen, result.outcomes, console)
    if json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        Console(width=120).print(markdown(result), markup=False, highlight=False)


def _build() -> Path:
    build = ["cargo", "build", "--locked", "--release", "--quiet", "-p", "shoal-simulator"]
    subprocess.run(build, cwd=machine.ROOT, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", str(machine.ROOT / "target"))
    return Path(target, "release", "shoal-simulator")


def _study(
    program: Path, profiles: Sequence[_profiles.Profile], workers: int, console: Console
) -> list[tuple[Play, Report]]:
    seen = []
    parts = [(profile, shape) for profile in profiles for shape in shapes()]
    for profile, shape in track(parts, "playing", console=console):
        plays = [Play(profile, shape, scaler) for scaler in scalers()]
        seen += list(zip(plays, play(program, plays, workers), strict=True))
    return seen


def _result(profiles: list[_profiles.Profile], seen: Sequence[tuple[Play, Report]]) -> Result:
    outcomes = [outcome(one, report) for one, report in seen]
    return Result(
        date=machine.now(),
        commit=machine.commit(),
        changed=machine.is_changed(),
        machine=machine.describe_machine(),
        default_target=QUEUE_WAIT_TARGET,
        best_target=best_target(outcomes),
        profiles=profiles,
        outcomes=outcomes,
    )


def _write(result: Result, folder: Path, console: Console) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    changed = "-changed" * result.changed
    stem = f"{result.date[:19].replace(':', '')}Z-{result.commit[:10]}{changed}"
    text = msgspec.json.format(msgspec.json.encode(result), indent=1)
    (folder / f"{stem}.json").write_bytes(text + b"\n")
    (folder / f"{stem}.md").write_text(markdown(result), "utf-8")
    console.print(f"written: {folder / stem}.json, .md", soft_wrap=True)


def _draw(
    seen: Sequence[tuple[Play, Report]], outcomes: Sequence[Outcome], console: Console
) -> None:
    for model in _models.MODELS:
        days = {
            one.scaler: (one, report)
            for one, report in seen
            if (one.profile.model, one.shape.name) == (model, "day")
        }
        path = PICTURES / f"autoscaling-{model}.svg"
        draw_day([days[scaler] for scaler in IN_THE_DAY], path)
        console.print(f"written: {path}", soft_wrap=True)
    draw_price(outcomes, PICTURES / "autoscaling-price.svg")


def markdown(result: Result) -> str:
    """A table for each model: replica-hours, p99 and late requests under each load."""
    lines: list[str] = []
    for profile in result.profiles:
        mine = [each for each in result.outcomes if each.model == profile.model]
        lines += _of_model(profile, mine)
    best = "none" if result.best_target is None else f"{result.best_target:g}"
    follows = f"The highest queue wait with which no model is late over a day or steps: {best}"
    made = f"{result.date}, commit {result.commit[:10]}{', changed' * result.changed}"
    lines += [f"{follows}; the default is {result.default_target:g}.", ""]
    lines += [f"{made}, {result.machine.processor}."]
    return "\n".join(lines) + "\n"


def _of_model(profile: _profiles.Profile, outcomes: Sequence[Outcome]) -> list[str]:
    names = list(dict.fromkeys(each.shape for each in outcomes))
    heads = "".join(f" {name}: hours | p99 | late |" for name in names)
    target_ms = outcomes[0].latency_target_ms
    costs = f"one row takes {profile.one_row_ms:.1f} ms, late is after {target_ms:.0f} ms"
    most = f"{1e3 * profile.capacity_per_ms:.0f} rows a second at most"
    lines = [
        f"`{profile.model}`: {costs}; {most}.",
        "",
        f"| scaled by |{heads}",
        f"|---|{'---:|' * 3 * len(names)}",
    ]
    for scaler in dict.fromkeys(each.scaler for each in outcomes):
        cells = [_cells(each) for each in outcomes if each.scaler == scaler]
        lines.append(f"| {scaler.name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _cells(seen: Outcome) -> str:
    late = f"{100 * seen.late_share:.2f} %"
    p99 = f"{seen.p99_ms:.0f} ms" if seen.p99_ms < 1e4 else f"{seen.p99_ms / 1e3:.0f} s"  # noqa: PLR2004
    return f"{seen.replica_hours:.1f} | {p99} | {late}"
