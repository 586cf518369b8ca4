"""What `shoal deploy` does in a cluster: apply, wait, look, scale, roll back, delete.

Progress goes to stderr: a live view on a terminal, else a line for each change. stdout has the
result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from shoal.cli._failure import printable, reported

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shoal.deploy import Applied, Change, JobState, Rollout, Status, TrainingJob

Name = Annotated[str, typer.Argument(metavar="NAME", help="The deployment.")]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", help="As the kubeconfig says."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Apply = Annotated[bool, typer.Option("--apply", help="Make the cluster have it, and wait.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would change in the cluster; change nothing.")
]
Force = Annotated[bool, typer.Option("--force", help="Take over fields that another manager owns.")]
RollBack = Annotated[
    bool, typer.Option("--roll-back", help="Go back if the new version does not come up.")
]

SIGNS = {"created": "+", "changed": "~", "deleted": "-", "unchanged": " "}
SIGN_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


class Way(NamedTuple):
    """How objects get into a cluster.

    Attributes:
        apply: Whether they do.
        dry_run: Whether it is only said what would change.
        force: Whether fields of others are taken over.
        roll_back: Whether a version that does not come up is rolled back.
    """

    apply: bool
    dry_run: bool
    force: bool = False
    roll_back: bool = False

    @property
    def asks_cluster(self) -> bool:
        """Whether a cluster is asked at all."""
        return self.apply or self.dry_run


def version_of(way: Way, stated: str | None) -> str | None:
    """The version of Kubernetes that is rendered for: what is stated, or what the cluster has."""
    from shoal import deploy

    return deploy.cluster_version() if stated is None and way.asks_cluster else stated


def bring(
    objects: Sequence[Any], name: str, namespace: str, way: Way, *, as_json: bool
) -> dict[str, Any]:
    """Applies objects as asked for, and waits until replicas are up.

    Returns:
        What is told as JSON.
    """
    import msgspec

    from shoal import deploy

    shown = _show_change if not as_json and not way.dry_run else None
    applied = deploy.apply(
        objects,
        name=name,
        namespace=namespace,
        dry_run=way.dry_run,
        force=way.force,
        progress=shown,
    )
    if not as_json:
        _show_rest(applied)
    told: dict[str, Any] = msgspec.to_builtins(applied)
    kinds = {each.kind for each in applied.changes if each.action != "deleted"}
    if "InferenceService" in kinds and not way.dry_run:
        _say(f"KServe rolls it out: kubectl get inferenceservice {name} -n {namespace}")
    if way.dry_run or "Deployment" not in kinds:
        return told
    rollout = wait(name, namespace, roll_back=way.roll_back, as_json=as_json)
    return {**told, "rollout": msgspec.to_builtins(rollout)}


def wait(name: str, namespace: str, *, roll_back: bool, as_json: bool) -> Rollout:
    """Waits for a rollout, with a view of it."""
    from shoal import deploy

    with _view(_rollout_line, as_json=as_json) as progress:
        done = deploy.wait_for_rollout(
            name, namespace=namespace, roll_back=roll_back, progress=progress
        )
    if not as_json:
        typer.echo(f"{name} is up: {_rollout_line(done)}")
    return done


def train(objects: Sequence[Any], asked: TrainingJob, *, as_json: bool) -> dict[str, Any]:
    """Makes a Job and follows it to its end, with a view of it.

    Returns:
        What is told as JSON.
    """
    import msgspec

    from shoal import deploy

    with _view(_job_line, as_json=as_json) as progress:
        done = deploy.run_job(
            objects, name=asked.name, namespace=asked.namespace, progress=progress
        )
    if not as_json:
        typer.echo(f"Job {done.name} is done: the package is at {asked.push_to}")
    return {"job": msgspec.to_builtins(done), "package": asked.push_to}


def status(name: Name, namespace: Namespace = None, as_json: Json = False) -> None:
    """Say what a deployment is in the cluster: replicas, troubles, versions, objects."""
    with reported(as_json=as_json):
        from shoal import deploy

        found = deploy.status(name, namespace=namespace)
        _tell(found, _status_lines(found), as_json=as_json)


def scale(
    name: Name,
    replicas: Annotated[int, typer.Argument(metavar="REPLICAS", help="How many; 0 stops it.")],
    namespace: Namespace = None,
    as_json: Json = False,
) -> None:
    """Set how many replicas there are, and wait for them."""
    with reported(as_json=as_json):
        from shoal import deploy

        scaled = deploy.scale(name, replicas, namespace=namespace)
        wait(name, scaled.namespace, roll_back=False, as_json=as_json)
        _tell(
            scaled, [f"{name}: {scaled.replicas} replicas, before {scaled.before}"], as_json=as_json
        )


def rollback(
    name: Name,
    revision: Annotated[
        int | None, typer.Option(metavar="N", help="Which version; else the one before.")
    ] = None,
    namespace: Namespace = None,
    as_json: Json = False,
) -> None:
    """Go back to an earlier version, and wait for it."""
    with reported(as_json=as_json):
        from shoal import deploy

        back = deploy.rollback(name, namespace=namespace, revision=revision)
        wait(name, back.namespace, roll_back=False, as_json=as_json)
        line = f"{name}: from revision {back.before} back to {back.revision}"
        _tell(back, [line], as_json=as_json)


def delete(name: Name, namespace: Namespace = None, as_json: Json = False) -> None:
    """Delete a deployment with all that came of it, and wait until nothing is left."""
    with reported(as_json=as_json):
        from shoal import deploy

        progress = None if as_json else _say
        gone = deploy.delete(name, namespace=namespace, progress=progress)
        line = f"{name} is gone from namespace {gone.namespace}: {len(gone.objects)} objects"
        _tell(gone, [line], as_json=as_json)


def _tell(found: Any, lines: Sequence[str], *, as_json: bool) -> None:
    """One JSON object, or lines."""
    import msgspec

    typer.echo(msgspec.json.encode(found).decode() if as_json else "\n".join(map(printable, lines)))


def _say(line: str) -> None:
    typer.echo(printable(f"- {line}"), err=True)


def _show_change(change: Change) -> None:
    """One object: what becomes of it, and which of its lines go and come."""
    typer.echo(printable(f"{SIGNS[change.action]} {change.kind} {change.name}: {change.action}"))
    if change.action != "changed":
        return
    for line in change.difference.splitlines():
        colour = SIGN_COLOURS.get(line[:1])
        typer.echo(typer.style(f"    {printable(line)}", fg=colour))


def _show_rest(applied: Applied) -> None:
    """What was not shown while it was done."""
    if applied.dry_run:
        for change in applied.changes:
            _show_change(change)
    for note in applied.kept:
        typer.echo(printable(f"  {note}"))
    if applied.left_out:
        them = ", ".join(applied.left_out)
        typer.echo(printable(f"  left out, as the cluster has no Prometheus operator: {them}"))


def _rollout_line(state: Rollout) -> str:
    old = f", {state.old} of earlier versions" if state.old else ""
    troubles = "".join(f"; {each}" for each in state.troubles)
    return f"revision {state.revision}, {state.ready} of {state.desired} ready{old}{troubles}"


def _job_line(state: JobState) -> str:
    stage = "done" if state.is_done else state.failure or state.stage or "waiting"
    troubles = "".join(f"; {each}" for each in state.troubles)
    return f"{state.name}: {stage}, {state.tries} tries{troubles}"


def _status_lines(found: Status) -> list[str]:
    scaling = found.autoscaler
    by = f"{scaling}, {scaling.least} to {scaling.most}" if scaling else "nobody: as it was set"
    now = found.rollout.revision
    rows = {
        "deployment": [f"{found.name} in namespace {found.namespace}"],
        "replicas": [_rollout_line(found.rollout)],
        "scaled by": [by],
        "images": list(found.images),
        "versions": [
            f"{each.number}  {each.created}{'  now' if each.number == now else ''}"
            for each in found.revisions
        ],
        "objects": list(found.objects),
    }
    return [
        f"{'' if index else title:<12}{line}"
        for title, lines in rows.items()
        for index, line in enumerate(lines)
    ]


@contextmanager
def _view(line: Callable[[Any], str], *, as_json: bool) -> Iterator[Callable[[Any], None]]:
    """What shows the states of something that is waited for."""
    if as_json or not sys.stderr.isatty():
        yield lambda state: None if as_json else typer.echo(printable(line(state)), err=True)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
        yield lambda state: live.update(_picture(state, line(state)))


def _picture(state: Any, line: str) -> RenderableType:
    """A bar of ready replicas, and below it what is wrong."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.spinner import Spinner
    from rich.text import Text

    parts: list[RenderableType] = [Spinner("dots", Text(printable(line.partition(";")[0])))]
    if hasattr(state, "desired"):
        parts.append(ProgressBar(total=max(state.desired, 1), completed=state.ready, width=40))
    parts += [Text(printable(f"  {each}"), style="yellow") for each in state.troubles]
    return Group(*parts)
