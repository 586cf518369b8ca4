"""What a canary tells while it goes on, as lines of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from shoal.deploy._canary._judge import Verdict
from shoal.deploy._canary._machine import CanaryWeights, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.deploy._canary._document import Document
    from shoal.deploy._canary._machine import State

    Tell: TypeAlias = Callable[["CanaryEvent"], None]

Word: TypeAlias = Literal[
    "started",
    "resumed",
    "phase",
    "waiting",
    "weights",
    "look",
    "promoted",
    "rolled_back",
]


class CanaryEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened.

    Attributes:
        event: What it is.
        at: When, in seconds since 1970.
        phase: The phase it happened in.
        step: Which of the steps it is, from 1 on; 0 before the first and after the last.
        steps: The shares of the new version, in percent.
        percent: The share of the new version that is in effect.
        old: The package that serves.
        new: The package that is tried.
        weights: How requests are shared out.
        verdicts: What a look says.
        detail: What is waited for, or why it is withdrawn.
    """

    event: Word
    at: float
    phase: Phase
    step: int = 0
    steps: tuple[int, ...] = ()
    percent: int = 0
    old: str = ""
    new: str = ""
    weights: CanaryWeights | None = None
    verdicts: tuple[Verdict, ...] = ()
    detail: str = ""


def event_of(
    word: Word, document: Document, state: State | None, at: float, **more: Any
) -> CanaryEvent:
    """Something that happened to a canary.

    Args:
        word: What it is.
        document: The canary.
        state: How far it was; None for how far it is.
        at: When.
        more: What else there is to tell.
    """
    where = document.state if state is None else state
    return CanaryEvent(
        event=word,
        at=at,
        phase=where.phase,
        step=where.step + 1 if where.phase == "stepping" else 0,
        steps=document.plan.steps,
        percent=where.percent,
        old=document.old,
        new=document.new,
        **more,
    )


def ended(package: str, steps: tuple[int, ...], at: float) -> CanaryEvent:
    """The deployment has the package already."""
    detail = "it serves already"
    return CanaryEvent(
        event="promoted",
        at=at,
        phase="promoted",
        steps=steps,
        old=package,
        new=package,
        detail=detail,
    )


def waiting(document: Document, left_seconds: float, at: float) -> CanaryEvent:
    """Another runner has the right to act, and is silent."""
    detail = f"for {left_seconds:.0f} s, whether {document.holder} still runs it"
    return event_of("waiting", document, None, at, detail=detail)
