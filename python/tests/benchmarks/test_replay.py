"""The table of `just bench replay`: a row for each load and figure."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from benchmarks.replay._command import Comparison, Latency, Load, Prediction, Result, table
from tools import machine


def test_every_load_has_its_measured_and_predicted_figures() -> None:
    measured = Latency(answered=100, p50_us=100.0, p99_us=200.0, mean_rows=4.0)
    predicted = Latency(answered=100, p50_us=110.0, p99_us=180.0, mean_rows=4.0)
    prediction = Prediction(predicted, p50_ratio=1.1, p99_ratio=0.9)
    compared = Comparison(100, 0, measured, times=prediction, turnarounds=prediction)
    loads = [
        Load("digits", "open", 5000.0, 5000.0, compared),
        Load("wide", "closed", 64, 9000.0, compared),
    ]
    place = machine.describe_machine()
    output = StringIO()
    seen = Result(machine.now(), "commit", False, place, 0.0, 10.0, 0.5, 0.2, loads)  # noqa: FBT003 - not changed
    Console(file=output, width=120).print(table(seen))
    lines = output.getvalue().splitlines()
    [p50, _] = [line for line in lines if "open, 5000 /s" in line]
    assert all(cell in p50 for cell in ("p50", "100 us", "110 us", "1.10"))
    [_, p99] = [line for line in lines if "closed, 64 connections" in line]
    assert all(cell in p99 for cell in ("p99", "200 us", "180 us", "0.90"))
