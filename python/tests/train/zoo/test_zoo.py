"""The zoo: every estimator behind every preparation, on every dataset, sealed and compared.

- `just test` tries 5 % of the combinations, always the same; `just prove` (scale 20) all of them.
- What is sealed answers at least 10,000 fresh rows as the original does: no label differs.
- All are asked through the runtime, in the session of the server, but every 25th through a server.
- What is refused is counted, with the reason; nothing is left out silently.
"""

from __future__ import annotations

import http.client
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from shoal import serve
from shoal.values import from_arrow, to_json
from tests.train.zoo.combining import ROWS, combinations, through_the_runtime, tried

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

    from shoal.package import Package

FULL_SCALE = 20
SERVED_EVERY = 25
ASKED_ROWS = 1000
LEAST_SEALED = 0.95


def through_a_server(package: Package, rows: pa.RecordBatch) -> list[Any]:
    """Asks a server, in requests of a thousand rows as JSON."""
    answers: list[Any] = []
    with serve.start(package) as server:
        connection = http.client.HTTPConnection(server.http.removeprefix("http://"), timeout=60)
        for start in range(0, rows.num_rows, ASKED_ROWS):
            wires = from_arrow(rows.slice(start, ASKED_ROWS), package.signature.inputs)
            body = json.dumps({"inputs": to_json(wires)})
            connection.request("POST", "/v2/models/zoo/infer", body)
            answer = connection.getresponse()
            told = answer.read()
            assert answer.status == 200, told
            answers += json.loads(told)["outputs"][0]["data"]
        connection.close()
    return answers


@pytest.mark.timeout(0)  # many models; what hangs is ended by `faulthandler_timeout`
def test_what_is_sealed_answers_fresh_rows_as_the_original(
    tmp_path: Path, prove_scale: int, record_property: Callable[[str, object], None]
) -> None:
    every = combinations()
    chosen = every[: max(len(every) * min(prove_scale, FULL_SCALE) // FULL_SCALE, 1)]
    outcomes = [
        tried(
            each, tmp_path, through_a_server if number % SERVED_EVERY == 0 else through_the_runtime
        )
        for number, each in enumerate(chosen)
    ]
    sealed = [each for each in outcomes if not each.refusal]
    refused = Counter(each.refusal for each in outcomes if each.refusal)
    record_property("cases", sum(each.rows for each in sealed))
    record_property("combinations", len(outcomes))
    record_property("sealed", len(sealed))
    record_property("refused", dict(refused.most_common()))
    assert [(str(each.combination), each.mismatches) for each in sealed if each.mismatches] == []
    assert [str(each.combination) for each in sealed if each.rows < ROWS] == []
    assert len(sealed) >= LEAST_SEALED * len(outcomes), refused


def test_the_sample_has_every_estimator_and_every_dataset() -> None:
    every = combinations()
    sample = every[: len(every) // FULL_SCALE]
    assert {each.estimator for each in sample} == {each.estimator for each in every}
    assert {each.dataset for each in sample} == {each.dataset for each in every}
