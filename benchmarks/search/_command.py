"""The command `just bench search`: takes the rounds, writes and prints."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np
import pyarrow as pa
import typer
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import KFold, StratifiedKFold

from benchmarks.search._overhead import Overhead, overhead
from benchmarks.search._sets import SETS, table_of, values_of
from benchmarks.serve._environments import peer_python
from shoal.evaluate import compare_scores
from shoal.train import Settings, fit, preparation_of, search
from shoal.train._prepare._frames import frame_of
from shoal.train._search._scores import scorer_of
from tools.machine import Machine, commit, describe_machine, is_changed, now

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

FOLDER = Path(__file__).parent
WORKERS = (1, 2)
QUALITY = {"digits": (0.985, 0.99), "breast cancer": (0.99, 0.995)}


class Beside(msgspec.Struct, frozen=True):
    """Scores on records that were not seen, one for each outer fold."""

    shoal: list[float]
    flaml: list[float]


class Result(msgspec.Struct, frozen=True):
    """One run: where it was made, and what came out."""

    date: str
    commit: str
    is_changed: bool
    machine: Machine
    quality_s: float
    budget_s: float
    overheads: dict[str, list[Overhead]]
    quality: dict[str, list[float]]
    beside: dict[str, Beside]


def main(  # noqa: PLR0913, PLR0917 - options
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the overhead.")] = 5,
    seeds: Annotated[int, typer.Option(min=0, help="Searches for quality; 0: none.")] = 3,
    quality_seconds: Annotated[float, typer.Option(help="The time of each of them.")] = 60.0,
    outer: Annotated[int, typer.Option(min=0, help="Outer folds beside FLAML; 0: none.")] = 5,
    budget_seconds: Annotated[float, typer.Option(help="The time in each of them.")] = 30.0,
    results: Annotated[Path, typer.Option(help="Where the result goes.")] = FOLDER / "results",
) -> None:
    """A search beside the fits alone, and beside FLAML."""
    overheads: dict[str, list[Overhead]] = {f"{each} workers": [] for each in WORKERS}
    for number in range(rounds):
        for each in WORKERS:
            overheads[f"{each} workers"].append(overhead(each))
            typer.echo(f"round {number}: overhead, {each} workers")
    quality = {
        name: [_best(name, seed, quality_seconds) for seed in range(seeds)]
        for name in (QUALITY if seeds else ())
    }
    beside = {name: _beside(name, outer, budget_seconds) for name in (SETS if outer else ())}
    seen = Result(
        now(),
        commit(),
        is_changed(),
        describe_machine(),
        quality_seconds,
        budget_seconds,
        overheads,
        quality,
        beside,
    )
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{seen.date.replace(':', '')}-{seen.commit[:10]}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(seen), indent=1) + b"\n")
    report(seen, Console(soft_wrap=True))
    typer.echo(f"written: {path}")


def _best(name: str, seed: int, seconds: float) -> float:
    """The best mean score of cross-validation."""
    settings = Settings(score=SETS[name].score, seconds=seconds, seed=seed)
    board = search(table_of(*values_of(name)), "target", settings=settings)
    found = float(np.mean(board.best.scores))
    typer.echo(f"{name}, seed {seed}: {found:.4f} by {board.best.candidate}")
    return found


def _beside(name: str, outer: int, seconds: float) -> Beside:
    rows, target = values_of(name)
    splitter = KFold if name == "diabetes" else StratifiedKFold
    found = Beside([], [])
    for learn, test in splitter(outer, shuffle=True, random_state=0).split(rows, target):
        found.shoal.append(_shoal(name, rows, target, (learn, test), seconds))
        found.flaml.append(_flaml(name, rows, target, (learn, test), seconds))
        typer.echo(f"{name}: {found.shoal[-1]:.4f}, FLAML {found.flaml[-1]:.4f}")
    return found


def _shoal(
    name: str,
    rows: NDArray[np.float64],
    target: NDArray[Any],
    cut: tuple[NDArray[np.int64], NDArray[np.int64]],
    seconds: float,
) -> float:
    records, (learn, test) = table_of(rows, target), cut
    learned = records.take(pa.array(learn))
    settings = Settings(score=SETS[name].score, seconds=seconds)
    best = search(learned, "target", settings=settings).best.candidate
    preparation = preparation_of(learned, "target")
    fitted = fit(learned, "target", best, preparation=preparation)
    scorer = scorer_of(fitted.task, SETS[name].score, target[learn])
    frame = frame_of(records.take(pa.array(test)), preparation)
    return scorer(fitted.pipeline, frame, target[test])


def _flaml(
    name: str,
    rows: NDArray[np.float64],
    target: NDArray[Any],
    cut: tuple[NDArray[np.int64], NDArray[np.int64]],
    seconds: float,
) -> float:
    learn, test = cut
    task = "regression" if name == "diabetes" else "classification"
    with tempfile.TemporaryDirectory(prefix="shoal-benchmark-") as place:
        path = Path(place) / "fold.npz"
        np.savez(
            path,
            learn=rows[learn],
            learn_target=target[learn],
            test=rows[test],
            test_target=target[test],
        )
        program = str(FOLDER / "peers" / "flaml" / "search.py")
        command = [peer_python("flaml", FOLDER), program, str(path), str(seconds)]
        done = subprocess.run(
            [*command, SETS[name].peer_score, task], stdout=subprocess.PIPE, check=True, cwd=place
        )
    return float(done.stdout.split()[-1])


def report(seen: Result, console: Console) -> None:
    """The figures beside what was asked."""
    table = Table(title="A search beside the fits alone (floor 1.10, goal 1.03)")
    for heading in ("", "median", "least", "greatest"):
        table.add_column(heading)
    for name, rounds in seen.overheads.items():
        ratios = [each.search_s / each.fits_s for each in rounds]
        shown = (statistics.median(ratios), min(ratios), max(ratios))
        table.add_row(name, *(f"{value:.3f}" for value in shown))
    console.print(table)
    table = Table(title=f"Best mean score of cross-validation within {seen.quality_s:g} s")
    for heading in ("", "median", "least", "greatest", "floor", "goal"):
        table.add_column(heading)
    for name, scores in seen.quality.items():
        median, least, greatest = statistics.median(scores), min(scores), max(scores)
        figures = (median, least, greatest, *QUALITY[name])
        table.add_row(name, *(f"{value:.4f}" for value in figures))
    console.print(table)
    table = Table(title=f"On records not seen, {seen.budget_s:g} s for each outer fold")
    for heading in ("", "Shoal", "FLAML", "difference", "interval", "verdict"):
        table.add_column(heading)
    for name, pair in seen.beside.items():
        table.add_row(name, *_verdict(name, pair))
    console.print(table)


def _verdict(name: str, pair: Beside) -> list[str]:
    difference = float(np.mean(np.subtract(pair.shoal, pair.flaml)))
    scores = {"Shoal": pair.shoal, "FLAML": pair.flaml}
    share = 1 / (len(pair.shoal) - 1)
    (tested,) = compare_scores(scores, metric=SETS[name].score, test_share=share).pairs
    sign = 1 if tested.other == "FLAML" else -1
    ends = (0.0, 0.0)
    if tested.bounds is not None:
        ends = (sign * tested.bounds.low, sign * tested.bounds.high)
    low, high = sorted(ends)
    verdict = "better" if difference > 0 else "not worse" if high >= 0 else "worse"
    means = [f"{np.mean(each):.4f}" for each in (pair.shoal, pair.flaml)]
    return [*means, f"{difference:+.4f}", f"{low:+.4f} to {high:+.4f}", verdict]
