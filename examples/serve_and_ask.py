"""Serve a sealed package from Python, ask it from many threads, and see how they were batched.

Run it: `python examples/serve_and_ask.py`. It trains a small model of handwritten digits first.
"""

from __future__ import annotations

import json
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_digits
from sklearn.tree import DecisionTreeClassifier

from shoal import package, serve

PROOF_ROWS = 300  # sealing compares the exported model with the original on these


def main() -> None:
    features, labels = load_digits(return_X_y=True)
    rows = features.astype(np.float32)
    model = DecisionTreeClassifier(random_state=0).fit(rows[PROOF_ROWS:], labels[PROOF_ROWS:])
    with tempfile.TemporaryDirectory() as place:
        sealed = package.build(
            model,
            name="digits",
            version="1",
            output=Path(place) / "digits",
            example=as_table(rows[:PROOF_ROWS]),
        )
        with serve.start(sealed) as server, ThreadPoolExecutor(16) as pool:
            answers = list(
                pool.map(lambda row: predict(server.http, row), rows[:PROOF_ROWS].tolist())
            )
            account = get(server.http, "/v2/models/digits/batching")
    agreed = sum(answers == model.predict(rows[:PROOF_ROWS]))
    print(f"{agreed} of {PROOF_ROWS} answers equal the model's own")
    print(f"rows per micro-batch: {account['batch_rows']}")


def as_table(rows: np.ndarray[Any, np.dtype[np.float32]]) -> pa.RecordBatch:
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    return pa.record_batch({"X": column})


def predict(address: str, row: list[float]) -> int:
    body = json.dumps({"features": row}).encode()
    with urllib.request.urlopen(f"http://{address}/predict", body) as answer:
        return int(json.load(answer)["prediction"][0])


def get(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"http://{address}{path}") as answer:
        return json.load(answer)


if __name__ == "__main__":
    main()
