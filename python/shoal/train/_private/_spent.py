"""What was spent of a privacy budget, in the form that reports and attestations keep.

- A use names one mechanism that looked at the records, with all that its guarantee depends on.
- The guarantee of a use is one of two: a Gaussian mechanism on Poisson samples of the records,
  repeated; or an (epsilon, delta) that the mechanism has by itself.
- No record is in two parts: what is spent on one part does not add to what is spent on another.
- `private` is False where the noise came from a seed: whoever knows it can take the noise away.
- What is taken as public is said in words, by whoever took it so; nothing else is public.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from shoal.errors import InvalidRequestError

AccountantName: TypeAlias = Literal["pld", "rdp"]


class SampledGaussian(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Sums over Poisson samples of the records, each with Gaussian noise.

    Attributes:
        noise_multiplier: The noise's standard deviation over the most that one record can change
            the sum, in the Euclidean norm.
        sampling_rate: The chance of each record to be in a sample; 1 takes all of them.
        steps: How many sums.
    """

    noise_multiplier: float
    sampling_rate: float = 1.0
    steps: int = 1

    def __post_init__(self) -> None:
        if not self.noise_multiplier > 0:
            message = f"a noise multiplier is {self.noise_multiplier}, expected more than 0"
            raise InvalidRequestError(message)
        if not 0 < self.sampling_rate <= 1:
            message = f"a sampling rate is {self.sampling_rate}, expected above 0 and at most 1"
            raise InvalidRequestError(message)
        if self.steps < 1:
            raise InvalidRequestError(f"a use has {self.steps} steps, expected at least 1")


class Bounded(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """A mechanism with an (epsilon, delta) of its own, such as the exponential mechanism."""

    epsilon: float
    delta: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < float("inf"):
            message = f"a use has epsilon {self.epsilon}, expected a number above 0"
            raise InvalidRequestError(message)
        if not 0 <= self.delta < 1:
            raise InvalidRequestError(f"a use has delta {self.delta}, expected 0 to below 1")


Guarantee: TypeAlias = SampledGaussian | Bounded


class Use(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One mechanism that looked at the records.

    Attributes:
        purpose: What for, such as `training` or `threshold`.
        mechanism: Its name in words.
        guarantee: What the accountant composes.
        parameters: What else it was run with, such as the norm that gradients are clipped to.
        part: Which records it looked at; None for all.
    """

    purpose: str
    mechanism: str
    guarantee: Guarantee
    parameters: dict[str, float | int | str] = msgspec.field(default_factory=dict)
    part: str | None = None


class PartSpent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was spent on some of the records.

    Attributes:
        name: What they are for.
        records: How many.
        epsilon: What all uses on them cost together, with those on all records.
    """

    name: str
    records: int
    epsilon: float


class PrivacySpent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The privacy that one account has spent.

    Attributes:
        epsilon: What all uses cost a record together at `delta`; at most `epsilon_limit`. Of parts
            that of the part that spent most.
        delta: The chance with which `epsilon` may not hold.
        epsilon_limit: What was allowed.
        records: How many records the account was opened for.
        accountant: How uses are composed: by privacy loss distributions or Renyi divergences.
        library: What computed it, with its version.
        neighbours: Which two datasets must be hard to tell apart.
        uses: Every mechanism, in the order it was run.
        public: What is taken as known to everybody, in words.
        randomness: `system`, or `seeded` for tests.
        private: Whether all of it holds: False where a seed was used.
        parts: Records that were used apart from others; each is in one part at most.
    """

    epsilon: float
    delta: float
    epsilon_limit: float
    records: int
    accountant: AccountantName
    library: str
    neighbours: Literal["add_or_remove_one_record"]
    uses: tuple[Use, ...]
    public: tuple[str, ...]
    randomness: Literal["system", "seeded"]
    private: bool
    parts: tuple[PartSpent, ...] = ()
