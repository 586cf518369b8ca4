"""`shoal deploy canary`: a new package beside the old one, watched step by step."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli._failure import printable, reported
from shoal.cli._registry import byte_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.deploy import CanaryEvent, CanaryRequest, Verdict
    from shoal.runtime import Description

STEPS = "5,25,50,100"
COLOURS = {"good": "green", "bad": "red", "unknown": "yellow"}
SHOWN_DIGEST = slice(0, 19)


def canary(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The deployment.")],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="PACKAGE",
            help="The new package: oci://HOST/NAME@sha256:..., or a directory. "
            "Without it, goes on with what is under way.",
        ),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(metavar="oci://HOST/NAME", help="Where the directory's package was pushed."),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(metavar="A,B,...,100", help=f"Its shares of the requests; {STEPS}."),
    ] = None,
    analysis: Annotated[
        Path | None, typer.Option(metavar="ANALYSIS.toml", help="How it is judged.")
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option(metavar="URL", help="Where Prometheus is.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="The namespace.")
    ] = None,
    abort: Annotated[
        bool, typer.Option("--abort", help="Call it off: the old package serves all again.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each event.")
    ] = False,
) -> None:
    """Try a new package on more and more requests; keep it, or take it back.

    Killed, the same command goes on. Exit code 0: it is promoted, or called off. 1: it is rolled
    back.
    """
    with reported(as_json=as_json), _ended_by_signal():
        from shoal import deploy

        beginning = {
            "--registry": registry,
            "--steps": steps,
            "--analysis": analysis,
            "--prometheus": prometheus,
        }
        if abort or to is None:
            _check_none({"--to": to, **beginning})
        with _shown(name, as_json=as_json) as tell:
            if abort:
                deploy.stop_canary(name, namespace=namespace, tell=tell)
            else:
                request = None if to is None else _request(to, beginning)
                deploy.run_canary(name, request, namespace=namespace, tell=tell)


def _check_none(options: dict[str, Any]) -> None:
    """What is under way has its package, its steps and its analysis."""
    from shoal.errors import InvalidRequestError

    for option, value in options.items():
        if value is not None:
            message = f"{option} is for a canary that begins, with --to"
            raise InvalidRequestError(message)


def _request(to: str, options: dict[str, Any]) -> CanaryRequest:
    import msgspec

    from shoal import deploy

    path, url = options["--analysis"], options["--prometheus"]
    analysis = deploy.Analysis() if path is None else deploy.read_analysis(path)
    if url is not None:
        where = msgspec.structs.replace(analysis.prometheus, url=url)
        analysis = msgspec.structs.replace(analysis, prometheus=where)
    _, reference = deploy.find_package(to, options["--registry"])
    return deploy.CanaryRequest(
        to=reference,
        steps=deploy.read_steps(options["--steps"] or STEPS),
        analysis=analysis,
        description=None if analysis.disagreement is None else _description(to),
    )


def _description(to: str) -> Description:
    """What a package says of itself; one of a registry is fetched, and kept in the cache."""
    from shoal import package

    if not to.startswith("oci://"):
        return package.open(to).description
    with byte_bar("pulling") as progress:
        return package.fetch(to, progress=progress).description


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """SIGTERM ends it in good order, as SIGINT does: the next one need not wait."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _shown(name: str, *, as_json: bool) -> Iterator[Callable[[CanaryEvent], None]]:
    """How events are told: as JSON, as a picture that lives, or as lines."""
    if as_json:
        yield _as_json
    elif not sys.stdout.isatty():
        yield lambda event: typer.echo(printable(line_of(event)))
    else:
        from rich.live import Live

        view = View(name)
        with Live(view, auto_refresh=False) as live:

            def tell(event: CanaryEvent) -> None:
                view.take(event)
                live.refresh()

            yield tell


def _as_json(event: CanaryEvent) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(event).decode())


def line_of(event: CanaryEvent) -> str:
    """An event on one line."""
    where = f"{event.percent} %"
    if event.weights is not None:
        return f"{where}: weights {_weights(event)}"
    if event.verdicts:
        return f"{where}: {'; '.join(map(_verdict, event.verdicts))}"
    word = str(event.phase if event.event == "phase" else event.event).replace("_", " ")
    return f"{where}: {word}{': ' if event.detail else ''}{event.detail}"


def _weights(event: CanaryEvent) -> str:
    if event.weights is None:
        return ""
    shares = ", ".join(f"{name} {share} %" for name, share in event.weights.percent.items())
    accepted = event.weights.accepted_by
    return shares if accepted is None else f"{shares}, accepted by {accepted}"


def _verdict(verdict: Verdict) -> str:
    bound = f", at most {_number(verdict.threshold)}" if verdict.threshold is not None else ""
    old = f", old {_number(verdict.old)}" if verdict.old is not None else ""
    why = f" ({verdict.why})" if verdict.why else ""
    return f"{verdict.metric} {_number(verdict.new)}{old}{bound}: {verdict.verdict}{why}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


class View:
    """What is told last of everything, as a table that is drawn anew."""

    def __init__(self, name: str) -> None:
        """Nothing is known yet."""
        self._name = name
        self._last: CanaryEvent | None = None
        self._weights = ""
        self._verdicts: tuple[Verdict, ...] = ()

    def take(self, event: CanaryEvent) -> None:
        """Takes an event."""
        self._last = event
        if event.weights is not None:
            self._weights = _weights(event)
            self._verdicts = ()
        if event.verdicts:
            self._verdicts = event.verdicts

    def __rich__(self) -> Any:
        """The table, as Rich draws it."""
        from rich.console import Group
        from rich.text import Text

        event = self._last
        if event is None:
            return Text(f"{self._name}: looking")
        old, new = (_short(each) for each in (event.old, event.new))
        told = event.detail or event.phase.replace("_", " ")
        lines = [
            Text.assemble((self._name, "bold"), f"  {old} to {new}"),
            self._steps(event),
            Text(f"weights   {self._weights or 'not set yet'}"),
            self._table(),
            Text(printable(told), style=COLOURS["bad"] if _is_bad(event) else ""),
        ]
        return Group(*lines)

    def _steps(self, event: CanaryEvent) -> Any:
        from rich.text import Text

        parts: list[Any] = ["steps     "]
        for place, percent in enumerate(event.steps, start=1):
            is_done = place < event.step or event.phase in {"promoting", "promoted"}
            style = "green" if is_done else "bold reverse" if place == event.step else "dim"
            parts += [(f" {percent} % ", style), " "]
        return Text.assemble(*parts)

    def _table(self) -> Any:
        from rich.table import Table

        table = Table("metric", "old", "new", "at most", "samples", "verdict", "why")
        for each in self._verdicts:
            numbers = (each.old, each.new, each.threshold, each.samples)
            word = f"[{COLOURS[each.verdict]}]{each.verdict}[/]"
            table.add_row(each.metric, *map(_number, numbers), word, printable(each.why))
        return table


def _is_bad(event: CanaryEvent) -> bool:
    return event.phase in {"withdrawing", "restoring", "discarding", "rolled_back"}


def _short(package: str) -> str:
    return package.rpartition("@")[2][SHOWN_DIGEST]
