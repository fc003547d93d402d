"""Objects at addresses in states: the vocabulary everything else speaks.

A *state* maps an :class:`Address` to an :class:`Obj`; what should be is a :class:`Desired`.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from reconciler.state.values import Wanted


class Address(NamedTuple):
    """``waldur.order["uuid"]``: the kind of an object and its key."""

    kind: str
    key: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}[{','.join(json.dumps(k, ensure_ascii=False) for k in self.key)}]"

    def matches(self, pattern: str) -> bool:
        """Whether a ``--target`` glob names this address; quotes may be left out (shells eat them)."""
        text = str(self)
        plain = text.replace('"', "")
        wanted = pattern.replace('"', "").replace("'", "")
        return plain == wanted or fnmatch.fnmatchcase(plain, _literal_brackets(wanted))

    @classmethod
    def parse(cls, text: str) -> Address:
        """The inverse of ``str``. Raises ``ValueError``."""
        match = re.fullmatch(r"([a-z_.]+)\[(.*)\]", text, re.DOTALL)
        if not match:
            raise ValueError(f'not an address: {text!r} (like waldur.order["uuid"])')
        key = json.loads(f"[{match[2]}]")
        if not key or not all(isinstance(k, str) for k in key):
            raise ValueError(f'not an address: {text!r} (like waldur.order["uuid"])')
        return cls(match[1], tuple(key))


def _literal_brackets(pattern: str) -> str:
    """In addresses brackets are literal, only ``*`` and ``?`` are wildcards."""
    return pattern.replace("[", "[[]")


@dataclass(frozen=True, slots=True)
class Obj:
    """One object. ``values`` holds every field of its kind that is known.

    ``inherited`` names fields whose value comes from a parent; ``reason`` (desired side) says which
    resource and which rule asks for the object; ``offerings`` are the offerings it belongs to; ``needs``
    are objects whose change must have succeeded before (beyond what the kind itself depends on); ``beside``
    (actual side) is what the object has besides its fields, which only the provider that read it understands:
    it finds the object by it, or keeps it when it writes the whole.
    """

    values: Mapping[str, Wanted]
    reason: str = ""
    offerings: frozenset[str] = frozenset()
    inherited: frozenset[str] = frozenset()
    needs: frozenset[Address] = frozenset()
    beside: Mapping[str, object] | None = field(default=None, compare=False, repr=False)


State = dict[Address, Obj]


@dataclass(frozen=True, slots=True)
class Note:
    """Something about an object that a person should know; ``address`` may be a Waldur one."""

    address: Address
    text: str
    offering: str = ""


@dataclass
class Desired:
    """What should be, and everything the builder has to say about it.

    ``absent``: objects that should not exist (removed); ``held``: neither created, changed nor deleted,
    because it is unclear what they should be; ``orphans``: they look like ours and nobody claims them;
    ``forgiven``: what an object's counters have counted that is forgotten when they begin anew, as (used, limit).
    """

    objects: State = field(default_factory=dict)
    absent: State = field(default_factory=dict)
    held: dict[Address, str] = field(default_factory=dict)
    orphans: list[Note] = field(default_factory=list)
    refused: list[Note] = field(default_factory=list)
    waiting: list[Note] = field(default_factory=list)
    warnings: list[Note] = field(default_factory=list)
    forgiven: dict[Address, dict[str, tuple[int, int | None]]] = field(default_factory=dict)
