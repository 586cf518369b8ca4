"""Runs a canary to its end: what is decided is done, what came of it is remembered, then the next.

- Before anything is done, what came of the act before is in the cluster: whoever is killed is
  followed by one who repeats one act at most.
- While the cluster cannot be reached nothing changes; that is waited out for a while.
- What ends it from outside, a signal or an error, gives the right to act back and changes nothing
  else: the weights stay, and the same command goes on.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from shoal.deploy._canary._events import event_of
from shoal.deploy._canary._machine import (
    ENDS,
    UNDECIDED,
    Broken,
    Done,
    Pending,
    Seen,
    advance,
    decide,
)
from shoal.errors import ClusterUnavailableError, DeployError, RolloutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.deploy._canary._clock import Clock
    from shoal.deploy._canary._events import CanaryEvent, Tell, Word
    from shoal.deploy._canary._lease import Held
    from shoal.deploy._canary._machine import Action, Outcome, State

POLL_SECONDS = 1.0
T = TypeVar("T")


class Hands(Protocol):
    """Whoever does what is decided; every act may be repeated."""

    def act(self, action: Action, state: State) -> Outcome:
        """Does it, or what can be done of it now.

        Raises:
            DeployError: the cluster refuses, or cannot be reached.
        """


class Runner:
    """Runs one canary."""

    def __init__(self, held: Held, hands: Hands, clock: Clock, tell: Tell) -> None:
        """Takes the right to act and the hands; nothing is done yet."""
        self._held = held
        self._hands = hands
        self._clock = clock
        self._tell = tell

    def run(self) -> CanaryEvent:
        """Runs to the end.

        Returns:
            How it ended: promoted, or rolled back.

        Raises:
            ClusterConflictError: another runner acts.
            ClusterUnavailableError: the cluster cannot be reached for too long.
            DeployError: the cluster refuses what has to be done.
        """
        is_mine = True
        try:
            while self._state.phase not in ENDS:
                self._once()
            self._steadily(self._held.forget)
            is_mine = False
        finally:
            if is_mine:
                with suppress(DeployError):  # the lease ends by itself
                    self._held.release()
        word: Word = "promoted" if self._state.phase == "promoted" else "rolled_back"
        return self._say(word, detail=self._state.reason)

    @property
    def _state(self) -> State:
        return self._held.document.state

    def _once(self) -> None:
        plan, before = self._held.document.plan, self._state
        action = decide(plan, before, self._clock.now())
        self._steadily(lambda: self._held.keep(before))
        if action.kind == "wait":
            left_seconds = action.until - self._clock.now()
            self._clock.wait(max(0.0, min(left_seconds, self._held.sign_seconds)))
            return
        outcome = self._steadily(lambda: self._done(action, before))
        after = advance(plan, before, outcome, self._clock.now())
        self._steadily(lambda: self._held.keep(after))
        self._told(before, outcome)
        if isinstance(outcome, Broken) and before.phase not in UNDECIDED:
            hint = "Mend it; the same command goes on."
            raise RolloutError(f"{before.phase}: {outcome.reason}", hint=hint)
        if isinstance(outcome, Pending):
            self._clock.wait(min(POLL_SECONDS, self._held.sign_seconds))

    def _done(self, action: Action, state: State) -> Outcome:
        """What comes of an act; a refusal ends it while it can still be withdrawn."""
        try:
            return self._hands.act(action, state)
        except ClusterUnavailableError:
            raise
        except DeployError as error:
            if state.phase not in UNDECIDED:
                raise
            return Broken(error.render().replace("\n", "; "))

    def _steadily(self, call: Callable[[], T]) -> T:
        """Calls until the cluster is reached, within limits."""
        began_at = self._clock.now()
        while True:
            try:
                return call()
            except ClusterUnavailableError as error:
                waited_seconds = self._clock.now() - began_at
                if waited_seconds >= self._held.document.plan.rollout_seconds:
                    raise
                self._say("waiting", detail=str(error))
                self._clock.wait(min(POLL_SECONDS + waited_seconds / 4, self._held.sign_seconds))

    def _told(self, before: State, outcome: Outcome) -> None:
        if isinstance(outcome, Pending):
            self._say("waiting", detail=outcome.detail)
        elif isinstance(outcome, Seen):
            self._say("look", before, verdicts=outcome.verdicts)
        elif isinstance(outcome, Done) and outcome.weights is not None:
            self._say("weights", weights=outcome.weights)
        if self._state.phase not in {before.phase, *ENDS}:
            self._say("phase", detail=self._state.reason)

    def _say(self, word: Word, state: State | None = None, **more: Any) -> CanaryEvent:
        event = event_of(word, self._held.document, state, self._clock.now(), **more)
        self._tell(event)
        return event
