"""What portals are told about their periodic policies: which commands ran for a resource, and what went wrong.

A report decides nothing: whoever may not make it is noticed once, and what goes wrong with one is said.
"""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.apply.record import Record
from reconciler.errors import DeniedError, GoneError, ReconcileError
from reconciler.providers.portal import Portal
from reconciler.state import waldur
from reconciler.state.diff import Change
from reconciler.state.names import fold

#: what a portal that takes no reports has no place for
REPORTS = "command results of periodic policies"


def report(record: Record, portals: Mapping[str, Portal], absent: Mapping[str, frozenset[str]]) -> None:
    """Tell of every account whose settings by a policy were changed, or could not be."""
    uuids = _resources(record)
    for change in record.plan.changes:
        offering = min(change.offerings, default="")
        facts = record.plan.told.facts.get(offering)
        rules = facts.rules if facts is not None else None
        uuid = uuids.get((offering, change.address.key[0]), "")
        if rules is None or not rules.uuid or not uuid or not set(change.kind.ruled) & set(change.changed()):
            continue
        if REPORTS in {*absent.get(offering, ()), *record.outcome.absent.get(offering, ())}:
            continue
        _tell(record, portals[offering], offering, (rules.uuid, uuid), change)


def _tell(record: Record, portal: Portal, offering: str, about: tuple[str, str], change: Change) -> None:
    commands, error = record.commands.get(change.address, ()), record.outcome.failures.get(change.address, "")
    if portal.policies is None or not (commands or error):
        return
    try:
        portal.policies.report(*about, commands, error)
    except (DeniedError, GoneError):
        record.outcome.absent.setdefault(offering, set()).add(REPORTS)
    except ReconcileError as problem:
        record.outcome.unreported[offering] = problem.message


def _resources(record: Record) -> dict[tuple[str, str], str]:
    """Resources by offering and account, with those that get theirs in this very run."""
    told = record.plan.told.facts
    found = {(name, fold(r.backend_id)): r.uuid for name, facts in told.items() for r in facts.resources}
    for change in record.plan.changes:
        account = (change.after or {}).get("backend_id")
        if change.address == waldur.resource(change.address.key[0]) and isinstance(account, str) and account:
            found[min(change.offerings, default=""), fold(account)] = change.address.key[0]
    return found
