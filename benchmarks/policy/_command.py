"""`python benchmarks/run.py policy`: builds the simulator, plays every case, writes and prints."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path  # noqa: TC003  (Typer reads annotations while the program runs)
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.policy._cases import cases, padded_cases
from benchmarks.policy._pictures import draw
from benchmarks.policy._study import Verdict, study
from tools import machine

RESULTS = machine.ROOT / "benchmarks" / "policy" / "results"
PICTURES = machine.ROOT / "docs" / "concepts" / "pictures"
PROGRAM = machine.ROOT / "target" / "release" / "shoal-simulator"
FLOOR, GOAL = 1.10, 1.03
KINDS = ("open", "closed", "mixed", "lengths")


class Spread(msgspec.Struct, frozen=True):
    """Of the cases of one kind: the median, the one that nine in ten do not exceed, the worst."""

    median: float
    nine_in_ten: float
    worst: float


class Kind(msgspec.Struct, frozen=True):
    """The cases of one kind together: latency over that of the best fixed delay."""

    kind: str
    cases: int
    mean: Spread
    p99: Spread
    eager_mean: Spread


class Result(msgspec.Struct, frozen=True):
    """Everything a run says."""

    date: str
    commit: str
    changed: bool
    machine: machine.Machine
    floor: float
    goal: float
    kinds: list[Kind]
    cases: list[Verdict]


def main(
    *,
    workers: Annotated[int, typer.Option(min=1, help="Plays at once.")] = 2,
    results: Annotated[Path, typer.Option(help="Folder for JSON and Markdown.")] = RESULTS,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    pictures: Annotated[bool, typer.Option("--pictures", help="Only draw those of docs.")] = False,
) -> None:
    """Compares the learned policy with the best fixed delay of each load, in simulated time."""
    console = Console(stderr=True)
    build = ["cargo", "build", "--locked", "--release", "--quiet", "-p", "shoal-simulator"]
    subprocess.run(build, cwd=machine.ROOT, check=True)
    if pictures:
        for path in draw(PROGRAM, PICTURES):
            console.print(f"written: {path}", soft_wrap=True)
        return
    everything = [*cases(), *padded_cases()]
    console.print(f"playing {len(everything)} cases")
    seen = result(study(PROGRAM, everything, workers))
    results.mkdir(parents=True, exist_ok=True)
    stem = f"{seen.date[:19].replace(':', '')}Z-{seen.commit[:10]}{'-changed' * seen.changed}"
    text = msgspec.json.format(msgspec.json.encode(seen), indent=1)
    (results / f"{stem}.json").write_bytes(text + b"\n")
    (results / f"{stem}.md").write_text(markdown(seen))
    console.print(f"written: {results / stem}.json, .md", soft_wrap=True)
    if json:
        sys.stdout.write(msgspec.json.encode(seen).decode() + "\n")
    else:
        Console().print(table(seen))


def result(verdicts: list[Verdict]) -> Result:
    """What all cases say together."""
    return Result(
        date=machine.now(),
        commit=machine.commit(),
        changed=machine.is_changed(),
        machine=machine.describe_machine(),
        floor=FLOOR,
        goal=GOAL,
        kinds=[
            _kind(kind, [each for each in verdicts if each.kind == kind])
            for kind in KINDS
            if any(each.kind == kind for each in verdicts)
        ],
        cases=verdicts,
    )


def _kind(kind: str, verdicts: list[Verdict]) -> Kind:
    return Kind(
        kind=kind,
        cases=len(verdicts),
        mean=spread([each.mean for each in verdicts]),
        p99=spread([each.p99 for each in verdicts]),
        eager_mean=spread([each.eager_mean for each in verdicts]),
    )


def spread(values: list[float]) -> Spread:
    """Median, the least value that nine in ten do not exceed, and the worst."""
    ordered = sorted(values)
    return Spread(statistics.median(ordered), ordered[-(-9 * len(ordered) // 10) - 1], ordered[-1])


def table(seen: Result) -> Table:
    """One row for each kind of load."""
    drawn = Table("load", "cases", "mean", "p99", "taking all at once, mean", "worst case, mean")
    for kind in seen.kinds:
        worst = max((case for case in seen.cases if case.kind == kind.kind), key=_badness)
        words = f"{worst.name} at {worst.cost}: {worst.mean:.2f}, p99 {worst.p99:.2f}"
        numbers = (_words(each) for each in (kind.mean, kind.p99, kind.eager_mean))
        drawn.add_row(kind.kind, str(kind.cases), *numbers, words)
    return drawn


def _badness(case: Verdict) -> float:
    return max(case.mean, case.p99)


def _words(seen: Spread) -> str:
    return f"{seen.median:.2f} / {seen.nine_in_ten:.2f} / {seen.worst:.2f}"


def markdown(seen: Result) -> str:
    """The table and the cases above the floor, for a page."""
    lines = [
        "Latency over that of the best fixed delay of each load, at equal goodput:",
        "median / nine in ten / worst.",
        "",
        "| load | cases | mean | p99 | taking all at once, mean |",
        "|---|---|---|---|---|",
    ]
    for kind in seen.kinds:
        numbers = [_words(each) for each in (kind.mean, kind.p99, kind.eager_mean)]
        lines.append(f"| {' | '.join([kind.kind, str(kind.cases), *numbers])} |")
    above = [case for case in seen.cases if _badness(case) > seen.floor]
    lines += ["", f"Floor {seen.floor:g}, goal {seen.goal:g}. Cases above the floor: {len(above)}."]
    lines += [""] if above else []
    lines += [
        f"- {case.kind}, {case.cost}, {case.name}: mean {case.mean:.2f}, p99 {case.p99:.2f}"
        for case in sorted(above, key=_badness, reverse=True)
    ]
    changed = ", changed" if seen.changed else ""
    lines += ["", f"{seen.date}, commit {seen.commit[:10]}{changed}, {seen.machine.processor}."]
    return "\n".join(lines) + "\n"
