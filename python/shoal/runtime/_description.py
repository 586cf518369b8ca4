"""What a package says about itself: the file `shoal.json`, as typed data.

- One text per content: keys sorted, no spaces, UTF-8, keys at their default left out. Reading
  refuses a text that is not the one that writing would give, so equal packages are equal bytes.
- Reading is bounded: in size, and in depth (deep nesting is refused, it never ends the process).
- A router says where records go, in place of how a model is run.
- Nothing heavy is imported here: a server reads descriptions.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

from shoal.errors import CorruptPackageError, InputError
from shoal.runtime._routes import Route, check_routes
from shoal.values import Signature

FORMAT = 1
LIMIT_BYTES = 16 * 1024 * 1024
"""Golden rows are the only part that grows; sealing keeps them far below this."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Structs of the description refuse fields that they do not know."""


class InputBinding(_Part, frozen=True, omit_defaults=True):
    """How one input column reaches the tensor of an ONNX file.

    `rank` counts the tensor's dimensions, records included: a scalar column may be `[N]` (1) or
    `[N,1]` (2). `missing` is what a null becomes ("NaN", a number or a text); without it a null
    is refused by name. `features` are the k names that pack into this `[k]` column, in order.
    """

    column: str
    tensor: str
    rank: int
    missing: str | int | float | None = None
    features: tuple[str, ...] | None = None


class OutputBinding(_Part, frozen=True):
    """Which tensor of an ONNX file an output column is."""

    column: str
    tensor: str


class Binding(_Part, frozen=True, omit_defaults=True):
    """Where the model lies in the package: a file of ONNX, or the source of a Python object."""

    file: str
    inputs: tuple[InputBinding, ...] = ()
    outputs: tuple[OutputBinding, ...] = ()
    object: str | None = None


class Policy(_Part, frozen=True):
    """Limits of one micro-batch of this model, in records and in bytes, and of its time.

    A free executor waits for company only where that pays, and never longer than `max_wait_ms`.
    With `latency_target_ms`, micro-batches stay small enough for an answer within it.
    """

    max_rows: int = 512
    max_bytes: int = 16 * 1024 * 1024
    max_wait_ms: float | msgspec.UnsetType = msgspec.UNSET
    latency_target_ms: float | msgspec.UnsetType = msgspec.UNSET


class Tolerance(_Part, frozen=True):
    """How far two answers to the same record may lie apart.

    |a - b| <= max(absolute, relative * size), where size is |b| or the median of |b| over the rows
    compared, whichever is larger. Probabilities, at most 1, so keep the absolute bound.
    """

    absolute: float = 1e-5
    relative: float = 1e-5


class Golden(_Part, frozen=True, omit_defaults=True):
    """A few rows and their answers, as tensors of Open Inference Protocol JSON.

    `origin` says whether they are records of the example, or made up and nobody's.
    """

    inputs: list[Any]
    outputs: list[Any]
    origin: Literal["real", "synthetic"] = "real"


class Description(_Part, frozen=True, omit_defaults=True):
    """The content of `shoal.json`: everything a runtime must know beside the model's own files."""

    format: int
    name: str
    version: str
    runtime: Literal["onnx", "python"]
    pure: bool
    signature: Signature
    binding: Binding
    policy: Policy
    tolerance: Tolerance
    golden: Golden | Literal["none"]
    requirements: tuple[str, ...] = ()


class RouterDescription(_Part, frozen=True):
    """The content of `shoal.json` of a router: where the records of its tasks go."""

    format: int
    name: str
    version: str
    routes: tuple[Route, ...]
    runtime: Literal["router"] = "router"


class _Format(msgspec.Struct):
    format: int
    runtime: str = ""


def canonical_json(value: object) -> bytes:
    """The one JSON text of a value: keys sorted, no spaces, UTF-8, no NaN.

    Raises:
        ValueError: the value holds NaN or an infinity.
    """
    built_in = msgspec.to_builtins(value)
    text = json.dumps(
        built_in, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def write_description(description: Description) -> bytes:
    """The text of `shoal.json`."""
    return canonical_json(description)


def read_description(text: bytes | str) -> Description:
    """Reads the text of `shoal.json` of a model.

    Raises:
        CorruptPackageError: the text is too large, not JSON, of another format, or not canonical;
            or the package is a router.
    """
    description = read_any_description(text)
    if isinstance(description, RouterDescription):
        message = f"the package {description.name} {description.version} is a router, not a model"
        raise CorruptPackageError(message)
    return description


def read_any_description(text: bytes | str) -> Description | RouterDescription:
    """Reads the text of `shoal.json`, of a model or of a router.

    Raises:
        CorruptPackageError: the text is too large, not JSON, of another format, or not canonical.
    """
    data = text.encode() if isinstance(text, str) else text
    if len(data) > LIMIT_BYTES:
        message = f"shoal.json has {len(data)} bytes, at most {LIMIT_BYTES} are read"
        raise CorruptPackageError(message)
    try:
        description = _decoded(data)
    except (msgspec.MsgspecError, InputError, UnicodeDecodeError, RecursionError) as error:
        message = f"shoal.json cannot be read: {error}"
        raise CorruptPackageError(message) from error
    if canonical_json(description) != data:
        message = "shoal.json is not in its canonical form"
        raise CorruptPackageError(message)
    return description


def _decoded(data: bytes) -> Description | RouterDescription:
    head = msgspec.json.decode(data, type=_Format)
    _check_format(head.format)
    if head.runtime != "router":
        return msgspec.json.decode(data, type=Description)
    router = msgspec.json.decode(data, type=RouterDescription)
    check_routes(router.routes)
    return router


def _check_format(number: int) -> None:
    if number != FORMAT:
        message = f"the package has format {number}, this version of Shoal reads format {FORMAT}"
        raise CorruptPackageError(message, hint="Open it with the version of Shoal that sealed it.")
