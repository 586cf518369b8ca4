from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from benchmarks.serve._figures import Costs, Load, Turn, Window
from benchmarks.serve._readings import Reading

if TYPE_CHECKING:
    from collections.abc import Callable


def window(rate: float, p50_us: int) -> Window:
    load = Load(
        requests=int(rate),
        duration_us=1_000_000,
        p50_us=p50_us,
        p90_us=p50_us,
        p99_us=p50_us,
        mean_us=float(p50_us),
        max_us=p50_us,
        bad_status=0,
        connect=0,
        read=0,
        write=0,
        timed_out=0,
    )
    return Window(load, rate, 1.0, 0.5, 0.0, 0.0)


@pytest.fixture
def turn() -> Callable[..., Turn]:
    """A turn of a server: requests per second at 64 connections, p50 alone."""

    def make(
        server: str, number: int, rate: float, alone_us: int, costs: Costs | None = None
    ) -> Turn:
        rows = 32.0 if server == "shoal" else None
        many, one = window(rate, 500), window(1e6 / alone_us, alone_us)
        return Turn(server, "", number, many, one, rows, costs)

    return make


@pytest.fixture
def reading() -> Callable[..., Reading]:
    """A reading of a server with the model `digits`: requests per second, and what differs."""

    def make(server: str, number: int, rate: float, **differing: object) -> Reading:
        plain = Reading(
            part="forms",
            server=server,
            setting="",
            model="digits",
            form="json",
            rows_per_request=1,
            round=number,
            connections=64,
            offered_per_s=None,
            offered_share=None,
            window=window(rate, 500),
        )
        return msgspec.structs.replace(plain, **differing)

    return make
