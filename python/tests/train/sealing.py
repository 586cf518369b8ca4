"""Fits and seals in a process of its own, and prints a digest for each estimator."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

from shoal.train import Candidate, Categorical, Date, Numeric, Preparation, Text, fit, seal
from tests.train.conftest import customers


def prepared() -> Preparation:
    """Every kind of column."""
    columns: dict[str, Any] = {
        "age": Numeric(flag=True),
        "income": Numeric(missing="modelled"),
        "city": Categorical(least_rows=5),
        "notes": Text(n_grams=2),
        "since": Date(),
        "is_member": Numeric(),
    }
    return Preparation(columns=columns)


def main(place: Path, times: int, estimators: list[str]) -> None:
    """Prints `{estimator: [digest, ...]}`, each sealed so many times."""
    learned, held_out = customers(400, seed=0), customers(220, seed=1)
    digests = {}
    for name in estimators:
        fitted = fit(learned, "left", Candidate(estimator=name), preparation=prepared(), seed=3)
        digests[name] = [
            seal(fitted, held_out, name="m", version="1", output=place / f"{name}-{again}").digest
            for again in range(times)
        ]
    sys.stdout.write(json.dumps(digests))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
