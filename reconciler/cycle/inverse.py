"""The inverse of a run, from the journal's values before and after. Pure: it makes a desired state, never a command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.config.guards import lift
from reconciler.guards.money import ROLLBACK
from reconciler.state.diff import same
from reconciler.state.kinds import KINDS, Role, on_cluster, role_of
from reconciler.state.model import Address, Desired, Note, Obj, State
from reconciler.state.values import Refused, Value, Wanted, from_json, plain
from reconciler.store.journal import DISPROVED, DONE, FAILED, UNCONFIRMED, Entry


def inverse(entries: Sequence[Entry], actual: State, run: str, *, money: bool = False) -> Desired:
    """What should be there again. What changed since the run is refused, field by field; only the cluster is undone.

    ``money``: budgets that are objects of their own as well.
    """
    desired = Desired()
    # a command that timed out may have been carried out all the same; what is there tells
    unsure = {e.address for e in entries if e.outcome in (FAILED, DISPROVED)}
    odd = {e.address for e in entries if not _readable(e)}
    for text in sorted(odd):
        desired.refused.append(Note(Address.parse(text), "the journal does not hold its values whole: left alone"))
    for text, (before, after) in _net([e for e in entries if e.address not in odd]).items():
        address = Address.parse(text)
        reason = f"as it was before run {run}"
        if why := _kept(address, made=before is None, money=money):
            left = desired.refused if address.kind in KINDS and role_of(address) is Role.BUDGET else desired.waiting
            left.append(Note(address, why))
        elif after is None and role_of(address) is Role.BUDGET:
            desired.refused.append(Note(address, "is not made again: what was spent of it would be given twice"))
        elif before is None:
            present = actual.get(address)
            if present is not None and text in unsure:
                desired.refused.append(Note(address, "that run tried to make it and failed: left alone, see to it"))
            elif present is not None and _moved(address, after or {}, present):
                desired.refused.append(Note(address, "was made by that run and changed since: left alone"))
            elif present is not None:
                desired.absent[address] = Obj({}, f"{reason}: it did not exist")
        elif after is None and address in actual and text in unsure:
            continue  # it could not be removed
        elif after is None and address in actual:
            desired.refused.append(Note(address, "was removed by that run and made again since: left alone"))
        elif after is None or address not in actual:
            desired.objects[address] = Obj(dict(before), reason)
        else:
            desired.objects[address] = Obj(_fields(address, before, after, actual[address]), reason)
    return desired


def _kept(address: Address, *, made: bool, money: bool) -> str:
    """Why an object is never taken back, or nothing; ``made``: by that run."""
    if address.kind not in KINDS or not on_cluster(address):
        return "is not taken back: only the cluster's accounts and settings are"
    if role_of(address) is Role.BUDGET and not money:
        return f"is not taken back, as that moves money {lift(ROLLBACK)}"
    shared = made and role_of(address) is Role.CATALOG
    return "is not taken back: others may use it by now" if shared else ""


def _net(entries: Sequence[Entry]) -> dict[str, tuple[Mapping[str, Value] | None, Mapping[str, Value] | None]]:
    """By address, the values before its first and after its last change; what was never seen to end counts as well."""
    found: dict[str, tuple[Mapping[str, Value] | None, Mapping[str, Value] | None]] = {}
    for entry in entries:
        if entry.outcome in (DONE, UNCONFIRMED, FAILED, DISPROVED, ""):
            first = found[entry.address][0] if entry.address in found else _values(entry.before)
            found[entry.address] = (first, _values(entry.after) if entry.action != "delete" else None)
    return found


def _readable(entry: Entry) -> bool:
    try:
        _values(entry.before), _values(entry.after)
    except ValueError:
        return False
    return True


def _moved(address: Address, after: Mapping[str, Value], present: Obj) -> bool:
    return any(not same(address, name, value, plain(present.values.get(name))) for name, value in after.items())


def _fields(
    address: Address, before: Mapping[str, Value], after: Mapping[str, Value], present: Obj
) -> dict[str, Wanted]:
    wanted: dict[str, Wanted] = {}
    for name, value in after.items():
        # counters that began anew cannot be given back what they had counted
        if name in before and before[name] != value and name != KINDS[address.kind].renews:
            now = present.values.get(name)
            moved = not any(same(address, name, known, plain(now)) for known in (value, before[name]))
            wanted[name] = Refused(before[name], f"it was changed since the run, to {now!r}") if moved else before[name]
    return wanted


def _values(values: Mapping[str, Any] | None) -> dict[str, Value] | None:
    return None if values is None else {n: from_json(v) for n, v in values.items()}
