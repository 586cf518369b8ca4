"""What metrics must answer, from fractions: the slow and certain way."""

from __future__ import annotations

import bisect
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LABELS = ("cat", "dog", "fish")
NEAREST_TO_CERTAIN = 2.0**-52
AVERAGED = ("precision", "recall", "f1")
CLASSIFICATION = (
    *("records", "other", "accuracy", "balanced_accuracy", "matthews_correlation"),
    *(f"{average}_{name}" for name in AVERAGED for average in ("macro", "weighted")),
    *(*AVERAGED, "support"),
)
REGRESSION = (
    *("records", "bias", "mean_absolute_error", "mean_squared_error"),
    *("root_mean_squared_error", "max_error", "r2"),
)

RANKING = (
    *("records", "positives", "nan", "roc_auc", "roc_auc_error"),
    *(f"average_precision{end}" for end in ("", "_low", "_high")),
)

Columns = dict[str, list[Any]]
Pairs = list[tuple[Any, Any]]
# Exact where Python can be: a root and a logarithm are rounded once.
Averages = dict[str, Fraction]


def pairs_of(columns: Columns, left: str, right: str) -> Pairs:
    both = zip(columns[left], columns[right], strict=True)
    return [pair for pair in both if None not in pair]


def nothing(names: tuple[str, ...]) -> dict[str, Any]:
    return dict.fromkeys(names)


def share(part: int, whole: int) -> Fraction:
    return Fraction(part, whole) if whole else Fraction(0)


def by_label(pairs: Pairs) -> dict[str, list[Fraction]]:
    truth, guess = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    hits = [pairs.count((label, label)) for label in LABELS]
    support, predicted = list(map(truth.count, LABELS)), list(map(guess.count, LABELS))
    every = list(zip(hits, support, predicted, strict=True))
    return {
        "precision": [share(hit, count) for hit, _, count in every],
        "recall": [share(hit, count) for hit, count, _ in every],
        "f1": [share(2 * hit, true + count) for hit, true, count in every],
        "support": list(map(Fraction, support)),
    }


def averaged(lists: dict[str, list[Fraction]]) -> Averages:
    support = lists["support"]
    averages: Averages = {}
    for name in AVERAGED:
        weighted = sum((a * b for a, b in zip(lists[name], support, strict=True)), Fraction(0))
        averages[f"macro_{name}"] = sum(lists[name], Fraction(0)) / len(LABELS)
        averages[f"weighted_{name}"] = weighted / sum(support)
    return averages


def correlation(pairs: Pairs) -> float:
    """Pearson's, of indicators: what Matthews' is for any number of labels."""
    truth, guess = ([pair[side] for pair in pairs] for side in (0, 1))
    shares = [
        tuple(Fraction(side.count(label), len(pairs)) for side in (truth, guess))
        for label in LABELS
    ]
    together = share(sum(a == b for a, b in pairs), len(pairs)) - sum(a * b for a, b in shares)
    spreads = (1 - sum(part[side] ** 2 for part in shares) for side in (0, 1))
    below = math.prod(spreads)
    return float(together) / math.sqrt(below) if below else 0.0


def classified(columns: Columns) -> dict[str, Any]:
    found = pairs_of(columns, "truth", "prediction")
    pairs = [(truth, guess) for truth, guess in found if truth in LABELS]
    if not pairs:
        return {"classification": nothing(CLASSIFICATION) | {"records": 0, "other": len(found)}}
    lists = by_label(pairs)
    recalls = [r for r, count in zip(lists["recall"], lists["support"], strict=True) if count]
    answer: dict[str, Any] = {
        "records": len(pairs),
        "other": len(found) - len(pairs),
        "accuracy": float(share(sum(a == b for a, b in pairs), len(pairs))),
        "balanced_accuracy": float(sum(recalls) / len(recalls)),
        "matthews_correlation": correlation(pairs),
    }
    answer |= {name: float(value) for name, value in averaged(lists).items()}
    answer |= {name: list(map(float, lists[name])) for name in AVERAGED}
    return {"classification": answer | {"support": list(map(int, lists["support"]))}}


def surprise(happened: int, probability: float) -> float:
    clipped = min(max(probability, NEAREST_TO_CERTAIN), 1 - NEAREST_TO_CERTAIN)
    return -math.log(clipped) if happened else -math.log1p(-clipped)


def logarithmic(columns: Columns) -> dict[str, Any]:
    terms = [surprise(*pair) for pair in pairs_of(columns, "happened", "probability")]
    return {"log_loss": math.fsum(terms) / len(terms) if terms else None}


def brier(columns: Columns) -> dict[str, Any]:
    pairs = pairs_of(columns, "happened", "probability")
    squares = [(Fraction(probability) - happened) ** 2 for happened, probability in pairs]
    return {"brier_score": float(sum(squares) / len(squares)) if squares else None}


def regressed(columns: Columns) -> dict[str, Any]:
    pairs = [(Fraction(a), Fraction(b)) for a, b in pairs_of(columns, "close", "guess")]
    count = len(pairs)
    if not pairs:
        return {"regression": nothing(REGRESSION) | {"records": 0}}
    errors = [guess - truth for truth, guess in pairs]
    mean = sum(truth for truth, _ in pairs) / Fraction(count)
    spread = sum((truth - mean) ** 2 for truth, _ in pairs)
    square = sum(error**2 for error in errors)
    answer = {
        "records": count,
        "bias": float(sum(errors) / count),
        "mean_absolute_error": float(sum(map(abs, errors)) / count),
        "mean_squared_error": float(square / count),
        "root_mean_squared_error": math.sqrt(square / count),
        "max_error": float(max(map(abs, errors))),
        "r2": float(1 - square / spread) if spread else None,
    }
    return {"regression": answer}


def ranked_pairs(edges: tuple[float, ...]) -> Callable[[Columns], dict[str, Any]]:
    """Compares every two records by their bins."""

    def ranked(columns: Columns) -> dict[str, Any]:
        pairs = pairs_of(columns, "happened", "guess")
        binned = [(happened, bisect.bisect_right(edges, score)) for happened, score in pairs]
        positives = [place for happened, place in binned if happened]
        others = [place for happened, place in binned if not happened]
        answer: dict[str, Any] = dict.fromkeys(RANKING)
        answer |= {"records": len(pairs), "positives": len(positives), "nan": 0}
        if positives and others:
            answer |= compared(positives, others)
        if positives:
            answer |= precisions(positives, others)
        return {"ranking": answer}

    return ranked


def compared(positives: list[int], others: list[int]) -> dict[str, float]:
    every = [(a > b, a == b) for a in positives for b in others]
    tied = Fraction(sum(tie for _, tie in every), 2)
    right = sum(above for above, _ in every) + tied
    return {
        "roc_auc": float(right / len(every)),
        "roc_auc_error": float(tied / len(every)),
    }


def precisions(positives: list[int], others: list[int]) -> dict[str, float]:
    sums = [Fraction(0)] * 3
    for place in positives:
        hits = [one for one in positives if one >= place]
        misses = [one for one in others if one >= place]
        fewest = len(hits) - hits.count(place) + 1
        least = share(fewest, fewest + len(misses)) + share(len(hits), len(hits) + len(misses))
        most = share(len(hits), len(hits) + len(misses) - misses.count(place))
        given = share(len(hits), len(hits) + len(misses))
        for slot, value in enumerate((given, least / 2, most)):
            sums[slot] += value
    return dict(zip(RANKING[-3:], (float(total / len(positives)) for total in sums), strict=True))


def calibrated(bins: int) -> Callable[[Columns], dict[str, Any]]:
    """Puts every record into its bin, as a fraction."""

    def calibration(columns: Columns) -> dict[str, Any]:
        pairs = pairs_of(columns, "happened", "probability")
        cells: list[list[tuple[int, Fraction]]] = [[] for _ in range(bins)]
        for happened, probability in pairs:
            exact = Fraction(probability)
            cells[min(int(exact * bins), bins - 1)].append((happened, exact))
        sums = [
            (sum(hit for hit, _ in cell), sum((p for _, p in cell), Fraction(0))) for cell in cells
        ]
        gap = sum((abs(probability - hits) for hits, probability in sums), Fraction(0))
        answer = {
            "records": len(pairs),
            "nan": 0,
            "expected_calibration_error": float(gap / len(pairs)) if pairs else None,
            "bin_records": [len(cell) for cell in cells],
            "mean_probability": [
                part(total, cell) for (_, total), cell in zip(sums, cells, strict=True)
            ],
            "share": [part(hits, cell) for (hits, _), cell in zip(sums, cells, strict=True)],
        }
        return {"calibration": answer}

    return calibration


def part(total: int | Fraction, cell: list[Any]) -> float | None:
    return float(Fraction(total) / len(cell)) if cell else None
