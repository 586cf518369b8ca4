"""What is done next, from what is known: a state machine without clock, input or output.

    preparing ─▶ stepping ─▶ promoting ─▶ returning ─▶ removing ─▶ promoted
        │            │           │
        └────────────┴───────────┴─▶ withdrawing ─▶ restoring ─▶ discarding ─▶ rolled_back

- CanaryWeights of the new version only rise until it is promoted or withdrawn.
- A step ends well with a look that is good, at its end or later. What is not known to be good
  never ends it: when patience is over, the new version is withdrawn.
- Withdrawing is final, begins with the weights, and ends with the old version alone.
- Every act may be done again: whoever was killed before it was written down repeats it. Time that
  nobody acted in counts against nobody (`resumed`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from shoal.deploy._canary._judge import Verdict, in_all, reasons

if TYPE_CHECKING:
    from collections.abc import Mapping

Phase: TypeAlias = Literal[
    "preparing",
    "stepping",
    "promoting",
    "returning",
    "removing",
    "promoted",
    "withdrawing",
    "restoring",
    "discarding",
    "rolled_back",
]
Kind: TypeAlias = Literal["prepare", "weigh", "look", "wait", "promote", "restore", "remove", "end"]
_NEXT: dict[Phase, Phase] = {
    "preparing": "stepping",
    "promoting": "returning",
    "returning": "removing",
    "removing": "promoted",
    "withdrawing": "restoring",
    "restoring": "discarding",
    "discarding": "rolled_back",
}
_ACTS: dict[Phase, Kind] = {
    "preparing": "prepare",
    "promoting": "promote",
    "returning": "weigh",
    "removing": "remove",
    "promoted": "end",
    "withdrawing": "weigh",
    "restoring": "restore",
    "discarding": "remove",
    "rolled_back": "end",
}
ENDS: tuple[Phase, ...] = ("promoted", "rolled_back")
UNDECIDED: tuple[Phase, ...] = ("preparing", "stepping", "promoting")
"""The phases from which a new version can still be withdrawn."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What was settled before the first step.

    Attributes:
        steps: The shares of the new version, in percent; they rise and end with 100.
        step_seconds: How long a step lasts at least.
        interval_seconds: The time between two looks.
        patience_seconds: How much longer a step may last until a look is good.
        failure_limit: How many bad looks of a step are forgiven.
        rollout_seconds: How long an act may take that waits for the cluster.
    """

    steps: tuple[int, ...]
    step_seconds: float
    interval_seconds: float
    patience_seconds: float
    failure_limit: int
    rollout_seconds: float


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is.

    Attributes:
        phase: See the top of the file.
        since: When this began: the act, or the step as soon as its weights are in effect.
        step: The step that is done or tried, from 0.
        is_weighed: Whether the weights of the step are in effect.
        looked_at: When the last look of the step was; None before the first.
        failures: How many looks of the step were bad.
        percent: The share of the new version that was last in effect.
        is_changed: Whether the deployment itself was given the new package.
        known: What was last known of the old version, by metric.
        settled: What is measured once in a step, by metric.
        reason: Why it is withdrawn.
    """

    phase: Phase
    since: float
    step: int = 0
    is_weighed: bool = False
    looked_at: float | None = None
    failures: int = 0
    percent: int = 0
    is_changed: bool = False
    known: dict[str, float] = {}
    settled: dict[str, Verdict] = {}
    reason: str = ""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done.

    Attributes:
        kind: The act.
        percent: The share of the new version, for `weigh`.
        until: The time to wait for, for `wait`.
        window_seconds: How far a look goes back, for `look`.
    """

    kind: Kind
    percent: int = 0
    until: float = 0.0
    window_seconds: int = 0


class CanaryWeights(msgspec.Struct, frozen=True):
    """How requests are shared out, as it was read back from the route.

    Attributes:
        percent: The share of each Service.
        accepted_by: How many Gateways have accepted the route as it is; None where the route does
            not say so.
    """

    percent: dict[str, int]
    accepted_by: int | None = None


class Done(msgspec.Struct, frozen=True):
    """The act is done, and its effect was read back.

    Attributes:
        weights: What was read back, where the act was to set them.
    """

    weights: CanaryWeights | None = None


class Pending(msgspec.Struct, frozen=True):
    """The act was begun; the cluster is not there yet."""

    detail: str


class Broken(msgspec.Struct, frozen=True):
    """The act cannot come to anything."""

    reason: str


class Seen(msgspec.Struct, frozen=True):
    """What a look says, by metric.

    Attributes:
        verdicts: All of it.
        settled: Which metrics are not measured again in this step.
    """

    verdicts: tuple[Verdict, ...]
    settled: tuple[str, ...] = ()


Outcome: TypeAlias = Done | Pending | Broken | Seen


def begin(now: float, known: Mapping[str, float]) -> State:
    """The state before anything was done.

    Args:
        now: The time.
        known: What is known of the old version while it has all requests, by metric.
    """
    return State(phase="preparing", since=now, known=dict(known))


def decide(plan: Plan, state: State, now: float) -> Action:
    """What is to be done now."""
    if state.phase != "stepping":
        return Action(kind=_ACTS[state.phase])
    if not state.is_weighed:
        return Action(kind="weigh", percent=plan.steps[state.step])
    due = _due(plan, state)
    if now < due:
        return Action(kind="wait", until=due)
    return Action(kind="look", window_seconds=_window_seconds(plan, state, now))


def advance(plan: Plan, state: State, outcome: Outcome, now: float) -> State:
    """The state after an act; an act that is broken where nothing can be withdrawn changes none."""
    if isinstance(outcome, Seen):
        return _seen(plan, state, outcome, now)
    if isinstance(outcome, Done):
        return _done(plan, state, now)
    if state.phase not in UNDECIDED:
        return state
    if isinstance(outcome, Broken):
        return withdrawn(state, outcome.reason, now)
    if now - state.since > plan.rollout_seconds:
        reason = f"not within {plan.rollout_seconds:g} s: {outcome.detail}"
        return withdrawn(state, reason, now)
    return state


def withdrawn(state: State, reason: str, now: float) -> State:
    """The state from which the old version has everything again; none once that is decided."""
    if state.phase not in UNDECIDED:
        return state
    return msgspec.structs.replace(state, phase="withdrawing", since=now, reason=reason)


def resumed(state: State, now: float, silent_since: float) -> State:
    """The state as another runner takes it over, whose clock may be another.

    An act has all its time again. Of a step, the time counts that somebody acted in: until the last
    sign, by the clock of whoever gave it.

    Args:
        state: What is remembered.
        now: The time, by the clock of whoever takes over.
        silent_since: When the last sign was given, by the clock of whoever gave it.
    """
    if state.phase != "stepping" or not state.is_weighed:
        return msgspec.structs.replace(state, since=now)
    later_seconds = now - silent_since
    looked_at = None if state.looked_at is None else state.looked_at + later_seconds
    return msgspec.structs.replace(state, since=state.since + later_seconds, looked_at=looked_at)


def _due(plan: Plan, state: State) -> float:
    """When the next look is: after each interval, and at the end of the step."""
    ends = state.since + plan.step_seconds
    last = state.since if state.looked_at is None else state.looked_at
    regular = last + plan.interval_seconds
    return min(regular, ends) if last < ends else regular


def _window_seconds(plan: Plan, state: State, now: float) -> int:
    """Since the step began, but no further back than a step lasts, and never nothing."""
    longest = max(plan.step_seconds, 2 * plan.interval_seconds)
    return max(1, round(min(now - state.since, longest)))


def _done(plan: Plan, state: State, now: float) -> State:
    if state.phase == "stepping":
        percent = plan.steps[state.step]
        return msgspec.structs.replace(state, is_weighed=True, since=now, percent=percent)
    after = _NEXT.get(state.phase, state.phase)
    percent = 0 if state.phase in {"returning", "withdrawing"} else state.percent
    return msgspec.structs.replace(state, phase=after, since=now, percent=percent)


def _seen(plan: Plan, state: State, seen: Seen, now: float) -> State:
    verdicts = seen.verdicts
    word = in_all(verdicts)
    failures = state.failures + (word == "bad")
    looked = _remembering(msgspec.structs.replace(state, looked_at=now, failures=failures), seen)
    lasted = now - state.since
    if failures > plan.failure_limit:
        return withdrawn(looked, f"worse at {state.percent} %: {reasons(verdicts, 'bad')}", now)
    if word == "good" and lasted >= plan.step_seconds:
        return _next_step(plan, looked, now)
    if word != "good" and lasted >= plan.step_seconds + plan.patience_seconds:
        reason = f"not known to be good at {state.percent} % after {lasted:.0f} s"
        return withdrawn(looked, f"{reason}: {reasons(verdicts, word)}", now)
    return looked


def _remembering(state: State, seen: Seen) -> State:
    known = {each.metric: each.old for each in seen.verdicts if each.old is not None}
    settled = {each.metric: each for each in seen.verdicts if each.metric in seen.settled}
    return msgspec.structs.replace(
        state, known=state.known | known, settled=state.settled | settled
    )


def _next_step(plan: Plan, state: State, now: float) -> State:
    fresh = msgspec.structs.replace(
        state, since=now, is_weighed=False, looked_at=None, failures=0, settled={}
    )
    if state.step + 1 < len(plan.steps):
        return msgspec.structs.replace(fresh, step=state.step + 1)
    return msgspec.structs.replace(fresh, phase="promoting", is_changed=True)
