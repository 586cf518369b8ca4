"""A cluster in memory: one text with versions, and a service that is as the test says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shoal.deploy._canary._analysis import Analysis
from shoal.deploy._canary._clock import Clock
from shoal.deploy._canary._document import Document
from shoal.deploy._canary._judge import Verdict
from shoal.deploy._canary._machine import (
    UNDECIDED,
    Broken,
    CanaryWeights,
    Done,
    Pending,
    Plan,
    Seen,
    begin,
)
from shoal.errors import ClusterConflictError, ClusterLacksError, ClusterUnavailableError

if TYPE_CHECKING:
    from shoal.deploy._canary._judge import Word
    from shoal.deploy._canary._machine import Action, Outcome, State

BEGAN_AT = 1_800_000_000.0


class Killed(BaseException):
    """The process is gone: nothing of it goes on."""


@dataclass
class Time:
    """A clock that goes as fast as it is waited for."""

    seconds: float = BEGAN_AT

    def clock(self) -> Clock:
        return Clock(lambda: self.seconds, self._wait)

    def _wait(self, seconds: float) -> None:
        assert seconds >= 0
        self.seconds += max(seconds, 1e-3)


@dataclass
class Memory:
    """One text, changed by compare-and-set.

    Attributes:
        text: The text; None where there is none.
        version: How often it was written.
        is_killed: Whether whoever calls is gone.
        away: How many calls find nobody.
        is_answer_lost: Whether the next answer to a write is lost.
    """

    text: str | None = None
    version: int = 0
    is_killed: bool = False
    away: int = 0
    is_answer_lost: bool = False

    def read(self) -> tuple[str, str] | None:
        self._reach()
        return None if self.text is None else (self.text, str(self.version))

    def create(self, text: str) -> str:
        self._reach()
        if self.text is not None:
            raise ClusterConflictError("there is one")
        return self._written(text)

    def replace(self, text: str, version: str) -> str:
        self._reach()
        if self.text is None:
            raise ClusterLacksError("there is none")
        if version != str(self.version):
            raise ClusterConflictError("another version")
        return self._written(text)

    def delete(self) -> None:
        self._reach()
        self.text = None

    def _written(self, text: str) -> str:
        self.text, self.version = text, self.version + 1
        if self.is_answer_lost:
            self.is_answer_lost = False
            raise ClusterConflictError("another version")
        return str(self.version)

    def _reach(self) -> None:
        if self.is_killed:
            raise Killed
        if self.away:
            self.away -= 1
            raise ClusterUnavailableError("away")


@dataclass
class Service:
    """Two versions behind weights, as hands that a runner uses.

    Attributes:
        memory: Where the canary is remembered.
        time: The time of day.
        looks: What the looks of each step say.
        broken: Acts that come to nothing.
        kill_after: After which act the runner is killed; None for never.
    """

    memory: Memory
    time: Time
    looks: list[Word]
    broken: frozenset[str] = frozenset()
    kill_after: int | None = None
    main: str = "old"
    canary: bool = False
    weights: list[int] = field(default_factory=lambda: [0])
    acts: list[str] = field(default_factory=list)

    def act(self, action: Action, state: State) -> Outcome:
        outcome = self._act(action, state)
        self.time.seconds += 0.5
        self.acts.append(action.kind)
        if self.kill_after is not None and len(self.acts) > self.kill_after:
            self.kill_after, self.memory.is_killed = None, True
            raise Killed
        return outcome

    def _act(self, action: Action, state: State) -> Outcome:
        if action.kind == "look":
            return Seen((self._verdict(state),))
        if action.kind in self.broken and state.phase in UNDECIDED:
            return Broken("refused")
        match action.kind:
            case "prepare":
                if not self.canary:
                    self.canary = True
                    return Pending("0 of 1 replicas")
            case "weigh":
                self.weights.append(action.percent)
                return Done(CanaryWeights({"main": 100 - action.percent, "canary": action.percent}))
            case "promote":
                self.main = "new"
            case "restore":
                self.main = "old"
            case "remove":
                self.canary = False
        return Done()

    def _verdict(self, state: State) -> Verdict:
        word = self.looks[min(state.step, len(self.looks) - 1)]
        return Verdict(metric="error_rate", verdict=word, old=0.001, new=0.002, threshold=0.011)


PLAN = Plan(
    steps=(5, 50, 100),
    step_seconds=60,
    interval_seconds=20,
    patience_seconds=40,
    failure_limit=1,
    rollout_seconds=600,
)


def document(now: float, holder: str = "first") -> Document:
    return Document(
        name="digits",
        old="old",
        new="new",
        settings={},
        replicas=3,
        plan=PLAN,
        analysis=Analysis(lease_seconds=30),
        state=begin(now, {}),
        holder=holder,
    )
