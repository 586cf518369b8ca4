"""Rules of padding as one writes them on a command line.

- A rule is `COLUMN=VALUE[,start][,multiple-of=N][,lengths=A:B:C]`; the first `=` ends the name, and
  `end` may be said in the place of `start`.
- VALUE is a number where it looks like one, otherwise text. In double quotes it is text whatever it
  looks like, as in JSON, and may hold commas: `words="0"`.
- What follows a length is `OUTPUT=INPUT`.
- Nothing is guessed: a word that is unknown, said twice or no number is refused, with the rule.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from shoal.errors import InvalidRequestError
from shoal.values._padding import Padding

if TYPE_CHECKING:
    from collections.abc import Iterable

_WHOLE = re.compile(r"-?\d{1,20}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,400}(\.\d{1,400})?([eE][+-]?\d{1,4})?", re.ASCII)
_LENGTH = re.compile(r"\d{1,10}", re.ASCII)
_RULE_HINT = "A rule is COLUMN=VALUE[,start][,multiple-of=N][,lengths=A:B:C]."
_PAIR_HINT = "Say OUTPUT=INPUT, with a padded input."


def read_padding(rules: Iterable[str]) -> dict[str, Padding]:
    """Reads rules such as `ids=0,multiple-of=8`, one for each input column.

    Raises:
        InvalidRequestError: A rule cannot be read or does not make sense, or two are of one column.
    """
    found: dict[str, Padding] = {}
    for rule in rules:
        column, text = _halves(rule, "the padding", _RULE_HINT)
        if column in found:
            message = f"the padding {rule!r} is the second one of column {column!r}"
            raise InvalidRequestError(message, hint="Say one rule for each column.")
        try:
            found[column] = _rule(text)
        except InvalidRequestError as error:
            message = f"the padding {rule!r} cannot be used: {error}"
            raise InvalidRequestError(message, hint=error.hint or _RULE_HINT) from None
    return found


def read_follows(pairs: Iterable[str]) -> dict[str, str]:
    """Reads pairs such as `states=ids`: the padded input whose length an output has.

    Raises:
        InvalidRequestError: A pair has not two sides, or two are of one output.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        output, column = _halves(pair, "what follows", _PAIR_HINT)
        if output in found:
            message = f"what follows {pair!r} is the second one of output {output!r}"
            raise InvalidRequestError(message, hint="An output follows one input.")
        found[output] = column
    return found


def _halves(text: str, what: str, hint: str) -> tuple[str, str]:
    name, sign, rest = text.partition("=")
    if not (name and sign and rest):
        message = f"{what} {text!r} has not a name and something on both sides of ="
        raise InvalidRequestError(message, hint=hint)
    return name, rest


def _rule(text: str) -> Padding:
    value, rest = _value_first(text)
    chosen: dict[str, Any] = {}
    for word in rest.split(",")[1:]:
        name, choice = _choice(word)
        if name in chosen:
            raise InvalidRequestError(f"{word!r} says {name.replace('_', '-')} for the second time")
        chosen[name] = choice
    return Padding(value, **chosen)


def _value_first(text: str) -> tuple[int | float | str, str]:
    """The value, and what comes behind it, from its comma on."""
    if not text.startswith('"'):
        word, comma, rest = text.partition(",")
        return _value(word), comma + rest
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except ValueError as error:
        raise InvalidRequestError(f"its quoted text is no JSON: {error}") from None
    if text[end:] and text[end] != ",":
        raise InvalidRequestError(f"{text[end:]!r} follows its quoted text, expected a comma")
    return str(value), text[end:]


def _value(word: str) -> int | float | str:
    if not word:
        hint = 'Empty text is written "", in double quotes.'
        raise InvalidRequestError("it has no value to fill with", hint=hint)
    if _WHOLE.fullmatch(word):
        return int(word)
    return float(word) if _NUMBER.fullmatch(word) else word


def _choice(word: str) -> tuple[str, Any]:
    name, _, given = word.partition("=")
    if word in {"end", "start"}:
        return "at", word
    if name == "multiple-of":
        return "multiple_of", _length(given, word)
    if name == "lengths":
        return "lengths", tuple(_length(each, word) for each in given.split(":"))
    raise InvalidRequestError(
        f"{word!r} is unknown, expected start, end, multiple-of=N or lengths=A:B:C"
    )


def _length(text: str, word: str) -> int:
    if not _LENGTH.fullmatch(text):
        raise InvalidRequestError(f"{word!r} has {text!r}, expected a whole number")
    return int(text)
