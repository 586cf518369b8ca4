"""Scores a folder of files with a sealed model: Parquet and CSV in, Parquet out, each row once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.dataset as arrow_dataset
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from shoal import package, pipeline

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


def main() -> None:
    flowers, kinds = load_iris(return_X_y=True)
    rows = np.tile(flowers.astype(np.float32), (10, 1))
    model = LogisticRegression(max_iter=1000).fit(flowers[::2], kinds[::2])
    package.build(
        model, name="iris", version="1", output="iris", example=rows[1:600:2], weak_proof=False
    )

    # A folder as others leave it: several files, ids, and one measurement that is missing.
    Path("flowers").mkdir()
    for day in range(3):
        part = rows[day * 500 : (day + 1) * 500]
        columns = {"id": np.arange(len(part)) + day * 500}
        columns |= {name: part[:, place] for place, name in enumerate(NAMES)}
        arrow_csv.write_csv(pa.table(columns), f"flowers/day-{day}.csv")
    with Path("flowers/day-2.csv").open("a") as file:
        file.write("1500,5.1,,1.4,0.2\n")

    settings = pipeline.Settings(columns={"X": tuple(NAMES)}, errors="unanswered")
    report = pipeline.score("iris", "flowers", "answers", settings=settings)

    answers = arrow_dataset.dataset("answers").to_table()
    print(f"{report.rows} rows answered, {report.failed} not: {answers.schema.names}")
    print(arrow_dataset.dataset("unanswered").to_table().to_pylist()[0]["message"])


if __name__ == "__main__":
    main()
