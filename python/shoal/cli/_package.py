"""`shoal package`: seal a model, look at a sealed one, sign it, check its seal, and move it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from shoal.cli import _collect, _registry
from shoal.cli._failure import printable, reported
from shoal.cli._registry import PlainHttp, byte_bar, is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shoal.package import Inspection, Verification
    from shoal.runtime import Route

app = typer.Typer(help="Seal models, check seals, move packages.", no_args_is_help=True)
app.command("keep")(_collect.keep)
app.command("push")(_registry.push)
app.command("pull")(_registry.pull)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The package's directory.")]
DirectoryOrName = Annotated[
    str,
    typer.Argument(
        metavar="DIR|oci://HOST/NAME:TAG",
        help="Its directory, or its name in a registry.",
    ),
]
PublicKey = Annotated[
    Path | None,
    typer.Option("--key", metavar="PUB.pem", help="The public key that has to have signed it."),
]
Output = Annotated[Path, typer.Option(metavar="DIR", help="The directory to make.")]
Example = Annotated[
    Path | None,
    typer.Option(metavar="ROWS.parquet", help="Rows of input, not used for training."),
]
Pad = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=VALUE[,start][,multiple-of=N][,lengths=A:B:C]",
        help="How records of different lengths are padded; once for each input.",
    ),
]
Follows = Annotated[
    list[str] | None,
    typer.Option(metavar="OUTPUT=INPUT", help="An output that has the length of a padded input."),
]
Moment = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="An input of INT64 that holds moments, also as dates."),
]


GoldenRowsOption = Annotated[
    Literal["synthetic", "real", "none"],
    typer.Option(
        "--golden-rows",
        help="Rows kept to verify by: made up, or real ones of the example, which all can read.",
    ),
]


@app.command()
def build(
    model: Annotated[str, typer.Argument(metavar="MODEL.onnx|module:object")],
    name: Annotated[str, typer.Option(metavar="N", help="The model's name.")],
    version: Annotated[str, typer.Option(metavar="V", help="The model's version.")],
    output: Output,
    example: Example = None,
    weak_proof: Annotated[
        bool, typer.Option("--weak-proof", help="Accept a proof on fewer than 200 rows.")
    ] = False,
    not_pure: Annotated[
        bool, typer.Option("--not-pure", help="A record must not be run twice (Python models).")
    ] = False,
    lock: Annotated[
        bool, typer.Option("--lock", help="Lock requirements with hashes (Python models).")
    ] = False,
    golden_rows: GoldenRowsOption = "synthetic",
    pad: Pad = None,
    follows: Follows = None,
    moment: Moment = None,
    as_json: Json = False,
) -> None:
    """Seal an ONNX file, or a Python function or class, as a package."""
    with reported(as_json=as_json):
        from shoal import package
        from shoal.values import read_follows, read_padding

        settings = package.Settings(
            golden_rows=golden_rows,
            pure=not not_pure,
            lock=lock,
            padding=read_padding(pad or ()),
            follows=read_follows(follows or ()),
            moments=moment or (),
        )
        rows = None if example is None else _rows(example)
        sealed = package.build(
            model,
            name=name,
            version=version,
            output=output,
            example=rows,
            weak_proof=weak_proof,
            settings=settings,
        )
        _show({"package": str(output), "digest": sealed.digest}, as_json=as_json)


@app.command()
def route(
    routes: Annotated[Path, typer.Argument(metavar="ROUTES.toml", help="The routes, as a file.")],
    name: Annotated[str, typer.Option(metavar="N", help="The router's name.")],
    version: Annotated[str, typer.Option(metavar="V", help="The router's version.")],
    output: Output,
    as_json: Json = False,
) -> None:
    """Seal a router: which model answers each record of a task."""
    with reported(as_json=as_json):
        from shoal import package

        sealed = package.route(routes, name=name, version=version, output=output)
        told = {"package": str(output), "digest": sealed.digest}
        _show(told if as_json else {**told, "routes": _routes(sealed.routes)}, as_json=as_json)


@app.command()
def inspect(directory: Directory, as_json: Json = False) -> None:
    """Say what is in a package; its digests are checked, nothing of it is run."""
    with reported(as_json=as_json):
        import msgspec

        from shoal import package

        found = package.inspect(directory)
        _show(msgspec.to_builtins(found) if as_json else _told(found), as_json=as_json)


@app.command()
def verify(
    directory: DirectoryOrName,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Let a python package answer its golden rows.")
    ] = False,
    key: PublicKey = None,
    plain_http: PlainHttp = None,
    as_json: Json = False,
) -> None:
    """Check every digest, and who signed, and answer the golden rows again."""
    with reported(as_json=as_json):
        import msgspec

        from shoal import package

        read = None if key is None else package.read_public_key(key)
        place: str | Path = directory
        if is_name(directory):
            with byte_bar("pulling") as progress:
                fetched = package.fetch(
                    directory, key=read, progress=progress, plain_http=plain_http
                )
            place = fetched.path
        found = package.verify(place, allow_code=allow_code, key=read)
        _show(msgspec.to_builtins(found) if as_json else _checked(found), as_json=as_json)


@app.command()
def sign(
    directory: DirectoryOrName,
    key: Annotated[
        Path, typer.Option(metavar="KEY.pem", help="The private key, on P-256, P-384 or P-521.")
    ],
    plain_http: PlainHttp = None,
    as_json: Json = False,
) -> None:
    """Sign a package; a password of the key comes from SHOAL_KEY_PASSWORD, or is asked for."""
    with reported(as_json=as_json):
        from shoal import package

        word = _password()
        if is_name(directory):
            with byte_bar("pulling") as progress:
                signed = package.sign_pushed(
                    directory, key, password=word, progress=progress, plain_http=plain_http
                )
        else:
            signed = package.sign(directory, key, password=word)
        told = {"package": directory, "digest": signed.package, "key": signed.key}
        _show({**told, "attestation": signed.attestation}, as_json=as_json)


def _password() -> str | Callable[[], str] | None:
    """The password of a private key, or who asks for it; it never stands on a command line."""
    if word := os.environ.get("SHOAL_KEY_PASSWORD"):
        return word
    return _asked if sys.stdin.isatty() else None


def _asked() -> str:
    answer: str = typer.prompt("password of the key", hide_input=True, err=True)
    return answer


def _rows(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from shoal.errors import InvalidRequestError, PathError

    if not path.exists():
        raise PathError(f"there is nothing at {path}")
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidRequestError(f"{path} cannot be read as Parquet: {error}") from error


def _show(values: dict[str, Any], *, as_json: bool) -> None:
    """One JSON object, or a line for each value."""
    if as_json:
        import json

        typer.echo(json.dumps(values))
        return
    for name, value in values.items():
        for index, line in enumerate(value if isinstance(value, list) else [value]):
            typer.echo(f"{'' if index else name:<14}{line}")


def _told(found: Inspection) -> dict[str, Any]:
    code = "runs Python code" if found.runs_code else "runs no code"
    return {
        "package": f"{found.name} {found.version}",
        "digest": found.digest,
        "runtime": f"{found.runtime} ({code})",
        **_answers(found),
        "files": [f"{name} ({size_bytes:,} bytes)" for name, size_bytes in found.files.items()],
        "golden rows": _golden(found),
        "requirements": list(found.requirements) or "none",
        "attestations": [_attestation(each) for each in found.attestations] or "none",
    }


def _answers(found: Inspection) -> dict[str, Any]:
    """The columns of a model, or the routes of a router."""
    if found.routes:
        return {"routes": _routes(found.routes)}
    return {
        side: [_column(each) for each in found.signature[side]] for side in ("inputs", "outputs")
    }


def _routes(routes: Sequence[Route]) -> list[str]:
    return [printable(str(each)) for each in routes]


def _attestation(stated: dict[str, Any]) -> str:
    predicate = f" ({stated['predicate_type']})" if "predicate_type" in stated else ""
    files = [f"{name} ({size:,} bytes)" for name, size in stated.get("files", {}).items()]
    return f"{stated['kind']}{predicate}{', with ' + ', '.join(files) if files else ''}"


def _golden(found: Inspection) -> str:
    origins = {"real": "records of the example", "synthetic": "made up"}
    return f"{found.golden_rows} ({origins[found.golden_origin]})" if found.golden_rows else "none"


def _column(column: dict[str, Any]) -> str:
    null = ", may be null" if column.get("nullable") else ""
    moment = ", a moment" if column.get("moment") else ""
    padding = _padding(column.get("padding"), column.get("follows"))
    told = f"{column['name']} {column['dtype']} {list(column.get('shape', []))}"
    return f"{told}{moment}{null}{padding}"


def _padding(rule: dict[str, Any] | None, follows: str | None) -> str:
    if rule is None:
        return "" if follows is None else f", follows {follows}"
    to = "four lengths in each power of two"
    if step := rule.get("multiple_of"):
        to = f"multiples of {step}"
    elif lengths := rule.get("lengths"):
        to = f"lengths {', '.join(map(str, lengths))}"
    return f", padded with {rule['value']!r} at the {rule.get('at', 'end')} to {to}"


def _checked(found: Verification) -> dict[str, Any]:
    golden = {
        "matched": f"{found.golden_rows} answered as sealed",
        "none": "the package has none",
        "not run": f"{found.golden_rows} not run: that takes --allow-code",
    }[found.golden]
    signed = {} if found.signed_by is None else {"signed by": found.signed_by}
    return {
        "digest": found.digest,
        "files": f"{found.files} as sealed",
        "golden rows": golden,
        "attestations": f"{found.attestations} as stated" if found.attestations else "none",
        **signed,
    }
