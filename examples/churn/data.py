"""Makes the data of this example: customers in a CSV file, their contracts in a database.

Nobody is real. One customer in eight leaves, more of them after many complaints, on a short
contract, or with little service; some ages, regions and spendings are not known.

Run it: `python data.py`. It writes `customers.csv`, `shop.db` and `ask.csv` to this directory.
"""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

CUSTOMERS = 6000
ASKED = 500  # more of them, who are still here
REGIONS = ["north", "south", "east", "west", "islands"]
PLANS = ["small", "medium", "large"]
REMARKS = ["slow line", "moved house", "bill too high", "asked for an offer", "thanked the support"]
BEGIN = date(2019, 1, 1)
TWO_YEARS = 24

Columns = dict[str, Any]


def main() -> None:
    random = np.random.default_rng(7)
    rows = CUSTOMERS + ASKED
    customers = {
        "customer": [f"C{number:05d}" for number in range(rows)],
        "age": with_holes(random.integers(18, 90, rows), 0.12, random),
        "region": with_holes(
            random.choice(REGIONS, rows, p=[0.3, 0.3, 0.2, 0.19, 0.01]), 0.05, random
        ),
        "signed_up": [BEGIN + timedelta(days=int(days)) for days in random.integers(0, 2200, rows)],
        "calls": random.poisson(1.5, rows).tolist(),
        "spent": with_holes(random.lognormal(3.5, 0.6, rows).round(2), 0.08, random),
        "remarks": [
            " and ".join(random.choice(REMARKS, random.integers(0, 3))) for _ in range(rows)
        ],
    }
    contracts = {
        "id": customers["customer"],
        "plan": random.choice(PLANS, rows, p=[0.5, 0.3, 0.2]).tolist(),
        "months": random.choice([1, 12, 24], rows, p=[0.4, 0.4, 0.2]).tolist(),
        "paperless": random.integers(0, 2, rows).tolist(),
    }
    contracts["has_left"] = who_left(customers, contracts, random)
    write_table(
        Path("customers.csv"), {name: values[:CUSTOMERS] for name, values in customers.items()}
    )
    asked = {name: values[CUSTOMERS:] for name, values in customers.items()}
    asked |= {name: contracts[name][CUSTOMERS:] for name in ("plan", "months", "paperless")}
    write_table(Path("ask.csv"), asked)
    write_database(
        Path("shop.db"), {name: values[:CUSTOMERS] for name, values in contracts.items()}
    )


def who_left(customers: Columns, contracts: Columns, random: np.random.Generator) -> list[str]:
    """Chances that follow from what is known, and luck."""
    leaning = -4.4 + 0.75 * np.array(customers["calls"])
    leaning += 1.2 * (np.array(contracts["months"]) == 1) - 0.9 * (
        np.array(contracts["months"]) == TWO_YEARS
    )
    leaning += 1.0 * np.array(["too high" in remark for remark in customers["remarks"]])
    leaning -= 0.7 * np.array(["thanked" in remark for remark in customers["remarks"]])
    leaning += 0.4 * (np.array(contracts["plan"]) == "small")
    chance = 1 / (1 + np.exp(-leaning))
    left = random.random(len(chance)) < chance
    return ["yes" if has_left else "no" for has_left in left.tolist()]


def with_holes(values: Any, share: float, random: np.random.Generator) -> list[Any]:
    known = random.random(len(values)) >= share
    return [value if there else None for value, there in zip(values.tolist(), known, strict=True)]


def write_table(path: Path, columns: Columns) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_database(path: Path, columns: Columns) -> None:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "create table contracts (id text primary key, plan text, months integer, "
            "paperless integer, has_left text)"
        )
        rows = zip(*columns.values(), strict=True)
        database.executemany("insert into contracts values (?, ?, ?, ?, ?)", rows)
        database.commit()


if __name__ == "__main__":
    main()
