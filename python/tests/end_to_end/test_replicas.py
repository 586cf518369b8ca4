"""Two real servers behind a real proxy: restarts that nobody notices, and calls that are shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from tests.end_to_end.replicas import (
    OWN_CONNECTION,
    Crowd,
    grpc_label,
    grpc_question,
    replicas_behind,
)
from tests.services import haproxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed
    from tests.end_to_end.replicas import Replicas

REQUESTS = 2_000
CALLS = 40


@pytest.fixture(scope="module")
def replicas(
    digits: Sealed, program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicas]:
    with (
        haproxy.running(program, tmp_path_factory.mktemp("haproxy")) as proxy,
        replicas_behind(digits, proxy) as running,
    ):
        yield running


def answered(served: Served) -> float:
    """Requests that a replica has answered."""
    labels = '{model="digits",version="1",outcome="ok"}'
    return served.counted(f"shoal_requests_total{labels}")


def test_no_request_fails_while_all_replicas_are_replaced(
    digits: Sealed,
    replicas: Replicas,
    prove_scale: int,
    record_property: Callable[[str, object], None],
) -> None:
    requests = REQUESTS * prove_scale
    with Crowd(digits, replicas.proxy) as crowd:
        quiet_ms, _ = during(crowd, requests // 4, lambda: crowd.until(requests // 4))
        # On one machine a start takes its processor from those who answer.
        beside_ms, _ = during(crowd, requests // 4, replicas.start_beside)
        first = crowd.count
        restart_ms, rolls = during(crowd, requests, replicas.roll)
    record_property("requests_in_restarts", crowd.count - first)
    record_property("restarts", 2 * rolls)
    record_property("failed", len(crowd.failures))
    record_property("p99_ms", round(quiet_ms, 2))
    record_property("p99_beside_starts_ms", round(beside_ms, 2))
    record_property("p99_in_restarts_ms", round(restart_ms, 2))
    record_property("p99_ratio", round(restart_ms / beside_ms, 2))
    assert crowd.failures == []


def during(crowd: Crowd, requests: int, act: Callable[[], object]) -> tuple[float, int]:
    """Acts again and again for so many requests: their p99, and how often it acted."""
    since, first, times = crowd.mark(), crowd.count, 0
    while times == 0 or crowd.count - first < requests:
        act()
        times += 1
    return crowd.p99_ms(since), times


def test_the_calls_of_one_connection_go_to_both_replicas(
    digits: Sealed, replicas: Replicas
) -> None:
    before = [answered(served) for served in replicas]
    with grpc.insecure_channel(replicas.proxy.grpc, OWN_CONNECTION) as channel:
        ask(channel, digits)
    after = [answered(served) for served in replicas]
    grown = [now - then for now, then in zip(after, before, strict=True)]
    assert grown == [CALLS / 2, CALLS / 2]


def test_a_client_that_balances_itself_loses_nothing_when_one_replica_ends(
    digits: Sealed, replicas: Replicas
) -> None:
    target = "ipv4:" + ",".join(served.grpc for served in replicas)
    # A list of addresses is no name of a host, and as such refused by the server.
    name = ("grpc.default_authority", "digits")
    settings = (*OWN_CONNECTION, ("grpc.lb_policy_name", "round_robin"), name)
    with grpc.insecure_channel(target, settings) as channel:
        ask(channel, digits)
        assert min(answered(served) for served in replicas) >= CALLS / 4
        replicas.stop_oldest()
        ask(channel, digits)


def ask(channel: Any, digits: Sealed) -> None:
    """Each call must be answered, and rightly."""
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    for row, label in zip(digits.rows[:CALLS], digits.labels[:CALLS], strict=True):
        assert grpc_label(stub.ModelInfer(grpc_question(row))) == label
