"""A model that gives 20 columns of mixed types back, and 10,000 rows for it.

It does nothing, so that what is compared is how tables travel. A column of integers and one of text
have missing records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.tasks._callers import TABLE_MODEL

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 10_000
EXAMPLE_ROWS = 64
SEED = 0
MISSING_SHARE = 0.1
KINDS = {"int64": 4, "int32": 2, "fp32": 4, "fp64": 3, "bool": 3, "text": 3, "moment": 1}
"""How many columns there are of each kind."""

ONNX = {
    "int64": "INT64",
    "int32": "INT32",
    "fp32": "FLOAT",
    "fp64": "DOUBLE",
    "bool": "BOOL",
    "text": "STRING",
    "moment": "INT64",
}
MISSING: dict[str, str | int | float] = {"int64_0": -1, "text_0": ""}
OPSET, FORMAT = 18, 9
YEAR_S = 365 * 24 * 3600
WORDS = ("anchovy", "bream", "Äsche", "コイ", "a longer text, as a comment may be")


def names() -> list[str]:
    """The columns, in order."""
    return [f"{kind}_{number}" for kind, count in KINDS.items() for number in range(count)]


def table() -> Any:
    """The rows, as a `pyarrow.Table`."""
    import numpy as np
    import pyarrow as pa

    random = np.random.default_rng(SEED)
    makers = {
        "int64": lambda: pa.array(random.integers(-(2**62), 2**62, ROWS)),
        "int32": lambda: pa.array(random.integers(-1000, 1000, ROWS).astype(np.int32)),
        "fp32": lambda: pa.array(random.normal(size=ROWS).astype(np.float32)),
        "fp64": lambda: pa.array(random.normal(size=ROWS)),
        "bool": lambda: pa.array(random.random(ROWS) < 0.5),  # noqa: PLR2004 - even odds
        "text": lambda: pa.array([WORDS[at] for at in random.integers(0, len(WORDS), ROWS)]),
        "moment": lambda: pa.array(random.integers(0, 50 * YEAR_S, ROWS), pa.timestamp("s", "UTC")),
    }
    columns = {name: makers[name.partition("_")[0]]() for name in names()}
    gone = pa.array(random.random(ROWS) < MISSING_SHARE)
    return pa.table(
        {name: _without(each, gone) if name in MISSING else each for name, each in columns.items()}
    )


def _without(column: Any, gone: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(gone, pa.scalar(None, column.type), column)


def seal(output: Path) -> None:
    """The model as a package, whose micro-batches may be as large as the table."""
    from shoal import package
    from shoal.runtime import Policy

    example = table().slice(0, EXAMPLE_ROWS).combine_chunks().to_batches()[0]
    moments = [name for name in names() if name.startswith("moment")]
    settings = package.Settings(policy=Policy(max_rows=ROWS), missing=MISSING, moments=moments)
    package.build(
        _model(), name=TABLE_MODEL, version="1", output=output, example=example, settings=settings
    )


def _model() -> bytes:
    from onnx import TensorProto, helper

    def value(name: str, output: str) -> Any:
        kind = getattr(TensorProto, ONNX[name.partition("_")[0]])
        return helper.make_tensor_value_info(output, kind, ["N"])

    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name} back"]) for name in names()],
        TABLE_MODEL,
        [value(name, name) for name in names()],
        [value(name, f"{name} back") for name in names()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=FORMAT)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
