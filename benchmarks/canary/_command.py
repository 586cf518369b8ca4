"""The command `just bench canary`: plays both canaries, writes what they told, draws it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from benchmarks.canary._picture import draw
from shoal import deploy
from shoal.errors import RolloutError
from tools.machine import ROOT, Machine, commit, describe_machine, is_changed, now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = Path(__file__).parent
PICTURE = ROOT / "docs" / "guides" / "pictures" / "canary.svg"
STEPS = (5, 25, 50, 100)
STEP_SECONDS, INTERVAL_SECONDS = 10.0, 2.0
# The share from which the second version takes ten times as long.
TIRES_AT = 0.5


class Result(msgspec.Struct, frozen=True):
    """One run: where it was made, and what both canaries told."""

    date: str
    commit: str
    is_changed: bool
    machine: Machine
    canaries: dict[str, list[deploy.CanaryEvent]]


def main(
    results: Annotated[Path, typer.Option(help="Where the result goes.")] = FOLDER / "results",
    drawn: Annotated[
        Path | None, typer.Option("--draw", help="Only draw this result anew.")
    ] = None,
    picture: Annotated[Path, typer.Option(help="Where the picture goes.")] = PICTURE,
) -> None:
    """A canary that is promoted, and one that is taken back."""
    if drawn is None:
        seen = Result(now(), commit(), is_changed(), describe_machine(), _played())
        results.mkdir(parents=True, exist_ok=True)
        drawn = results / f"{seen.date.replace(':', '')}-{seen.commit[:10]}.json"
        drawn.write_bytes(msgspec.json.format(msgspec.json.encode(seen), indent=1) + b"\n")
    else:
        seen = msgspec.json.decode(drawn.read_bytes(), type=Result)
    picture.write_text(draw(seen.canaries), "utf-8")
    typer.echo(f"{drawn}\n{picture}")


def _played() -> dict[str, list[deploy.CanaryEvent]]:
    sys.path.insert(0, str(ROOT / "python"))  # the control plane of the tests
    from tests.deploy.canary.played import Version

    with _control_plane() as plane:
        return {
            "promoted": _canary(plane, "promoted", Version(0.0018, fails=0.001)),
            "rolled back": _canary(
                plane, "rolled-back", Version(0.0018, fails=0.001, tires_at=TIRES_AT)
            ),
        }


@contextmanager
def _control_plane() -> Iterator[Any]:
    """The control plane of the tests, with the kinds that a canary needs."""
    from tests.services.definitions import install, read
    from tests.services.kubernetes import _binaries
    from tests.services.kubernetes._control_plane import running

    go = shutil.which("go") or "go"
    with (
        tempfile.TemporaryDirectory(prefix="shoal-benchmark-") as directory,
        running(_binaries.build(go), Path(directory)) as plane,
    ):
        for project in ("gateway-api", "prometheus-operator"):
            install(plane.client, read(go, project))
        os.environ["KUBECONFIG"] = str(plane.kubeconfig)
        yield plane


def _canary(plane: Any, namespace: str, new: Any) -> list[deploy.CanaryEvent]:
    """What one canary tells, from its beginning to its end."""
    from tests.deploy.canary import played
    from tests.services.prometheus import running

    plane.namespace(namespace)
    events: list[deploy.CanaryEvent] = []
    traffic = played.Traffic(plane.client, namespace, played.Version(fails=0.002), new)
    with (
        tempfile.TemporaryDirectory(prefix="shoal-benchmark-") as directory,
        played.gateway(plane.client, namespace),
        traffic.running() as targets,
        running(lambda name: name, Path(directory), targets=targets) as url,
    ):
        played.deployed(played.settings(namespace, replicas=4))
        deploy.wait_for_rollout(played.NAME, namespace=namespace)
        time.sleep(2 * STEP_SECONDS)  # until the old version is known
        try:
            deploy.run_canary(
                played.NAME, _request(url), namespace=namespace, tell=_telling(events)
            )
        except RolloutError as error:
            typer.echo(error)
    return events


def _request(url: str) -> deploy.CanaryRequest:
    from tests.deploy.canary.killed import NEW

    analysis = deploy.Analysis(
        step_seconds=STEP_SECONDS,
        interval_seconds=INTERVAL_SECONDS,
        prometheus=deploy.Prometheus(url=url),
    )
    return deploy.CanaryRequest(to=NEW, steps=STEPS, analysis=analysis)


def _telling(events: list[deploy.CanaryEvent]) -> Callable[[deploy.CanaryEvent], None]:
    from shoal.cli._canary import line_of

    def tell(event: deploy.CanaryEvent) -> None:
        events.append(event)
        typer.echo(line_of(event))

    return tell
