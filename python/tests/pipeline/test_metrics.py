"""What Prometheus is told of a running pipeline, read by its own client."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.request import urlopen

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shoal import batch
from shoal.errors import AddressError, InvalidRequestError
from shoal.pipeline import Options, Pipeline, tumbling
from tests.pipeline.parts import Memory, Partitions
from tests.services import free_port, until

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000


def source(rows: int) -> Partitions:
    times = pa.array(np.arange(rows) * SECOND, pa.timestamp("us"))
    records = pa.RecordBatch.from_pydict({"value": np.arange(rows), "time": times})
    return Partitions({"p0": records}, is_bounded=False, cuts=[[rows - 10], [0]])


def told(address: str) -> dict[str, float]:
    with urlopen(f"http://{address}/metrics") as answer:
        text = answer.read().decode()
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }


def test_prometheus_is_told_how_far_a_pipeline_is(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    windowed = Pipeline(source(100)).window(tumbling("10s"), on="time", lateness="5s")
    pipeline = windowed.aggregate(batch.count()).to(Memory())
    with pipeline.start(tmp_path, options=Options(metrics=address)) as running:
        until(lambda: running.totals[0] >= 90, "records are taken")
        until(lambda: told(address)["shoal_pipeline_records_taken_total"] >= 90, "it is told")
        found = told(address)
    assert found["shoal_pipeline_records_given_total"] >= 8
    assert found["shoal_pipeline_records_dead_total"] == 0
    assert found["shoal_pipeline_epochs_total"] >= 1
    assert found["shoal_pipeline_epoch_seconds_count"] == found["shoal_pipeline_epochs_total"]
    assert 0 <= found["shoal_pipeline_lag_records"] <= 10
    assert found["shoal_pipeline_watermark_seconds"] >= 84
    assert found["shoal_pipeline_state_rows"] >= 1
    assert found["shoal_pipeline_window_bytes"] >= 0


def test_an_address_that_is_taken_is_refused_by_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AddressError, match=address):
            Pipeline(source(20)).to(Memory()).run(options=Options(metrics=address))


@pytest.mark.parametrize("address", ["9100", "host:", ":9100", "host:port"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidRequestError, match="expected host:port"):
        Pipeline(source(20)).to(Memory()).run(options=Options(metrics=address))
