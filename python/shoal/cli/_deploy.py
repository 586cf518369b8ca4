"""`shoal deploy`: from a package to the objects of Kubernetes that serve it.

`shoal deploy PACKAGE` renders; `shoal deploy WORD ...` is a command of its own where WORD names
one. A package in a directory that is called as a command is written `./WORD`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from shoal.cli import _canary
from shoal.cli._failure import reported

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT = "PACKAGE"


class PackageOrCommand(TyperGroup):
    """What begins with no command is about a package."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # Typer's own class
        """Put the name of the default command first, unless another one stands there."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

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
Namespace = Annotated[str | None, typer.Option(metavar="NAME", help="The namespace.")]
Image = Annotated[
    str | None, typer.Option(metavar="HOST/NAME@sha256:...", help="The runtime image, by digest.")
]
Cluster = Annotated[
    str | None, typer.Option(metavar="VERSION", help="The version of Kubernetes: 1.31 to 1.37.")
]
Cpu = Annotated[str | None, typer.Option(metavar="CORES", help="Cores: 2, or 500m.")]
Memory = Annotated[str | None, typer.Option(metavar="BYTES", help="Memory: 2Gi.")]
Output = Annotated[
    Path, typer.Option(metavar="DIR", help="Where YAML, kustomization and chart are written.")
]


@app.command(DEFAULT, hidden=True)
def render(
    package: Annotated[
        str | None,
        typer.Argument(metavar="PACKAGE", help="oci://HOST/NAME@sha256:..., or a directory."),
    ] = None,
    *,
    output: Output,
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
    """Render the objects that serve a package."""
    options = {
        "name": name,
        "namespace": namespace,
        "replicas": replicas,
        "autoscaling.max_replicas": max_replicas,
        "target": target,
        "image": image,
        "cluster": cluster,
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

        asked = deploy.read_deployment(settings, options, package=package, registry=registry)
        objects = deploy.render(asked)
        _tell(asked.name, objects, deploy.write(objects, output), as_json=as_json)


@app.command()
def job(
    configuration: Annotated[
        Path, typer.Argument(metavar="CONFIG.toml", help="What is trained, as for `shoal train`.")
    ],
    *,
    output: Output,
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
    cluster: Cluster = None,
    cpu: Cpu = None,
    memory: Memory = None,
    as_json: Json = False,
) -> None:
    """Render a training that runs in the cluster and pushes its package."""
    options = {
        "name": name,
        "namespace": namespace,
        "image": image,
        "push_to": push_to,
        "push_secret": push_secret,
        "cluster": cluster,
        "cpu": cpu,
        "memory": memory,
    }
    with reported(as_json=as_json):
        from shoal import deploy

        asked = deploy.read_training_job(configuration, options, settings)
        objects = deploy.render_job(asked)
        _tell(asked.name, objects, deploy.write(objects, output), as_json=as_json)


def _tell(name: str, objects: Sequence[Any], files: Sequence[Path], *, as_json: bool) -> None:
    rows = [
        {"kind": each.kind, "name": each.metadata.name, "file": str(file)}
        for each, file in zip(objects, files, strict=True)
    ]
    if as_json:
        import json

        namespace = objects[0].metadata.namespace
        typer.echo(json.dumps({"name": name, "namespace": namespace, "objects": rows}))
        return
    width = max(len(f"{row['kind']} {row['name']}") for row in rows)
    lines = [f"{row['kind'] + ' ' + row['name']:<{width}}  {row['file']}" for row in rows]
    typer.echo("\n".join(lines))
