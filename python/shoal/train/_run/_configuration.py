"""What is trained, as a TOML file: from the data to the words of the model card.

    name = "churn"
    version = "1.0.0"
    target = "left"
    held_out = 0.2                     # the share of records that nothing is learned from

    [data]                             # what `shoal collect` takes, or: dataset = "records"
    on = "customer"
    [[data.input]]
    files = "customers/*.csv"
    [[data.input]]
    database_from = "DATABASE_URL"
    query = "select customer, plan from contracts"

    [columns.plan]                     # where a column is not what it looks like
    kind = "categorical"
    least_rows = 20

    [search]                           # see `Settings`
    score = "average_precision"
    seconds = 60
    balance = ["none", "weights"]

    [threshold]                        # see `Threshold`
    by = "f1"

    [evaluation]                       # see `shoal.evaluate.Settings`
    slices = ["plan"]

    [card]
    intended_use = "Who is called before a contract ends."

- Paths are those of the caller's directory, as on a command line.
- A key that is not known is refused. No message repeats a value of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from shoal.errors import ConfigurationError, InvalidRequestError, PathError
from shoal.evaluate import Settings as EvaluationSettings
from shoal.package import check_names
from shoal.train._collect._recipe import LIMIT_BYTES, RecipeText, recipe_of
from shoal.train._prepare._description import Feature
from shoal.train._private._records._settings import PrivateSettings
from shoal.train._run._threshold import Threshold
from shoal.train._search._search import Settings

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from shoal.train._collect._recipe import Recipe

CardPart: TypeAlias = Literal[
    "summary",
    "intended_use",
    "out_of_scope",
    "training_data",
    "evaluation_data",
    "limitations",
    "considerations",
]
_NOT_PRIVATE = (
    *("without", "columns", "polynomial", "select", "held_out"),
    *("search", "threshold", "evaluation", "golden_rows"),
)
_STATED = "columns, hidden_layers, threshold, evaluation_share and others"
# Half of all records at most: a model that learns from fewer than it is measured on is none.
MOST_HELD_OUT = 0.5


class InputData(RecipeText, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where records come from: what `shoal collect` takes, or a dataset.

    Attributes:
        dataset: A folder that `collect` has made, or a package that holds one.
    """

    dataset: str | None = None


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is trained.

    Attributes:
        name: The package's name.
        version: Its version.
        target: The column that is predicted.
        data: Where records come from.
        without: Columns that are left out, such as one that is known only afterwards.
        columns: What is done with columns that are not what they look like.
        polynomial: The degree up to which numeric features are multiplied with each other.
        select: Only so many features, those that say most about the target each by itself.
        held_out: The share of records that nothing is learned from, and the model is measured on.
        search: How candidates are compared.
        threshold: From which probability on the positive class is the answer; None for the more
            probable one.
        evaluation: How the model is measured.
        card: What the model card says.
        golden_rows: Whether the golden rows of the package are made up, or real records.
        lock: A file that locks all distributions, such as `uv.lock`: its digest is in the evidence.
        private: What may be spent on a private training, which states all it needs by itself; None
            for an ordinary one.
    """

    name: str
    version: str
    target: str
    data: InputData
    without: tuple[str, ...] = ()
    columns: dict[str, Feature] = {}
    polynomial: int = 1
    select: int | None = None
    held_out: float = 0.2
    search: Settings = Settings()
    threshold: Threshold | None = None
    evaluation: EvaluationSettings = EvaluationSettings()
    card: dict[CardPart, str] = {}
    golden_rows: Literal["synthetic", "real"] = "synthetic"
    lock: str | None = None
    private: PrivateSettings | None = None

    def __post_init__(self) -> None:
        """Refuses what does not go together.

        Raises:
            ConfigurationError: see the message.
            InvalidRequestError: no package can have the name or the version.
        """
        check_names(self.name, self.version)
        if not 0 < self.held_out <= MOST_HELD_OUT:
            message = f"held_out is {self.held_out}, expected above 0 and at most {MOST_HELD_OUT}"
            raise ConfigurationError(message)
        if self.search.preparation is not None:
            message = "the preparation was given in `search`"
            raise ConfigurationError(message, hint="Describe columns in [columns.NAME].")
        if self.target in self.columns or self.target in self.without:
            raise ConfigurationError(f"the target {self.target!r} is no column to learn from")
        if (self.data.dataset is None) == (not self.data.input):
            raise ConfigurationError("[data] has a `dataset`, or at least one [[data.input]]")
        if self.private is not None:
            self._check_private()
        elif self.search.sampler != "grid" and not (self.search.seconds or self.search.trials):
            hint = "Say [search] seconds = 60, or trials = 30."
            raise ConfigurationError("the search has no end", hint=hint)

    def _check_private(self) -> None:
        """Refuses what a private training would not keep to."""
        usual = {field.name: field.default for field in msgspec.structs.fields(self)}
        usual["columns"], usual["search"], usual["evaluation"] = (
            {},
            Settings(),
            EvaluationSettings(),
        )
        for name in _NOT_PRIVATE:
            if getattr(self, name) != usual[name]:
                message = f"`{name}` was given beside [private]"
                raise ConfigurationError(message, hint=f"State it in [private]: {_STATED}.")


def _default_of(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def read_configuration(path: str | os.PathLike[str]) -> Configuration:
    """Reads a file that says what is trained.

    Raises:
        PathError: it cannot be read.
        ConfigurationError: it is not TOML, or says what nobody understands.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise PathError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > LIMIT_BYTES:
        raise ConfigurationError(f"{path} has more than {LIMIT_BYTES} bytes")
    try:
        return msgspec.toml.decode(data, type=Configuration)
    except (ConfigurationError, InvalidRequestError) as error:
        raise ConfigurationError(f"{path}: {error}", hint=error.hint) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not as expected: {error}") from None


def told_of(configuration: Configuration) -> Configuration:
    """The same without secrets: what may be written beside a package."""
    inputs = [each.without_secrets() for each in configuration.data.input]
    data = msgspec.structs.replace(configuration.data, input=inputs)
    return msgspec.structs.replace(configuration, data=data)


def recipe_in(data: InputData, environment: Mapping[str, str] | None = None) -> Recipe:
    """What is collected, where no dataset is named.

    Raises:
        ConfigurationError: an input is not as it should be.
        InputError: its schema cannot be read.
    """
    return recipe_of(data, "[data]", environment)
