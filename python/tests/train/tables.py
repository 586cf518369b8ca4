"""Tables to be looked at: clean noise, and noise with mistakes planted in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 2000
HOSTILE = "<script>alert('x')</script>"
ENDS = "</td></svg>\x00$x^2$"


def noise(seed: int, rows: int = ROWS) -> dict[str, Any]:
    """Columns of each kind that say nothing of each other; `left` is true of three in ten."""
    rng = np.random.default_rng(seed)
    days = rng.integers(8_000, 20_000, rows).astype(np.int32)
    return {
        "left": pa.array(np.where(rng.random(rows) < 0.3, "yes", "no")),
        "price": rng.normal(100, 20, rows),
        "height": rng.normal(size=rows),
        "calls": rng.poisson(4, rows),
        "share": rng.random(rows),
        "city": pa.array(rng.choice(["Bern", "Oslo", "Rome", "Wien"], rows)),
        "is_new": rng.random(rows) < 0.5,
        "since": pa.array(days).cast(pa.date32()),
        "gaps": with_gaps(rng.normal(size=rows), rng.random(rows) < 0.2),
    }


def with_gaps(values: NDArray[Any], is_missing: NDArray[np.bool_]) -> pa.Array:
    """Values of which some are missing."""
    return pa.array(values, mask=is_missing)


def has_left(columns: dict[str, Any]) -> NDArray[np.bool_]:
    """(records,) whether the target is `yes`."""
    return np.array([value == "yes" for value in columns["left"].to_pylist()])


def hostile() -> pa.Table:
    """Names and values that are markup, or that no page can show."""
    columns = noise(1, 400)
    values = pa.array([ENDS, "=1+1", "\N{RIGHT-TO-LEFT OVERRIDE}abc", ""] * 100)
    columns[HOSTILE] = values
    columns[""] = values
    columns["\n\x1b[31m"] = values
    columns["long" * 300] = values
    columns["&amp;"] = pa.array(["x" * 5000, "\N{GRINNING FACE}"] * 200)
    columns[ENDS] = np.where(has_left(columns), 1.0, np.inf)
    return pa.table(columns)


def mixed(rows: int = ROWS) -> pa.Table:
    """Noise with all mistakes that a look finds."""
    columns = noise(0, rows)
    left, place = has_left(columns), np.arange(rows)
    rng = np.random.default_rng(7)
    columns["customer"] = place
    columns["gone"] = left
    columns["reason"] = pa.array([f"r{n % 3}" if yes else None for n, yes in enumerate(left)])
    columns["months_left"] = np.where(left, 0.0, 12.0) + rng.normal(size=rows)
    columns["income"] = with_gaps(rng.normal(3000, 400, rows), place % 5 == 0)
    columns["tax"] = with_gaps(rng.normal(900, 80, rows), place % 5 == 0)
    columns["spent"] = pa.array(["?" if n % 50 == 0 else str(n % 90) for n in range(rows)])
    columns["rate"] = np.where(place == 3, np.inf, rng.normal(size=rows))
    columns["price"] = np.where(place == 9, 1e6, columns["price"])
    columns["calls"] = columns["calls"] + np.where(place < rows // 2, 0, 3)
    columns["land"] = pa.array(["CH"] * rows)
    columns["nothing"] = pa.nulls(rows)
    table = pa.table(columns)
    copies = table.slice(10, 5)
    return pa.concat_tables([table, copies])
