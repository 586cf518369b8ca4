"""`shoal image`: an image that serves a package, and a base to build it on; no daemon is needed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli._failure import reported
from shoal.cli._registry import PlainHttp

if TYPE_CHECKING:
    from shoal.deploy import Image, ImageBase

app = typer.Typer(help="Make images that serve packages, without a daemon.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def build(
    package: Annotated[
        Path | None,
        typer.Argument(
            metavar="PACKAGE", help="The package's directory; without it, one to mount it in."
        ),
    ] = None,
    *,
    base: Annotated[
        str,
        typer.Option(
            metavar="DIR|oci://...@sha256:...",
            help="What the image stands on: an OCI layout, or an image named by its digest.",
            envvar="SHOAL_IMAGE_BASE",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(metavar="DIR|oci://...", help="The OCI layout to make, or where to push it."),
    ],
    platform: Annotated[
        list[str] | None,
        typer.Option(metavar="linux/amd64|linux/arm64", help="What it is for; this machine."),
    ] = None,
    wheel: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A wheel of Shoal, once for each platform."),
    ] = None,
    mounted: Annotated[
        bool,
        typer.Option("--mounted", help="Leave the package's files out: its own image is mounted."),
    ] = False,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Let the image run a package of Python code.")
    ] = False,
    plain_http: PlainHttp = None,
    as_json: Json = False,
) -> None:
    """Make an image that serves a package: the base, the libraries, Shoal, the package."""
    with reported(as_json=as_json):
        from shoal import deploy

        settings = deploy.ImageSettings(
            platforms=tuple(platform or ()),
            wheels=tuple(wheel or ()),
            mounted=mounted,
            allow_code=allow_code,
            plain_http=plain_http,
        )
        with _told_step() as progress:
            image = deploy.build_image(
                package, base=base, output=output, settings=settings, progress=progress
            )
        _print(image, _image_lines, as_json=as_json)


@app.command("base")
def make_base(
    rootfs: Annotated[
        Path, typer.Argument(metavar="ROOTFS.tar", help="The tar of a root file system.")
    ],
    output: Annotated[Path, typer.Option(metavar="DIR", help="The OCI layout to make.")],
    platform: Annotated[
        str | None,
        typer.Option(metavar="linux/amd64|linux/arm64", help="What it is for; this machine."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a base for images of a root file system, such as mmdebstrap makes."""
    with reported(as_json=as_json):
        from shoal import deploy

        made = deploy.make_base(rootfs, output, platform=platform)
        _print(made, _base_lines, as_json=as_json)


def _print(made: Any, lines: Callable[[Any], list[str]], *, as_json: bool) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(made).decode() if as_json else "\n".join(lines(made)))


def _image_lines(image: Image) -> list[str]:
    platforms = [
        f"{each.platform:<14}{each.unpacked_bytes / 1e6:,.0f} MB unpacked, Python {each.python}"
        for each in image.platforms
    ]
    return [f"{'image':<14}{image.output}", f"{'digest':<14}{image.digest}", *platforms]


def _base_lines(base: ImageBase) -> list[str]:
    about = f"{base.unpacked_bytes / 1e6:,.0f} MB unpacked, Python {base.python}"
    return [
        f"{'base':<14}{base.output}",
        f"{'digest':<14}{base.digest}",
        f"{base.platform:<14}{about}",
    ]


@contextmanager
def _told_step() -> Iterator[Callable[[str], None] | None]:
    """What is being done, on stderr, and nothing where no terminal is."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("beginning") as status:
        yield status.update
