"""What was spent, in words: for a model card, a report, and whoever asks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from shoal.train._private._spent import Bounded

if TYPE_CHECKING:
    from shoal.train._private._spent import PrivacySpent, Use


def facts_of(spent: PrivacySpent) -> dict[str, str]:
    """Says what was spent on which records, and what is taken as public.

    Args:
        spent: By an account, and by its parts.

    Returns:
        Sentences by what they are about, as the facts of a `ModelCard`.
    """
    found = {"Privacy spent": _summary(spent)}
    if uses := _used(spent, None):
        found["Spent on all records"] = uses
    for part in spent.parts:
        share = f"{part.records / spent.records:.0%} of all"
        found[f"Spent on {part.name}"] = (
            f"epsilon {part.epsilon:.4g} on {part.records} records ({share}), which nothing else "
            f"uses: {_used(spent, part.name) or 'nothing'}"
        )
    found["Taken as public"] = "; ".join(spent.public)
    return found


def _summary(spent: PrivacySpent) -> str:
    promise = (
        f"epsilon {spent.epsilon:.4g} of at most {spent.epsilon_limit:g} at delta {spent.delta:g}, "
        f"for one record more or less among {spent.records}; composed by {spent.library} "
        f"({spent.accountant})"
    )
    if spent.parts:
        promise += "; each record is in one part, and the part that spent most counts"
    return promise if spent.private else f"NOT PRIVATE, the noise came from a seed: {promise}"


def _used(spent: PrivacySpent, part: str | None) -> str:
    found = Counter(_written(use) for use in spent.uses if use.part == part)
    times = {1: ""}
    return ", ".join(f"{times.get(n, f'{n} times ')}{said}" for said, n in found.items())


def _written(use: Use) -> str:
    guarantee = use.guarantee
    if isinstance(guarantee, Bounded):
        return f"{use.purpose} (epsilon {guarantee.epsilon:.4g}: {use.mechanism})"
    times = f", {guarantee.steps} times" if guarantee.steps > 1 else ""
    return f"{use.purpose} (noise {guarantee.noise_multiplier:.4g}{times}: {use.mechanism})"
