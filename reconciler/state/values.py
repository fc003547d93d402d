"""Values of fields: plain ones, and wanted ones that leave room for what is there.

A desired field may be a plain value, ``UNMANAGED`` (never compared, never written), a :class:`Constraint` (several
values are fine) or :class:`Refused` (wanted, but it must not be written, with the reason).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

#: whole numbers by name; one that is not there is not set
Numbers = Mapping[str, int]
#: decimal texts by name
Amounts = Mapping[str, str]
Value = None | str | int | frozenset[str] | Numbers | Amounts


class _Unmanaged(Enum):
    UNMANAGED = "unmanaged"

    def __repr__(self) -> str:
        return "UNMANAGED"


UNMANAGED: Final = _Unmanaged.UNMANAGED


class Constraint(ABC):
    """A desired value that more than one actual value satisfies."""

    __slots__ = ()

    @abstractmethod
    def accepts(self, actual: Value) -> bool:
        """Whether the actual value needs no change."""

    @abstractmethod
    def target(self, actual: Value) -> Value:
        """The value to write when it does."""


@dataclass(frozen=True, slots=True)
class Unless(Constraint):
    """Anything will do except the refused values; ``wanted`` is written instead of those."""

    wanted: Value
    refused: frozenset[Value]

    def accepts(self, actual: Value) -> bool:
        """True when the actual value is none of the refused ones."""
        return actual not in self.refused

    def target(self, actual: Value) -> Value:
        """Always the wanted value."""
        return self.wanted


@dataclass(frozen=True, slots=True)
class AtLeast(Constraint):
    """A set that contains ``wanted`` and none of ``refused``; more elements are somebody else's."""

    wanted: frozenset[str]
    refused: frozenset[str] = frozenset()

    def accepts(self, actual: Value) -> bool:
        """True when nothing wanted is missing and nothing refused is there."""
        return isinstance(actual, frozenset) and self.wanted <= actual and not (self.refused & actual)

    def target(self, actual: Value) -> Value:
        """The wanted elements, with what else was there and is not refused."""
        return self.wanted | (actual - self.refused) if isinstance(actual, frozenset) else self.wanted


@dataclass(frozen=True)
class Except(Constraint):
    """A TRES map where some TRES have no owner here and stay as they are."""

    wanted: Numbers
    unmanaged: frozenset[str]

    def accepts(self, actual: Value) -> bool:
        """True when the managed TRES are as wanted."""
        return self.target(actual) == (actual if isinstance(actual, Mapping) else {})

    def target(self, actual: Value) -> Value:
        """The wanted TRES beside the unmanaged ones as they are."""
        kept = {k: v for k, v in numbers_of(actual).items() if k in self.unmanaged}
        return {**kept, **self.wanted}


@dataclass(frozen=True, slots=True)
class Mode(Constraint):
    """Permissions of a directory that its owner may choose: usable for the owner, not writable for everybody.

    Modes are octal text. ``wanted`` is written to any other one.
    """

    wanted: str

    def accepts(self, actual: Value) -> bool:
        """True for the wanted mode, and for any other where the owner has rwx and the world no w."""
        if not isinstance(actual, str) or not re.fullmatch("[0-7]{1,5}", actual):
            return False
        return actual == self.wanted or int(actual, 8) & 0o702 == 0o700

    def target(self, actual: Value) -> Value:
        """Always the wanted mode."""
        return self.wanted


@dataclass(frozen=True)
class Within(Constraint):
    """A TRES map of which only the ``managed`` TRES have an owner here; what is not wanted of them is cleared."""

    wanted: Numbers
    managed: frozenset[str]

    def accepts(self, actual: Value) -> bool:
        """True when the managed TRES are as wanted."""
        return self.target(actual) == (actual if isinstance(actual, Mapping) else {})

    def target(self, actual: Value) -> Value:
        """The wanted TRES beside those of others."""
        kept = {k: v for k, v in numbers_of(actual).items() if k not in self.managed}
        return {**kept, **self.wanted}


@dataclass(frozen=True, slots=True)
class Since(Constraint):
    """A moment (ISO 8601, UTC) that may be any from ``earliest`` on; ``now`` is written where it is older."""

    now: str
    earliest: str

    def accepts(self, actual: Value) -> bool:
        """True when the moment is recent enough."""
        return isinstance(actual, str) and actual >= self.earliest

    def target(self, actual: Value) -> Value:
        """The present moment."""
        return self.now


@dataclass(frozen=True, slots=True)
class OneOf(Constraint):
    """What is wanted, or any of some other values, which are left as they are."""

    wanted: Value | Constraint
    accepted: frozenset[Value]

    def accepts(self, actual: Value) -> bool:
        """True for each of them."""
        return actual in self.accepted or accepts(self.wanted, actual)

    def target(self, actual: Value) -> Value:
        """As it is wanted."""
        return target(self.wanted, actual)


@dataclass(frozen=True)
class AtFirst(Constraint):
    """A value for what has none; whatever else is there stays."""

    wanted: Numbers

    def accepts(self, actual: Value) -> bool:
        """True for anything but nothing."""
        return bool(actual) or not self.wanted

    def target(self, actual: Value) -> Value:
        """Always the wanted value."""
        return self.wanted


@dataclass(frozen=True, slots=True)
class IfKnown(Constraint):
    """A value of a field that may be unknown, which is no difference."""

    wanted: Value

    def accepts(self, actual: Value) -> bool:
        """True for the wanted value, and where nobody knows."""
        return actual is None or actual == self.wanted

    def target(self, actual: Value) -> Value:
        """Always the wanted value."""
        return self.wanted


@dataclass(frozen=True)
class Refused:
    """A wanted value that cannot or must not be written, and why.

    ``final``: what was ordered is to blame, so that no change of the site's settings would mend it.
    """

    wanted: Value | Constraint
    why: str
    final: bool = False


Wanted = Value | _Unmanaged | Constraint | Refused


def numbers_of(value: object) -> dict[str, int]:
    """The TRES of a field's value; empty for a value of another shape."""
    return {k: v for k, v in value.items() if isinstance(v, int)} if isinstance(value, Mapping) else {}


def amounts_of(value: object) -> dict[str, str]:
    """The amounts of a field's value; empty for a value of another shape."""
    return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, Mapping) else {}


def plain(value: Wanted) -> Value:
    """A value of an actual object, which holds nothing but plain ones."""
    return value  # type: ignore[return-value]


def accepts(wanted: Wanted, actual: Value) -> bool:
    """Whether an actual value satisfies a wanted one."""
    if wanted is UNMANAGED:
        return True
    if isinstance(wanted, Refused):
        return False  # a person has to look, whatever the cluster happens to have
    if isinstance(wanted, Constraint):
        return wanted.accepts(actual)
    return wanted == actual


def target(wanted: Wanted, actual: Value) -> Value:
    """The value that a write would give the field."""
    if isinstance(wanted, _Unmanaged):
        return actual
    if isinstance(wanted, Refused):
        return target(wanted.wanted, actual)
    if isinstance(wanted, Constraint):
        return wanted.target(actual)
    return wanted


def json_value(value: Value) -> object:
    """A value as JSON: sets as sorted lists, TRES as sorted objects. It never raises: errors hold it."""
    if isinstance(value, frozenset):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(sorted(value.items(), key=lambda item: str(item[0])))
    return value


def from_json(value: object) -> Value:
    """The inverse of :func:`json_value`. Raises ``ValueError`` for anything it never gives."""
    if value is None or isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return frozenset(value)
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        for kind in (int, str):
            if all(isinstance(v, kind) for v in value.values()):
                return dict(value)
    raise ValueError(f"not a field value: {value!r}")
