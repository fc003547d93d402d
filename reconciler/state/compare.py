"""How the values of a field compare, what a new object has, and which values there can be at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, InvalidOperation

from reconciler.state.names import fold, same_text
from reconciler.state.units import UnitError, decimal, last_decimal
from reconciler.state.values import Value, json_value, numbers_of


def _equal(one: Value, other: Value) -> bool:
    return one == other


def _text(value: Value) -> bool:
    return value is None or isinstance(value, str)


def _map_of(kind: type) -> Callable[[Value], bool]:
    def valid(value: Value) -> bool:
        return isinstance(value, Mapping) and all(isinstance(v, kind) for v in value.values())

    return valid


def _same_stored(one: Value, other: Value) -> bool:
    return one == other or (isinstance(one, str) and isinstance(other, str) and same_text(one, other))


def _both_told(one: Value, other: Value) -> bool:
    return bool(one) and bool(other)  # the other side writes its own time


def _same_amount(wanted: Value, actual: Value) -> bool:
    """Finer than whoever keeps it prints is no difference."""
    try:
        number, kept = decimal(wanted), decimal(actual)
    except UnitError:
        return wanted == actual
    try:
        return number.quantize(last_decimal(kept), ROUND_DOWN) == kept
    except InvalidOperation:  # more digits than any money has
        return number == kept


def _if_known(one: Value, other: Value) -> bool:
    return one is None or other is None or one == other


def _as_text(told: object) -> Value:
    return told if isinstance(told, str) else None


def _as_set(told: object) -> Value:
    return frozenset(q for q in fold(told).split(",") if q) if isinstance(told, str) else frozenset()


def _joined(value: Value) -> object:
    return ",".join(sorted(value)) if isinstance(value, frozenset) else ""


def _as_share(told: object) -> Value:
    return told if isinstance(told, int | str) and not isinstance(told, bool) else None


@dataclass(frozen=True, eq=False)
class Compare:
    """One way to compare.

    ``fresh``: the value of a new object for which nothing was said; ``valid``: whether there can be such a value (a
    saved plan may hold anything); ``same``: whether a wanted and an actual value need no change; ``told``: the value
    of what a portal's free data (JSON) holds, ``tell`` the other way round; ``moment``: a time of the last write,
    which moves by itself.
    """

    word: str
    fresh: Value
    valid: Callable[[Value], bool]
    same: Callable[[Value, Value], bool] = _equal
    told: Callable[[object], Value] = _as_text
    tell: Callable[[Value], object] = json_value
    moment: bool = False


TEXT = Compare("text", "", _text)
#: free text, of which a database may keep ``?`` for characters beyond its charset
STORED_TEXT = Compare("stored text", "", _text, _same_stored)
MOMENT = Compare("moment", "", _text, _both_told, moment=True)
#: whole numbers by name; one that is not there is not set
NUMBERS = Compare("numbers", {}, _map_of(int), told=numbers_of)
SET = Compare("set", frozenset(), lambda value: isinstance(value, frozenset), told=_as_set, tell=_joined)
#: an int, None when not set
NUMBER = Compare("number", None, lambda value: value is None or isinstance(value, int))
#: an int, or "parent"
SHARE = Compare("share", 1, lambda value: value is None or isinstance(value, int) or value == "parent", told=_as_share)
#: a decimal text, kept with as many decimals as its keeper prints: what is finer than those is no difference
AMOUNT = Compare("amount", "0", _text, _same_amount)
#: a text that is not always known: it differs only from another one that is
IF_KNOWN = Compare("text, if known", None, _text, _if_known)
#: a text that the cluster gives by itself: another one is no difference
GIVEN = Compare("text, given by the cluster", None, _text, lambda one, other: True)
#: decimal texts by name
AMOUNTS = Compare("amounts", {}, _map_of(str))
