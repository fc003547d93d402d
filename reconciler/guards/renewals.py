"""Counters that begin anew late in a period: what was used of it by then would be forgotten. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reconciler.config import Guards
from reconciler.config.guards import lift
from reconciler.state.diff import Change
from reconciler.state.model import Desired

KEY = "late_reset"


def late(
    changes: Sequence[Change], desired: Desired, guards: Guards, allowed: frozenset[str] = frozenset()
) -> list[Change]:
    """Block them where more would be forgotten than the share of the site; what else is changed goes on."""
    result: list[Change] = []
    for change in changes:
        name = change.kind.renews
        lost = desired.forgiven.get(change.address, {}) if name in change.changed() and not change.blocked else {}
        words = _much(lost, guards.late_reset)
        if not words or KEY in allowed:
            result.append(change)
            continue
        before, after = change.before or {}, change.after or {}
        live = replace(change, after={**after, name: before.get(name)})
        why = f"its counters should have begun anew earlier, and by now that would forgive {words} {lift(KEY)}"
        blocked = replace(change, after={**before, name: after[name]}, blocked=why, aside=True)
        result += [*([live] if live.changed() else []), blocked]
    return result


def _much(lost: Mapping[str, tuple[int, int | None]], share: float) -> str:
    """What would be forgotten, where that is more than a share of what may be used."""
    found = [(n, used, limit) for n, (used, limit) in sorted(lost.items()) if used > (limit or 0) * share]
    return ", ".join(
        f"{used} minutes of {n}" + (f" (of {limit})" if limit is not None else "") for n, used, limit in found
    )
