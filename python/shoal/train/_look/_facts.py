"""What a look at data finds, as plain values: the same on the page and as JSON.

- A number that is not defined is None; nothing is NaN or infinite.
- `Look.from_json(look.to_json())` is the look.
- Values of records stand here only where they repeat (categories), as the ends of a range, or where
  they are what is wrong (texts among numbers, cut short); free text is told by its lengths.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from shoal.errors import InvalidRequestError, MalformedJsonError
from shoal.train._collect._kinds import Kind
from shoal.train._look._settings import LookSettings

FORMAT = 1

LookKind: TypeAlias = Kind | Literal["other"]
Bound: TypeAlias = int | float | str
LookTask: TypeAlias = Literal["classification", "regression"]
SuspectKind: TypeAlias = Literal[
    "equals_target", "renames_target", "predicts_target", "missing_tells_target", "identifier"
]
FindingKind: TypeAlias = Literal[
    "empty",
    "constant",
    "mostly_missing",
    "missing_together",
    "infinite",
    "mixed",
    "numbers_as_text",
    "outliers",
    "repeated",
    "contradictory",
    "drift",
    "ordered",
    "imbalance",
    "other_type",
]


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """A column that may tell a model what it could not know, or cannot use.

    Attributes:
        column: Its name.
        kind: What is suspected.
        strength: How strongly, from 0 to 1.
        why: What was seen.
        advice: What to do.
    """

    column: str
    kind: SuspectKind
    strength: float
    why: str
    advice: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something in the records to be looked at before training.

    Attributes:
        kind: What.
        columns: Where; none of all records.
        why: What was seen.
        advice: What to do.
    """

    kind: FindingKind
    columns: tuple[str, ...]
    why: str
    advice: str


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Which records all was looked at of that needs them in memory.

    Attributes:
        records: How many.
        is_all: Whether that is all there are.
        seed: What they were drawn by.
    """

    records: int
    is_all: bool
    seed: int


class Part(msgspec.Struct, frozen=True):
    """Records that are compared with others: of a source, or of the first or the second half."""

    name: str
    records: int


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """How often values lie between edges; dates as seconds since 1970-01-01 UTC.

    Attributes:
        edges: Of the bins, ascending; one more than bins.
        records: Of each bin, in the sample.
        below: Values below all bins, in the sample.
        above: Values above all bins, in the sample.
    """

    edges: tuple[float, ...]
    records: tuple[int, ...]
    below: int = 0
    above: int = 0


class Frequent(msgspec.Struct, frozen=True):
    """A value, and how many records have it."""

    value: str
    records: int


class Outliers(msgspec.Struct, frozen=True, kw_only=True):
    """Values that are far from all others.

    Attributes:
        low: The fence below which they lie.
        high: The fence above which they lie.
        records: How many there are, of all records.
    """

    low: float
    high: float
    records: int


class Association(msgspec.Struct, frozen=True, kw_only=True):
    """How a column goes with the target.

    Attributes:
        measure: `spearman`, `rank_correlation_ratio` or `cramers_v`.
        value: From -1 to 1 of `spearman`, else from 0 to 1.
        records: Of how many, in the sample.
    """

    measure: Literal["spearman", "rank_correlation_ratio", "cramers_v"]
    value: float
    records: int


class ColumnLook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one column holds.

    Attributes:
        name: Its name.
        kind: What its values are; `other` where nothing is known to be done with them.
        missing: Records without a value, of all.
        infinite: Records whose value is infinite, of all.
        distinct: Different values, in the sample.
        minimum: The least finite value, of all; of text, of its length in characters.
        maximum: The greatest one.
        mean: Of finite values, or of lengths, of all; the share of true ones.
        deviation: The standard deviation of all finite values.
        quantiles: Values at 5, 25, 50, 75 and 95 %, in the sample.
        histogram: Of numbers, dates and lengths, in the sample.
        frequent: Of categories and of few numbers: values, in the sample.
        other_values: How many values are not among these.
        outliers: Values far from all others; None where no fence can be told.
        number_share: Of text: the share of values that are numbers, in the sample.
        among_numbers: Of text that is mostly numbers: some of the others.
        association: How it goes with the target.
        power: How well it alone predicts the target, from 0 (not at all) to 1.
        missing_power: How well it alone predicts the target whether its value is missing.
    """

    name: str
    kind: LookKind
    missing: int
    infinite: int = 0
    distinct: int = 0
    minimum: Bound | None = None
    maximum: Bound | None = None
    mean: float | None = None
    deviation: float | None = None
    quantiles: tuple[float, ...] = ()
    histogram: Histogram | None = None
    frequent: tuple[Frequent, ...] = ()
    other_values: int = 0
    outliers: Outliers | None = None
    number_share: float = 0.0
    among_numbers: tuple[str, ...] = ()
    association: Association | None = None
    power: float | None = None
    missing_power: float | None = None


class MissingTogether(msgspec.Struct, frozen=True, kw_only=True):
    """Two columns whose values are missing in the same records more often than by chance.

    Attributes:
        columns: Their names.
        records: Where both are missing, in the sample.
        by_chance: Where both would be, if one said nothing of the other.
        correlation: Of the one missing with the other missing (phi).
    """

    columns: tuple[str, str]
    records: int
    by_chance: float
    correlation: float


class Repeats(msgspec.Struct, frozen=True, kw_only=True):
    """Records that equal others.

    Attributes:
        share: Of the different records, which share was compared: 1.0 is all.
        ignored: Columns that were not compared, since they number the records.
        repeated: Records that equal an earlier one, beyond the first; scaled up by `share`.
        contradictory: Records that equal others in all but the target; scaled up by `share`.
        pairs: Pairs of records that are equal but for the target.
        pairs_by_chance: How many there would be if columns said nothing of each other.
        examples: Rows of repeated records, counted from 0, two at a time.
        contradictions: Rows of contradictory records.
    """

    share: float
    ignored: tuple[str, ...] = ()
    repeated: int = 0
    contradictory: int = 0
    pairs: float = 0.0
    pairs_by_chance: float = 0.0
    examples: tuple[tuple[int, int], ...] = ()
    contradictions: tuple[tuple[int, int], ...] = ()


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """How a column differs between records of one part and all others.

    Attributes:
        column: Its name.
        part: The part that differs most.
        distance: The Jensen-Shannon distance, from 0 (alike) to 1.
        p_value: How probable so large a difference is by chance, corrected for all comparisons.
        change: What differs, in words.
    """

    column: str
    part: str
    distance: float
    p_value: float
    change: str


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What is in records, before anything is trained on them.

    Attributes:
        name: What they are called.
        records: How many there are.
        sample: Of which records all was looked at that needs them in memory.
        settings: How it was made.
        target: The column to predict.
        task: Whether that is a class or a number; None where nothing can be predicted.
        columns: Each column, in order.
        classes: Of a class: how many records have it, of all.
        suspects: Columns that may tell too much: copies of the target, leaks, identifiers.
        findings: What else to look at.
        together: Columns that are missing together, the strongest first.
        repeats: Records that equal others.
        parts: What was compared for drift.
        drifts: How each column differs between parts, the largest first.
        notes: What to know before any of this is trusted.
        format: The version of this form.
    """

    name: str
    records: int
    sample: Sample
    settings: LookSettings
    target: str | None
    task: LookTask | None
    columns: tuple[ColumnLook, ...]
    classes: tuple[Frequent, ...]
    suspects: tuple[Suspect, ...]
    findings: tuple[Finding, ...]
    together: tuple[MissingTogether, ...]
    repeats: Repeats
    parts: tuple[Part, ...]
    drifts: tuple[Drift, ...]
    notes: tuple[str, ...]
    format: int = FORMAT

    def column(self, name: str) -> ColumnLook:
        """One column.

        Raises:
            InvalidRequestError: there is none of this name.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise InvalidRequestError(f"the look has no column {name!r}")

    def to_json(self) -> bytes:
        """The look as JSON in UTF-8."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> Look:
        """Reads what `to_json` has written.

        Raises:
            MalformedJsonError: it is not JSON.
            InvalidRequestError: it is no look, or one of another form.
        """
        try:
            found = msgspec.json.decode(text, type=cls)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(f"the look is not as expected: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedJsonError(f"the look is not JSON: {error}") from None
        if found.format != FORMAT:
            raise InvalidRequestError(f"the look has format {found.format}, expected {FORMAT}")
        return found
