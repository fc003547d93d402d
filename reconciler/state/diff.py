"""The difference between two states, keyed by address: create, update, delete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from reconciler.state.kinds import KINDS, Field, Kind
from reconciler.state.model import Address, Desired, Obj, State
from reconciler.state.values import UNMANAGED, Constraint, Refused, Value, Wanted, accepts, plain, target


class Action(StrEnum):
    """What happens to an object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """One object's difference. ``before`` is what must still be there when it is applied.

    ``after`` has the managed fields of a new object, or all known fields of an updated one. A change with
    ``blocked`` is shown and never applied; ``blocked`` says why and what lifts it.
    """

    address: Address
    action: Action
    before: Mapping[str, Value] | None
    after: Mapping[str, Value] | None
    reason: str = ""
    offerings: frozenset[str] = frozenset()
    blocked: str = ""
    jobs: tuple[str, ...] = ()  # numbers of running and pending jobs that a deletion cancels
    last: bool = False  # a user's default account, which SLURM only removes as the last one
    needs: frozenset[Address] = frozenset()  # objects whose change must have succeeded before this one
    ends: str = ""  # the resource that an order ends, where its last usage has to be told before the order is done
    aside: bool = False  # blocked, and in nobody's way: all else about the object goes on

    @property
    def kind(self) -> Kind:
        """The kind of its object."""
        return KINDS[self.address.kind]

    def changed(self) -> tuple[str, ...]:
        """Names of the fields that get another value, in the kind's order."""
        before, after = self.before or {}, self.after or {}
        return tuple(
            f.name
            for f in self.kind.fields
            if f.name in after and (self.before is None or before.get(f.name) != after[f.name])
        )


def values_of(obj: Obj) -> dict[str, Value]:
    """The plain values of an actual object."""
    return {name: plain(value) for name, value in obj.values.items()}


def diff(desired: Desired, actual: State) -> list[Change]:
    """All changes that turn ``actual`` into ``desired``. Held objects and what is in neither are left out.

    Pure: no clock, no I/O. Fields that only differ as :class:`Refused` become a blocked change of their
    own, so that the other fields of the object go on.
    """
    changes: list[Change] = []
    same: set[tuple[int, int]] = set()  # pairs of shared value maps already seen to be equal
    for address, wanted in desired.objects.items():
        if address in desired.held:
            continue
        present = actual.get(address)
        if present is None:
            changes.append(_create(address, wanted))
            continue
        pair = (id(wanted.values), id(present.values))
        if pair in same:
            continue
        found = list(_updates(address, wanted, present))
        if found:
            changes += found
        else:
            same.add(pair)
    for address, gone in desired.absent.items():
        present = actual.get(address)
        if present is not None and address not in desired.held:
            before = values_of(present)
            changes.append(Change(address, Action.DELETE, before, None, gone.reason, gone.offerings, needs=gone.needs))
    return changes


def _create(address: Address, wanted: Obj) -> Change:
    fields = KINDS[address.kind].by_name
    after = {
        name: target(value, fields[name].fresh)
        for name, value in wanted.values.items()
        # what a new object has by itself need not be written where it is one of several acceptable values
        if value is not UNMANAGED and not (isinstance(value, Constraint) and accepts(value, fields[name].fresh))
    }
    refused = [f"{n}: {v.why}" for n, v in wanted.values.items() if isinstance(v, Refused)]
    return Change(
        address,
        Action.CREATE,
        None,
        after,
        wanted.reason,
        wanted.offerings,
        blocked="; ".join(refused),
        needs=wanted.needs,
    )


def _updates(address: Address, wanted: Obj, present: Obj) -> Iterable[Change]:
    before, kind = present.values, KINDS[address.kind]
    writable: dict[str, Value] = {}
    refused: dict[str, Value] = {}
    why: list[str] = []
    moved = kind.above in wanted.values and not accepts(wanted.values[kind.above], plain(before.get(kind.above)))
    for name, want in wanted.values.items():
        have = plain(before.get(name))
        # what is inherited may change when the object moves, so it is written down
        written_down = moved and name in present.inherited and want is not UNMANAGED
        if not written_down and _satisfied(kind.by_name[name], want, have):
            continue
        if isinstance(want, Refused):
            refused[name] = target(want, have)
            why.append(f"{name}: {want.why}")
        else:
            writable[name] = target(want, have)
    old = values_of(present)
    if writable:
        after = {**old, **writable}
        yield Change(address, Action.UPDATE, old, after, wanted.reason, wanted.offerings, needs=wanted.needs)
    if refused:
        yield Change(
            address,
            Action.UPDATE,
            old,
            {**old, **refused},
            wanted.reason,
            wanted.offerings,
            blocked="; ".join(why),
            needs=wanted.needs,
        )


def _satisfied(field: Field, want: Wanted, have: Value) -> bool:
    if want is UNMANAGED or isinstance(want, Constraint | Refused):
        return accepts(want, have)
    return want == have or field.compare.same(plain(want), have)


def same(address: Address, name: str, wanted: Value, actual: Value) -> bool:
    """Whether two values of an object's field are the same to whoever keeps it."""
    compared = KINDS[address.kind].by_name[name].compare
    return compared.same(wanted, actual) if compared.moment else wanted == actual or compared.same(wanted, actual)
