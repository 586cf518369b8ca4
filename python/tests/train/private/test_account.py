"""Budgets and accounts: what is spent adds up, and what would go above is refused."""

from __future__ import annotations

import copy
import pickle

import msgspec
import pytest

from shoal.errors import BudgetError, InvalidRequestError
from shoal.train import Account, Budget, GradientClassifier, PrivacySpent
from shoal.train._private._plan import epsilon_of_each, spend_on_training, steps_of
from shoal.train._private._spent import Bounded, SampledGaussian, Use

STEPS = steps_of(records=1000, batch_records=100, epochs=10, parameters=50)


def choice(epsilon: float) -> Use:
    return Use("selection", "exponential mechanism", Bounded(epsilon))


def test_training_takes_all_that_earlier_uses_left() -> None:
    account = Account(Budget(3.0, 1e-5), records=1000)
    account.spend(choice(0.5))
    alone = Account(Budget(3.0, 1e-5), records=1000).noise_for(sampling_rate=0.1, steps=100)
    noise = spend_on_training(account, STEPS, None, clip_norm=1.0)
    assert alone is not None
    assert noise > alone
    assert 2.97 < account.epsilon <= 3.0
    with pytest.raises(BudgetError, match=r"threshold would bring epsilon from 2.99") as caught:
        account.spend(msgspec.structs.replace(choice(0.5), purpose="threshold"))
    assert caught.value.code == "privacy_budget_exceeded"
    assert len(account.spent.uses) == 2


def test_a_part_of_an_account_leaves_the_rest() -> None:
    account = Account(Budget(3.0, 1e-5), records=1000)
    spend_on_training(account, STEPS, 1.0, clip_norm=1.0)
    spend_on_training(account, STEPS, 1.0, clip_norm=1.0)
    assert 1.0 < account.epsilon < 2.0  # two trainings together cost less than their sum
    account.spend(choice(0.9))
    assert account.epsilon <= 3.0


def test_an_epsilon_too_small_to_train_says_the_smallest_that_works() -> None:
    account = Account(Budget(0.01, 1e-5), records=1000)
    with pytest.raises(BudgetError, match=r"epsilon 0.01 is too small to train") as caught:
        spend_on_training(account, STEPS, None, clip_norm=1.0)
    assert account.spent.uses == ()
    smallest = float(str(caught.value).split()[-1])
    spend_on_training(Account(Budget(smallest, 1e-5), records=1000), STEPS, None, clip_norm=1.0)
    too_small = Account(Budget(smallest * 0.97, 1e-5), records=1000)
    with pytest.raises(BudgetError, match="too small to train"):
        spend_on_training(too_small, STEPS, None, clip_norm=1.0)


def test_a_budget_too_small_for_one_more_fit_says_what_is_needed() -> None:
    account = Account(Budget(1.0, 1e-5), records=1000)
    account.spend(choice(0.9999))
    with pytest.raises(BudgetError, match="too small for one fit") as caught:
        spend_on_training(account, STEPS, None, clip_norm=1.0)
    needed = float(str(caught.value).split()[-1])
    larger = Account(Budget(needed, 1e-5), records=1000)
    larger.spend(choice(0.9999))
    spend_on_training(larger, STEPS, None, clip_norm=1.0)


def test_a_delta_that_could_publish_a_record_is_refused() -> None:
    with pytest.raises(
        BudgetError, match=r"delta is 0.001 for 1000 records, expected below 1/1000"
    ):
        Account(Budget(1.0, 0.001), records=1000)


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(0.0, 1e-6), (-1.0, 1e-6), (float("inf"), 1e-6), (1.0, 0.0), (1.0, 1.0)]
)
def test_a_budget_that_promises_nothing_is_refused(epsilon: float, delta: float) -> None:
    with pytest.raises(InvalidRequestError, match="expected"):
        Budget(epsilon, delta)


def test_an_account_is_never_two() -> None:
    account = Account(Budget(1.0, 1e-5), records=1000)
    model = GradientClassifier(account)
    assert copy.deepcopy(account) is copy.copy(account) is account
    assert copy.deepcopy(model).budget is account
    with pytest.raises(InvalidRequestError, match="sent to another process"):
        pickle.dumps(account)


def test_what_was_spent_survives_json() -> None:
    account = Account(Budget(3.0, 1e-5), records=1000)
    account.spend(choice(0.5))
    spend_on_training(account, STEPS, None, clip_norm=1.0)
    account.take_as_public("the bounds of every column")
    spent = account.spent
    assert spent.private
    assert spent.public == ("the number of records: 1000", "the bounds of every column")
    assert isinstance(spent.uses[1].guarantee, SampledGaussian)
    assert spent.neighbours == "add_or_remove_one_record"
    assert msgspec.json.decode(msgspec.json.encode(spent), type=PrivacySpent) == spent


def test_the_accountant_by_divergences_is_the_careful_one() -> None:
    uses = (choice(0.5), Use("training", "DP-SGD", SampledGaussian(2.0, 0.1, 100)))
    epsilons = []
    for name in ("pld", "rdp"):
        account = Account(Budget(30.0, 1e-5), records=1000, accountant=name)
        for use in uses:
            account.spend(use)
        assert account.spent.accountant == name
        epsilons.append(account.epsilon)
    assert epsilons[0] < epsilons[1]


def test_what_one_part_of_the_records_spends_does_not_add_to_another() -> None:
    account = Account(Budget(3.0, 1e-5), records=1000)
    learning, testing = account.part("learning", records=800), account.part("testing", records=200)
    spend_on_training(learning, STEPS, None, clip_norm=1.0)
    testing.spend(choice(2.9))
    assert 2.97 < learning.epsilon <= 3.0
    assert testing.epsilon <= 2.9 < account.epsilon <= 3.0
    with pytest.raises(BudgetError, match="selection would bring epsilon"):
        testing.spend(choice(0.5))
    spent = account.spent
    assert spent == learning.spent
    assert [use.part for use in spent.uses] == ["learning", "testing"]
    assert [(part.name, part.records) for part in spent.parts] == [
        ("learning", 800),
        ("testing", 200),
    ]
    assert spent.epsilon == max(part.epsilon for part in spent.parts)
    assert msgspec.json.decode(msgspec.json.encode(spent), type=PrivacySpent) == spent


def test_what_all_records_spend_counts_in_every_part() -> None:
    account = Account(Budget(3.0, 1e-5), records=1000)
    part = account.part("testing", records=200)
    account.spend(choice(1.0))
    part.spend(choice(1.9))
    assert 2.8 < part.epsilon <= 3.0
    with pytest.raises(BudgetError):
        account.spend(choice(0.5))
    left = account.noise_for(sampling_rate=0.1, steps=100)
    alone = Account(Budget(3.0, 1e-5), records=1000).noise_for(sampling_rate=0.1, steps=100)
    assert left is not None
    assert alone is not None
    assert left > alone


def test_a_record_is_in_one_part_only() -> None:
    account = Account(Budget(3.0, 1e-5), records=1000)
    part = account.part("learning", records=800)
    with pytest.raises(
        InvalidRequestError, match="201 records of 1000, and 800 are in other parts"
    ):
        account.part("testing", records=201)
    with pytest.raises(InvalidRequestError, match="there is a part 'learning' already"):
        account.part("learning", records=1)
    with pytest.raises(InvalidRequestError, match="part 'learning' was to be cut"):
        part.part("more", records=1)


def test_several_trainings_fit_a_budget_together() -> None:
    account = Account(Budget(1.0, 1e-5), records=1000)
    each = epsilon_of_each(account, [STEPS] * 4)
    assert each is not None
    for _ in range(4):
        spend_on_training(account, STEPS, each, clip_norm=1.0)
    assert 0.97 < account.epsilon <= 1.0
