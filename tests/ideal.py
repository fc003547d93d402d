"""What changes would make of a state on an ideal cluster: the model that proofs use."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.state.diff import Action, Change, values_of
from reconciler.state.kinds import KINDS
from reconciler.state.model import Obj, State


def overlay(state: State, changes: Iterable[Change]) -> State:
    """The state after these changes."""
    result = dict(state)
    for change in changes:
        if change.blocked:
            continue
        if change.action is Action.DELETE:
            result.pop(change.address, None)
        else:
            fresh = {f.name: f.fresh for f in KINDS[change.address.kind].fields}
            base = values_of(result[change.address]) if change.address in result else fresh
            after = change.after or {}
            result[change.address] = Obj({**base, **{n: after[n] for n in change.changed()}})
    return result
