"""What the first minute found out, as one value, as JSON, and as text with a small picture."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

BAR_WIDTH = 40  # characters of the longest bar


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one quickstart run, as measured by the clients.

    Latencies are of single requests, from sending to the last byte of the answer, in milliseconds.
    `accuracy` is over the first answer to each held-out row. `mismatches` counts answers, of all
    requests, that differ from the original model's prediction or are no answer at all.
    `batch_rows` counts micro-batches by their rows.
    """

    package: str
    digest: str
    accuracy: float
    held_out_rows: int
    requests: int
    mismatches: int
    connections: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    batch_rows: dict[str, int]
    release_reasons: dict[str, int]
    next: list[str]

    def json(self) -> str:
        """One JSON object on one line."""
        return msgspec.json.encode(self).decode()

    def text(self) -> str:
        """The same for people: figures, the picture of batch sizes, and what to try next."""
        return "\n".join([*_figures(self), "", *_picture(self), "", *_next_steps(self)])


class Group(NamedTuple):
    """Micro-batches of similar size: their number of rows in words, how many, and all rows."""

    label: str
    batches: int
    rows: int


def percentile(sorted_values: list[float], share: float) -> float:
    """The nearest-rank percentile of values in ascending order; `share` is between 0 and 1."""
    rank = max(1, -(-round(share * len(sorted_values) * 1_000_000) // 1_000_000))
    return sorted_values[rank - 1]


def _figures(report: Report) -> list[str]:
    agreed = report.requests - report.mismatches
    figures = {
        "held-out accuracy over HTTP": f"{report.accuracy:.2%} of {report.held_out_rows} rows",
        "answers equal to the model's": f"{agreed:,} of {report.requests:,}",
        "throughput": f"{report.requests_per_s:,.0f} requests/s, {report.connections} connections",
        "latency": f"p50 {report.p50_ms:.2f} ms, p99 {report.p99_ms:.2f} ms",
        "package": report.package,
        "digest": report.digest,
    }
    return [f"{name:<30}{value}" for name, value in figures.items()]


def _picture(report: Report) -> list[str]:
    groups = group_by_size({int(rows): count for rows, count in report.batch_rows.items()})
    longest = max((group.batches for group in groups), default=1)
    reasons = sorted(report.release_reasons.items())
    return [
        "rows in a micro-batch, how many there were, and how many requests they answered",
        *(_bar(group, longest=longest) for group in groups),
        f"released because: {', '.join(f'{name} {count:,}' for name, count in reasons)}",
    ]


def _bar(group: Group, *, longest: int) -> str:
    bar = "█" * max(1, round(BAR_WIDTH * group.batches / longest))
    return f"{group.label:>9}  {bar:<{BAR_WIDTH}} {group.batches:>7,} {group.rows:>8,}"


def group_by_size(batch_rows: dict[int, int]) -> list[Group]:
    """Micro-batches grouped by doubling size: 1, 2, 3-4, 5-8 ...; empty groups are left out."""
    groups: dict[int, Group] = {}
    for rows, count in sorted(batch_rows.items()):
        upper = 1 << (rows - 1).bit_length()
        known = groups.get(upper, Group(_label(upper), 0, 0))
        groups[upper] = Group(known.label, known.batches + count, known.rows + rows * count)
    return list(groups.values())


def _label(upper: int) -> str:
    return str(upper) if upper <= 2 else f"{upper // 2 + 1}-{upper}"  # noqa: PLR2004 - 1 and 2 stand alone


def _next_steps(report: Report) -> list[str]:
    return ["try next (the second in another terminal):", *(f"  {step}" for step in report.next)]
