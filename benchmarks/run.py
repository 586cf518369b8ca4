"""Runs a benchmark by name: `python benchmarks/run.py serve [options]`.

Each benchmark is a folder beside this file; `--help` after its name lists its options.
"""

from __future__ import annotations

import sys
from pathlib import Path

import typer

# Run as a script, this file's folder is on the path and the repository's root is not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.autoscaling import main as autoscaling
from benchmarks.canary import main as canary
from benchmarks.deploy import main as deploy
from benchmarks.kafka import main as kafka
from benchmarks.ledger import main as ledger
from benchmarks.policy import main as policy
from benchmarks.registry import main as registry
from benchmarks.replay import main as replay
from benchmarks.score import main as score
from benchmarks.search import main as search
from benchmarks.serve import main as serve
from benchmarks.streams import main as streams
from benchmarks.switch import main as switch
from benchmarks.tasks import main as tasks
from benchmarks.worker import main as worker

app = typer.Typer(
    help="Runs a benchmark by name.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("autoscaling")(autoscaling)
app.command("canary")(canary)
app.command("deploy")(deploy)
app.command("kafka")(kafka)
app.command("ledger")(ledger)
app.command("policy")(policy)
app.command("registry")(registry)
app.command("replay")(replay)
app.command("score")(score)
app.command("search")(search)
app.command("serve")(serve)
app.command("streams")(streams)
app.command("switch")(switch)
app.command("tasks")(tasks)
app.command("worker")(worker)


@app.callback()
def names() -> None:
    """With a callback, Typer keeps the name of a lone command."""


if __name__ == "__main__":
    app()
