"""Rules of padding in words, as the command line takes them."""

from __future__ import annotations

import pytest

from shoal.errors import InvalidRequestError
from shoal.values import Padding, read_follows, read_padding


@pytest.mark.parametrize(
    ("rule", "column", "padding"),
    [
        ("ids=0", "ids", Padding(0)),
        ("ids=-1,end", "ids", Padding(-1)),
        ("ids=0,start,multiple-of=8", "ids", Padding(0, at="start", multiple_of=8)),
        ("ids=0,lengths=16:64:256", "ids", Padding(0, lengths=(16, 64, 256))),
        ("ids=0,lengths=7,start", "ids", Padding(0, at="start", lengths=(7,))),
        ("series=0.5", "series", Padding(0.5)),
        ("series=-1e3", "series", Padding(-1000.0)),
        ("series=NaN", "series", Padding("NaN")),
        ("words=[PAD]", "words", Padding("[PAD]")),
        ('words="0"', "words", Padding("0")),
        ('words="a,\\"b\\"=c",start', "words", Padding('a,"b"=c', at="start")),
        ('words=""', "words", Padding("")),
        ("words= ", "words", Padding(" ")),
        ("words=a=b", "words", Padding("a=b")),
        ("a column=0", "a column", Padding(0)),
    ],
)
def test_a_rule_is_read_as_it_would_be_said_in_python(
    rule: str, column: str, padding: Padding
) -> None:
    found = read_padding([rule])
    assert found == {column: padding}
    assert type(found[column].value) is type(padding.value)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (["ids"], "has not a name"),
        (["=0"], "has not a name"),
        (["ids="], "has not a name"),
        (["ids=,start"], "no value to fill with"),
        (["ids=0,middle"], "'middle' is unknown"),
        (["ids=0,"], "'' is unknown"),
        (["ids=0,start=1"], "'start=1' is unknown"),
        (["ids=0,multiple-of=eight"], "has 'eight', expected a whole number"),
        (["ids=0,multiple-of"], "has '', expected a whole number"),
        (["ids=0,multiple-of=-8"], "has '-8', expected a whole number"),
        (["ids=0,multiple-of=0"], "multiples of at least 1"),
        (["ids=0,multiple-of=9999999999"], "outside of 1.."),
        (["ids=0,multiple-of=" + "9" * 5000], "expected a whole number"),
        (["ids=0,lengths=8:x"], "has 'x', expected a whole number"),
        (["ids=0,lengths=8:4"], "do not ascend"),
        (["ids=0,lengths=8,multiple-of=8"], "at most one of them"),
        (["ids=0,start,end"], "'end' says at for the second time"),
        (["ids=0,multiple-of=8,multiple-of=8"], "says multiple-of for the second time"),
        (['words="a'], "is no JSON"),
        (['words="a"b'], "expected a comma"),
        (["ids=0", "ids=1"], "the second one of column 'ids'"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_with_the_rule_and_a_hint(
    rules: list[str], reason: str
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        read_padding(rules)
    assert reason in str(refusal.value)
    assert repr(rules[-1])[:40] in str(refusal.value)
    assert refusal.value.hint


def test_outputs_follow_one_input_each() -> None:
    assert read_follows(["states=ids", "more=ids"]) == {"states": "ids", "more": "ids"}
    for pairs in (["states"], ["states="], ["=ids"], ["states=ids", "states=mask"]):
        with pytest.raises(InvalidRequestError, match=pairs[-1]):
            read_follows(pairs)
