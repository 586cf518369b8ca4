"""Seals models that are made with different tools, and a router over two of them.

| package | made with | takes | gives |
|---|---|---|---|
| `fruit` | scikit-learn | `grams`, `length_cm` | `label`: which fruit it is |
| `price` | LightGBM | the same | `label`: whether it is dear |
| `words` | a function | `word` | `letters`, `shouted` |
| `halves` | a function | `number` | `half` |
| `anything` | | `value` | texts go to `words`, numbers to `halves` |

Run it: `python models.py`. It writes `packages/` to the current directory.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.tree import DecisionTreeClassifier

from shoal import package, train

DEAR_GRAMS = 50
SETTINGS = package.Settings(source=Path(__file__).parent / "functions")


def main() -> None:
    seal_fruit_and_price()
    seal_function("words", {"word": ["a", "käse", ""]})
    seal_function("halves", {"number": [1.0, 2.5, -3.0]})
    seal_router()


def seal_fruit_and_price() -> None:
    random = np.random.default_rng(1)
    kinds = np.repeat(["cherry", "apple", "banana"], 300)
    grams = np.repeat([8, 180, 130], 300) * random.uniform(0.8, 1.2, 900)
    length_cm = np.repeat([2, 8, 19], 300) * random.uniform(0.8, 1.2, 900)
    fruit = pd.DataFrame({"grams": grams, "length_cm": length_cm}, dtype="float32")
    is_held_out = np.arange(900) % 3 == 0
    model = DecisionTreeClassifier(random_state=0).fit(fruit[~is_held_out], kinds[~is_held_out])
    example = fruit[is_held_out]
    package.build(model, name="fruit", version="1", output="packages/fruit", example=example)
    sold = pa.Table.from_pandas(
        fruit.assign(price=np.where(fruit["grams"] > DEAR_GRAMS, "dear", "cheap"))
    )
    known, held_out = (sold.filter(pa.array(is_so)) for is_so in (~is_held_out, is_held_out))
    boosted = train.Candidate(estimator="lightgbm", parameters={"n_estimators": 20})
    preparation = train.preparation_of(known, "price")
    fitted = train.fit(known, "price", boosted, preparation=preparation)
    train.seal(fitted, held_out, name="price", version="1", output="packages/price")


def seal_function(name: str, example: dict[str, list[str] | list[float]]) -> None:
    output = f"packages/{name}"
    package.build(
        f"{name}:answer", name=name, version="1", output=output, example=example, settings=SETTINGS
    )


def seal_router() -> None:
    is_text = {"column": "value", "is": "text"}
    routes = [
        {"model": "words", "when": is_text, "rename": {"value": "word"}},
        {"model": "halves", "rename": {"value": "number"}},
    ]
    package.route(routes, name="anything", version="1", output="packages/anything")


if __name__ == "__main__":
    main()
