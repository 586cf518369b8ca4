"""`shoal deploy`: from a package to the objects of Kubernetes that serve it.

`shoal deploy PACKAGE` renders; `shoal deploy WORD ...` is a command of its own where WORD names
one. A package in a directory that is called as a command is written `./WORD`.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from shoal.cli import _canary, _cluster
from shoal.cli._failure import reported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.deploy import Deployment, TrainingJob

DEFAULT = "PACKAGE"


class PackageOrCommand(TyperGroup):
    """What begins with no command is about a package."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # Typer's own class
        """Put the name of the default command first, unless another one stands there."""
        if args and args[0] not in {*self.commands, "--help"}:
            self._refuse_misspelt(ctx, args[0])
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def _refuse_misspelt(self, ctx: typer.Context, word: str) -> None:
        """Refuse what is nearly a command, unless there is a package of that name."""
        near = get_close_matches(word, set(self.commands) - {DEFAULT}, 1, cutoff=0.7)
        if near and word.isidentifier() and not Path(word).exists():
            ctx.fail(f"There is no command and no package {word!r}. Did you mean {near[0]!r}?")

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; the default one has no name that would be shown."""
        name, command, rest = super().resolve_command(ctx, args)
        return "" if name == DEFAULT else name, command, rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Tell of the default command, then of the others."""
        default = self.commands[DEFAULT]
        shown = default.context_class(default, info_name=ctx.info_name, parent=ctx.parent)
        default.format_help(shown, formatter)
        super().format_help(ctx, formatter)


app = typer.Typer(help="Serve packages on Kubernetes.", cls=PackageOrCommand, no_args_is_help=True)
app.command("canary")(_canary.canary)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Settings = Annotated[
    Path | None, typer.Option(metavar="FILE.toml", help="Settings; options win over them.")
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="The namespace.")
]
Image = Annotated[
    str | None, typer.Option(metavar="HOST/NAME@sha256:...", help="The runtime image, by digest.")
]
Resolve = Annotated[
    bool, typer.Option("--resolve", help="Ask the registry which digests tags stand for now.")
]
Cluster = Annotated[
    str | None, typer.Option(metavar="VERSION", help="The version of Kubernetes: 1.31 to 1.37.")
]
Cpu = Annotated[str | None, typer.Option(metavar="CORES", help="Cores: 2, or 500m.")]
Memory = Annotated[str | None, typer.Option(metavar="BYTES", help="Memory: 2Gi.")]
Output = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where YAML, kustomization and chart are written."),
]


@app.command(DEFAULT, hidden=True)
def render(
    package: Annotated[
        str | None,
        typer.Argument(metavar="PACKAGE", help="oci://HOST/NAME@sha256:..., or a directory."),
    ] = None,
    *,
    output: Output = None,
    apply: _cluster.Apply = False,
    dry_run: _cluster.DryRun = False,
    force: _cluster.Force = False,
    roll_back: _cluster.RollBack = False,
    registry: Annotated[
        str | None,
        typer.Option(metavar="oci://HOST/NAME", help="Where the directory's package was pushed."),
    ] = None,
    settings: Settings = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What it is called; as the package.")
    ] = None,
    namespace: Namespace = None,
    replicas: Annotated[
        int | None, typer.Option(metavar="N", help="Replicas; with --max-replicas, the least.")
    ] = None,
    max_replicas: Annotated[
        int | None, typer.Option(metavar="N", help="Replicas at most: scales by the wait.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="plain|keda|kserve|istio", help="What the cluster has.")
    ] = None,
    image: Image = None,
    resolve: Resolve = False,
    cluster: Cluster = None,
    cpu: Cpu = None,
    memory: Memory = None,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Let a python package run its code.")
    ] = False,
    gateway: Annotated[
        str | None, typer.Option(metavar="NAME", help="The Gateway that requests come through.")
    ] = None,
    hostname: Annotated[
        str | None, typer.Option(metavar="HOST", help="The host that requests name.")
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option(metavar="URL", help="Where KEDA and KServe ask Prometheus.")
    ] = None,
    patch: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.yaml", help="Changes any field of any object."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Render the objects that serve a package, and bring them into a cluster."""
    way = _cluster.Way(apply, dry_run, force=force, roll_back=roll_back)
    options: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "replicas": replicas,
        "autoscaling.max_replicas": max_replicas,
        "target": target,
        "image": image,
        "cpu": cpu,
        "memory": memory,
        "allow_code": allow_code or None,
        "route.gateway": gateway,
        "route.hostname": hostname,
        "monitoring.prometheus_address": prometheus,
        "patches": [str(each) for each in patch or ()],
    }
    with reported(as_json=as_json):
        from shoal import deploy

        _check_purpose(output, way)
        options["cluster"] = _cluster.version_of(way, cluster)
        look_up = deploy.resolve_reference if resolve else None
        asked = deploy.read_deployment(
            settings, options, package=package, registry=registry, resolve=look_up
        )
        objects = deploy.render(asked)
        told = _written(asked, objects, output, as_json=as_json)
        if way.asks_cluster:
            objects = deploy.with_settings(objects, asked)
            told |= _cluster.bring(objects, asked.name, asked.namespace, way, as_json=as_json)
        if as_json:
            typer.echo(json.dumps(told))


@app.command()
def job(
    configuration: Annotated[
        Path, typer.Argument(metavar="CONFIG.toml", help="What is trained, as for `shoal train`.")
    ],
    *,
    output: Output = None,
    apply: _cluster.Apply = False,
    dry_run: _cluster.DryRun = False,
    push_to: Annotated[
        str | None,
        typer.Option(metavar="oci://HOST/NAME:TAG", help="Where the package goes."),
    ] = None,
    push_secret: Annotated[
        str | None, typer.Option(metavar="SECRET", help="Credentials of the registry.")
    ] = None,
    settings: Settings = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What it is called; as what is trained.")
    ] = None,
    namespace: Namespace = None,
    image: Image = None,
    resolve: Resolve = False,
    cluster: Cluster = None,
    cpu: Cpu = None,
    memory: Memory = None,
    as_json: Json = False,
) -> None:
    """Render a training that runs in the cluster and pushes its package; run it, and wait."""
    way = _cluster.Way(apply, dry_run)
    options: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "image": image,
        "push_to": push_to,
        "push_secret": push_secret,
        "cpu": cpu,
        "memory": memory,
    }
    with reported(as_json=as_json):
        from shoal import deploy

        _check_purpose(output, way)
        options["cluster"] = _cluster.version_of(way, cluster)
        look_up = deploy.resolve_reference if resolve else None
        asked = deploy.read_training_job(configuration, options, settings, resolve=look_up)
        objects = deploy.render_job(asked)
        told = _written(asked, objects, output, as_json=as_json)
        if way.dry_run:
            told |= _cluster.bring(objects, asked.name, asked.namespace, way, as_json=as_json)
        elif way.apply:
            told |= _cluster.train(objects, asked, as_json=as_json)
        if as_json:
            typer.echo(json.dumps(told))


for command in (_cluster.status, _cluster.rollback, _cluster.delete):
    app.command()(command)
# What looks like an option, as -1, is a number that is refused by what it means.
app.command(context_settings={"ignore_unknown_options": True})(_cluster.scale)


def _check_purpose(output: Path | None, way: _cluster.Way) -> None:
    """Refuses a command that would leave nothing, or do two things that do not go together."""
    from shoal.errors import ConfigurationError

    if output is None and not way.asks_cluster:
        message = "nothing is to be done with what is rendered"
        raise ConfigurationError(message, hint="Say --output DIR, --dry-run or --apply.")
    if way.apply and way.dry_run:
        raise ConfigurationError("--apply and --dry-run do not go together")


def _written(
    asked: Deployment | TrainingJob, objects: Sequence[Any], output: Path | None, *, as_json: bool
) -> dict[str, Any]:
    """Writes objects where that is asked for, and says what lies where."""
    from shoal import deploy

    told: dict[str, Any] = {"name": asked.name, "namespace": asked.namespace}
    if output is None:
        return told
    rows = [
        {"kind": each.kind, "name": each.metadata.name, "file": str(file)}
        for each, file in zip(objects, deploy.write(objects, output), strict=True)
    ]
    if not as_json:
        width = max(len(f"{row['kind']} {row['name']}") for row in rows)
        lines = [f"{row['kind'] + ' ' + row['name']:<{width}}  {row['file']}" for row in rows]
        typer.echo("\n".join(lines))
    return {**told, "objects": rows}
