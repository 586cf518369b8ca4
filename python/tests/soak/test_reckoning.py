"""What the soak with faults counts by: each way in which a request can be lost is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.soak.faults.ledger import Ledger, Seen
from tests.soak.faults.reckoning import Server, disagreements, drift_percent, tenths

OUTCOMES = {"digits ok": 3, "pure model_failed": 1}
AGREED = Server(OUTCOMES, {"malformed_json": 2}, abandoned=1)


@pytest.fixture
def seen() -> Seen:
    """Two right answers, a failure, a client that left, and two bodies that were no JSON."""
    ledger = Ledger("1")
    for _ in range(2):
        ledger.answered(ledger.ask("digits"), "digits", is_right=True, said="")
    ledger.left(ledger.ask("digits"), "digits")
    ledger.refused(ledger.ask("pure"), "pure", "model_failed", is_due=True)
    ledger.seen.other_codes["malformed_json"] = 2
    return ledger.end()


def test_counts_that_agree_are_not_complained_of(seen: Seen) -> None:
    assert disagreements(seen, AGREED) == []
    assert (seen.wrong, seen.twice, seen.unanswered, seen.failures) == (0, 0, 0, [])


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (replace(AGREED, outcomes=OUTCOMES | {"digits ok": 4}), "digits ok: 4, expected 2 to 3"),
        (replace(AGREED, outcomes=OUTCOMES | {"digits ok": 1}), "digits ok: 1, expected 2 to 3"),
        (replace(AGREED, outcomes=OUTCOMES | {"pure ok": 1}), "pure ok: 1, expected 0 to 0"),
        (replace(AGREED, rejected={}), "rejected malformed_json: 0, expected 2 to 3"),
        (replace(AGREED, abandoned=2), "abandoned: 2, expected 0 to 1"),
        (replace(AGREED, dropped={"header_timeout": 1}), "header_timeout: 1, expected 0 to 0"),
    ],
    ids=["one more", "one less", "nobody asked", "not counted", "nobody left", "not slow"],
)
def test_counts_that_cannot_both_be_right_are_named(seen: Seen, server: Server, said: str) -> None:
    assert said in disagreements(seen, server)


def test_a_request_is_wrong_twice_or_never_answered() -> None:
    ledger = Ledger("1")
    first, second, _ = (ledger.ask("digits") for _ in range(3))
    ledger.answered(first, "digits", is_right=True, said="")
    ledger.refused(first, "digits", "queue_full", is_due=True)
    ledger.answered(second, "digits", is_right=False, said="nonsense")
    found = ledger.end()
    assert (found.wrong, found.twice, found.unanswered) == (1, 1, 1)
    assert "nonsense" in found.failures[0]


def test_an_error_that_was_not_due_is_a_failure() -> None:
    ledger = Ledger("1")
    ledger.refused(ledger.ask("digits"), "digits", "model_failed", is_due=False)
    assert "model_failed was not due" in ledger.end().failures[0]


def test_what_several_processes_saw_is_added_up(seen: Seen) -> None:
    total = Seen()
    total.add(Seen.from_json(seen.to_json()))
    total.add(seen)
    assert (total.asked["digits"], total.right["digits"], total.left["digits"]) == (6, 4, 2)


def test_memory_that_grows_after_the_warm_up_drifts() -> None:
    assert drift_percent([10, 100, 100, 100, 100, 100, 100, 100, 100, 100]) == 0
    assert drift_percent([10, 20, 100, 100, 100, 100, 100, 100, 110, 110]) == pytest.approx(10)


def test_a_soak_tells_how_its_memory_went() -> None:
    assert tenths([*range(0, 100, 5)]) == [2, 12, 22, 32, 42, 52, 62, 72, 82, 92]
    assert tenths([7]) == [7]
