"""Full counts of everything `just test` only samples: `just prove`.

- The stages stand in tools/prove.toml; each runs one command with its counts scaled up.
- Resumable: a stage that passed is not run again while no file of the repository has changed
  (.prove/ holds what passed). Ctrl-C loses the running stage only.
- The result goes to benchmarks/prove/results/, with commit, machine, date and counts; it is written
  after every stage, so that what was stopped is also on record, as incomplete.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tools import machine

ROOT = Path(__file__).parents[1]
STAGES = ROOT / "tools" / "prove.toml"
STATE = ROOT / ".prove"
RESULTS = ROOT / "benchmarks" / "prove" / "results"
RUST_RESULT = re.compile(r"^test result: \w+\. (\d+) passed", re.MULTILINE)
RUST_CASES = re.compile(r"^cases: (\d+)$", re.MULTILINE)


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One claim and the command that proves it; see tools/prove.toml."""

    name: str
    proves: str
    command: list[str]
    scale: int = 1
    environment: dict[str, str] = {}


class Outcome(msgspec.Struct, frozen=True):
    """What a stage did. `cases` counts random examples; 0 where a command does not report them.

    `facts` is what its tests record beside: counts of a soak by kind, memory at its begin and end.
    """

    name: str
    proves: str
    scale: int
    passed: bool
    tests: int
    cases: int
    seconds: float
    finished: str
    facts: dict[str, Any] = {}


class Counts(msgspec.Struct, frozen=True):
    """What a stage under pytest reports of itself: see `python/tests/conftest.py`."""

    tests: int
    cases: int
    facts: dict[str, Any] = {}


class Result(msgspec.Struct, frozen=True):
    """One result file. `complete` says whether every stage of the table passed."""

    commit: str
    changed: bool
    content: str
    machine: machine.Machine
    date: str
    complete: bool
    stages: list[Outcome]


def read_stages() -> list[Stage]:
    """The table of stages, without those whose test folders do not exist."""
    table = tomllib.loads(STAGES.read_text(encoding="utf-8"))
    stages = msgspec.convert(table["stage"], list[Stage])
    return [stage for stage in stages if _exists(stage)]


def _exists(stage: Stage) -> bool:
    """Whether at least one of the folders a pytest stage names is there."""
    folders = [word for word in stage.command if word.startswith("python/tests/")]
    return not folders or any((ROOT / folder).exists() for folder in folders)


def content_digest() -> str:
    """SHA-256 over names and bytes of all files of the repository, results of proofs aside."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    digest = hashlib.sha256()
    for name in sorted(set(names) - {b""}):
        path = ROOT / os.fsdecode(name)
        if path.is_file() and RESULTS not in path.parents:
            digest.update(name + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def run_stage(stage: Stage) -> Outcome:
    """Run one stage; its output goes to .prove/NAME.log."""
    counts = STATE / f"{stage.name}.counts.json"
    counts.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "SHOAL_PROVE_SCALE": str(stage.scale),
        "SHOAL_PROVE_COUNTS": str(counts),
        "SHOAL_HYPOTHESIS_PROFILE": "prove",
        **stage.environment,
    }
    command = [word for word in stage.command if not word.startswith("python/tests/")]
    command += [word for word in stage.command if (ROOT / word).exists()]
    if stage.command[0] == "pytest":
        command += ["--override-ini", "timeout=0", "--override-ini", "faulthandler_timeout=0"]
    started = time.monotonic()
    with (STATE / f"{stage.name}.log").open("wb") as log:
        answer = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False
        )
    found = read_counts(stage, counts)
    return Outcome(
        name=stage.name,
        proves=stage.proves,
        scale=stage.scale,
        passed=answer.returncode == 0 and found.tests > 0,
        tests=found.tests,
        cases=found.cases,
        seconds=round(time.monotonic() - started, 1),
        finished=machine.now(),
        facts=found.facts,
    )


def read_counts(stage: Stage, counts: Path) -> Counts:
    """Tests passed and cases tried: from the tests' own report, else from cargo's log.

    A Rust test says `cases: 2000` on a line of its own; `cargo test -- --show-output` lets it.
    """
    if counts.exists():
        return msgspec.json.decode(counts.read_bytes(), type=Counts)
    log = (STATE / f"{stage.name}.log").read_text(encoding="utf-8", errors="replace")
    tests, cases = (
        sum(int(count) for count in found.findall(log)) for found in (RUST_RESULT, RUST_CASES)
    )
    return Counts(tests, cases)


def passed_before(stage: Stage, content: str) -> Outcome | None:
    """The outcome of a stage that passed on the very same files, at the same scale."""
    path = STATE / content / f"{stage.name}.json"
    if not path.exists():
        return None
    outcome = msgspec.json.decode(path.read_bytes(), type=Outcome)
    return outcome if outcome.scale == stage.scale else None


def remember(outcome: Outcome | None, content: str) -> None:
    """Keep a passed stage for the next run."""
    if outcome is not None and outcome.passed:
        folder = STATE / content
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{outcome.name}.json").write_bytes(msgspec.json.encode(outcome))


def write_result(outcomes: dict[str, Outcome | None], content: str) -> Result:
    """Write what is known by now; a later run on the same day and commit replaces it."""
    known = [outcome for outcome in outcomes.values() if outcome is not None]
    result = Result(
        commit=machine.commit(),
        changed=machine.is_changed(),
        content=content,
        machine=machine.describe_machine(),
        date=machine.now(),
        complete=len(known) == len(outcomes) and all(outcome.passed for outcome in known),
        stages=known,
    )
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(result), indent=2)
    (RESULTS / f"{result.date[:10]}-{result.commit[:12]}.json").write_bytes(text + b"\n")
    return result


def prove(chosen: set[str], *, fresh: bool, console: Console) -> Result:
    """Run the chosen stages that have not passed yet; the result file grows stage by stage."""
    content = content_digest()
    STATE.mkdir(exist_ok=True)
    stages = read_stages()
    outcomes = {stage.name: passed_before(stage, content) for stage in stages}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(chosen))
        for stage in (stage for stage in stages if stage.name in chosen):
            progress.update(task, description=f"{stage.name}: {stage.proves}")
            if fresh or outcomes[stage.name] is None:
                outcomes[stage.name] = run_stage(stage)
                remember(outcomes[stage.name], content)
                write_result(outcomes, content)
            progress.advance(task)
    return write_result(outcomes, content)


def show(result: Result, console: Console) -> None:
    """The outcomes as a table."""
    table = Table("stage", "passed", "tests", "cases", "scale", "seconds", "proves")
    for outcome in result.stages:
        mark = "[green]yes[/]" if outcome.passed else f"[red]no[/] .prove/{outcome.name}.log"
        counts = (outcome.tests, outcome.cases or "", outcome.scale, outcome.seconds)
        table.add_row(outcome.name, mark, *(str(count) for count in counts), outcome.proves)
    console.print(table)


def main() -> int:
    """Run the stages named, or all; exit 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__, prog="just prove")
    parser.add_argument("stage", nargs="*", help="names of stages; all if none is named")
    parser.add_argument("--fresh", action="store_true", help="run also what passed before")
    parser.add_argument("--list", action="store_true", help="list the stages and end")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    arguments = parser.parse_args()
    names = {stage.name for stage in read_stages()}
    if unknown := set(arguments.stage) - names:
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    if arguments.list:
        for stage in read_stages():
            print(f"{stage.name:<14} x{stage.scale:<5} {stage.proves}")
        return 0
    chosen = set(arguments.stage) or names
    result = prove(chosen, fresh=arguments.fresh, console=Console(stderr=True))
    if arguments.json:
        print(msgspec.json.encode(result).decode())
    else:
        show(result, Console())
    failed = [stage for stage in result.stages if stage.name in chosen and not stage.passed]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
