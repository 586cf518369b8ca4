"""Laws of the state machine: whatever the new version is like, and wherever a runner is killed."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.deploy._canary._judge import Verdict, Word
from shoal.deploy._canary._machine import (
    ENDS,
    Action,
    Broken,
    Done,
    Outcome,
    Pending,
    Phase,
    Plan,
    Seen,
    State,
    advance,
    begin,
    decide,
    resumed,
    withdrawn,
)

WORDS: tuple[Word, ...] = ("good", "bad", "unknown")


@dataclass
class World:
    """A cluster and a service, simulated: what a new version is like at each step.

    Attributes:
        plan: What was settled.
        looks: What the looks of each step say, over and over.
        broken: Acts that come to nothing, and why.
        slow: How often an act is not done yet.
        killed: After which acts the runner is killed before it writes down what it did.
    """

    plan: Plan
    looks: list[list[Word]]
    broken: dict[str, str] = field(default_factory=dict)
    slow: int = 0
    killed: frozenset[int] = frozenset()
    now: float = 1_000_000.0
    weights: list[int] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    main: str = "old"
    canary: bool = False
    looked: list[tuple[int, float, Word]] = field(default_factory=list)

    def run(self) -> State:
        """Runs to the end; the state travels as it is stored."""
        state, waited = begin(self.now, {}), 0
        for place in range(10_000):
            action = decide(self.plan, state, self.now)
            if action.kind == "end":
                return state
            if action.kind == "wait":
                assert action.until > self.now
                self.now = action.until
                continue
            self.acts.append(action.kind)
            waited = waited + 1 if waited < self.slow and action.kind != "look" else 0
            outcome = Pending("not yet") if waited else self.act(action, state)
            self.now += 1
            if place in self.killed:
                silent_since = self.now
                self.now += 3600
                state = resumed(stored(state), self.now, silent_since)
                continue
            state = stored(advance(self.plan, state, outcome, self.now))
            self.phases.append(state.phase)
        pytest.fail("it does not end")

    def act(self, action: Action, state: State) -> Outcome:
        """What an act does to the world."""
        if action.kind == "look":
            words = self.looks[min(state.step, len(self.looks) - 1)]
            word = words[state.failures % len(words)]
            self.looked.append((state.step, self.now - state.since, word))
            verdict = Verdict(metric="error_rate", verdict=word, old=0.01, new=0.02)
            return Seen((verdict,))
        if action.kind in self.broken and state.phase in {"preparing", "stepping", "promoting"}:
            return Broken(self.broken[action.kind])
        match action.kind:
            case "prepare":
                self.canary = True
            case "weigh":
                self.weights.append(action.percent)
            case "promote":
                self.main = "new"
            case "restore":
                self.main = "old"
            case "remove":
                assert self.weights[-1] == 0
                self.canary = False
        return Done()

    @property
    def end(self) -> tuple[str, int, bool]:
        """What serves in the end."""
        return self.main, self.weights[-1], self.canary


def stored(state: State) -> State:
    return msgspec.json.decode(msgspec.json.encode(state), type=State)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    before = draw(st.sets(st.integers(1, 99), max_size=4))
    return Plan(
        steps=(*sorted(before), 100),
        step_seconds=draw(st.sampled_from([0.0, 60.0, 300.0])),
        interval_seconds=draw(st.sampled_from([10.0, 60.0, 1000.0])),
        patience_seconds=draw(st.sampled_from([0.0, 120.0])),
        failure_limit=draw(st.integers(0, 2)),
        rollout_seconds=600.0,
    )


def worlds() -> st.SearchStrategy[World]:
    words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)
    acts = st.sampled_from(["prepare", "weigh", "promote"])
    return st.builds(
        World,
        plan=plans(),
        looks=st.lists(words, min_size=1, max_size=5),
        broken=st.dictionaries(acts, st.just("refused"), max_size=1) | st.just({}),
        slow=st.integers(0, 2),
    )


@given(worlds())
def test_weights_only_rise_until_the_end_is_decided(world: World) -> None:
    state = world.run()
    assert world.weights[-1] == 0
    rising = world.weights[:-1]
    assert rising == sorted(rising)
    assert all(weight in world.plan.steps for weight in rising)
    assert state.percent == 0


@given(worlds())
def test_a_canary_ends_with_the_new_version_everywhere_or_the_old_one(world: World) -> None:
    state = world.run()
    assert state.phase in ENDS
    expected = "new" if state.phase == "promoted" else "old"
    assert world.end == (expected, 0, False)
    assert bool(state.reason) == (state.phase == "rolled_back")


@given(worlds())
def test_only_a_good_look_at_the_end_of_each_step_promotes(world: World) -> None:
    state = world.run()
    ends = {
        step
        for step, lasted, word in world.looked
        if word == "good" and lasted + 1 >= world.plan.step_seconds
    }
    if state.phase == "promoted":
        assert ends == set(range(len(world.plan.steps)))
        assert set(world.plan.steps) == set(world.weights[:-1])


@given(worlds().filter(lambda world: not world.broken), st.integers(0, 4))
def test_a_step_of_which_nothing_is_known_never_promotes(world: World, step: int) -> None:
    step = min(step, len(world.plan.steps) - 1)
    good: list[Word] = ["good"]
    looks: list[list[Word]] = [good] * step + [["unknown"]]
    world.looks = looks
    state = world.run()
    assert state.phase == "rolled_back"
    assert state.step == step
    assert "not known to be good" in state.reason


@given(worlds())
def test_a_withdrawal_is_final(world: World) -> None:
    world.run()
    after = [*world.phases]
    if "withdrawing" in after:
        after = after[after.index("withdrawing") :]
        assert set(after) <= {"withdrawing", "restoring", "discarding", "rolled_back"}


def constant(world: World) -> World:
    """The same, with each step good, bad or unknown all the time, as a real one mostly is."""
    world.looks = [[words[0]] for words in world.looks]
    return world


@given(worlds().map(constant), st.frozensets(st.integers(0, 40), max_size=6))
def test_a_runner_killed_at_any_point_and_started_again_comes_to_the_same_end(
    world: World, killed: frozenset[int]
) -> None:
    whole = World(world.plan, world.looks, world.broken, world.slow)
    once = whole.run()
    world.killed = killed
    again = world.run()
    assert (again.phase, world.end) == (once.phase, whole.end)
    rising = world.weights[: world.weights.index(0)]
    assert rising == sorted(rising)


PLAN = Plan(
    steps=(5, 100),
    step_seconds=60,
    interval_seconds=20,
    patience_seconds=40,
    failure_limit=1,
    rollout_seconds=600,
)


def test_looks_come_after_each_interval_and_at_the_end_of_the_step() -> None:
    world = World(msgspec.structs.replace(PLAN, interval_seconds=25), [["good"]])
    world.run()
    assert [lasted for step, lasted, _ in world.looked if step == 0] == [25, 51, 60]


def test_bad_looks_up_to_the_limit_are_forgiven() -> None:
    state = World(PLAN, [["bad", "good"]]).run()
    assert state.phase == "promoted"
    world = World(PLAN, [["bad", "bad", "good"]])
    state = world.run()
    assert (state.phase, len(world.looked)) == ("rolled_back", 2)
    assert state.reason == "worse at 5 %: error_rate is 0.02, "


def test_replicas_that_do_not_come_up_in_time_are_withdrawn() -> None:
    now, state = 0.0, begin(0.0, {})
    while state.phase == "preparing":
        now += 60
        state = advance(PLAN, state, Pending("1 of 3 replicas"), now)
    assert (now, state.phase) == (660, "withdrawing")
    assert state.reason == "not within 600 s: 1 of 3 replicas"


def test_what_is_measured_once_in_a_step_is_forgotten_with_it() -> None:
    verdict = Verdict(metric="disagreement", verdict="good", new=0.0)
    state = State(phase="stepping", since=0.0, is_weighed=True, percent=5)
    state = advance(PLAN, state, Seen((verdict,), ("disagreement",)), 30)
    assert state.settled == {"disagreement": verdict}
    state = advance(PLAN, state, Seen((verdict,)), 60)
    assert (state.step, state.settled) == (1, {})


def test_what_is_decided_cannot_be_withdrawn() -> None:
    phases: tuple[Phase, ...] = ("returning", "removing", "promoted", "withdrawing", "rolled_back")
    for phase in phases:
        state = State(phase=phase, since=0.0)
        assert withdrawn(state, "asked for", 1.0) is state
