"""The first run against a cluster: what the configuration will own there, said before anything is done. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.config import Config, Offering
from reconciler.state.kinds import KINDS, Kind, is_account, is_member
from reconciler.state.model import Desired, State
from reconciler.state.tree import Shape
from reconciler.state.values import UNMANAGED


def preface(config: Config, offerings: Sequence[Offering], desired: Desired, actual: State, shape: Shape) -> list[str]:
    """What will be owned, how much of it there is, and which key leaves it alone."""
    lines = [
        "First run against this cluster: nothing is remembered of it. With this configuration reconcile owns here:",
        *_owned(config, offerings, desired, actual, shape),
        "  Nothing else is touched. A limit that falls is shown and not applied, until a run with --allow limit_cuts.",
    ]
    only_usage = [o.name for o in offerings if _only_usage(o)]
    if only_usage:
        lines.append(
            f"  Offering {', '.join(only_usage)} bills usage alone. Where the agent ran in report mode (-m report), "
            "limits and order_processing_backend were not used: run `reconcile usage report` (apply --mode report) "
            'instead, or set order_processing_backend and membership_sync_backend to "".'
        )
    return lines


def _owned(config: Config, offerings: Sequence[Offering], desired: Desired, actual: State, shape: Shape) -> list[str]:
    accounts = [a for a in desired.objects if is_account(a)]
    kind = KINDS[shape.budget or shape.account]
    budgets = [a for a in desired.objects if a.kind == kind.name]
    limited = [a for a in budgets if desired.objects[a].values.get(kind.budget, UNMANAGED) is not UNMANAGED]
    members = [a for a in desired.objects if is_member(a)]
    made = sum(a not in actual for a in accounts)
    added = sum(a not in actual for a in members)
    rows: list[tuple[str, str, str]] = []
    if any(o.owns_accounts for o in offerings):
        owned = f"{len(accounts)} ({made} to be made): {_fields(KINDS[shape.account])}; orders of customers"
        rows.append(("accounts", owned, 'order_processing_backend: ""'))
        rows.append(("limits", f"{_title(kind)} of {len(limited)} accounts", "reconcile.limits_owner: cluster"))
    if any(o.owns_members for o in offerings):
        rows.append(("members", f"{len(members)} ({added} to be added)", 'membership_sync_backend: ""'))
    if config.reconcile.qos and KINDS[shape.account].refers:
        rows.append(("QoS", ", ".join(sorted(config.reconcile.qos)), "reconcile.qos"))
    homes = [o.name for o in offerings if o.backend_settings.enable_user_homedir_account_creation]
    if homes and members:
        rows.append(("homes", "directories of members", "enable_user_homedir_account_creation: false"))
    if any(o.reports for o in offerings):
        rows.append(("usage", "what Waldur is told of it", 'reporting_backend: ""'))
    return [f"  {what:<9} {how_many}; left alone by {key}" for what, how_many, key in rows]


def _fields(kind: Kind) -> str:
    """What is looked after of an account, in words."""
    qos = ("QoS",) if kind.refers else ()
    return ", ".join((*((kind.above,) if kind.above else ()), "texts", *qos, "limits"))


def _title(kind: Kind) -> str:
    """What the cluster's own documentation calls the limit."""
    return kind.field(kind.budget).title if kind.budget else "limits"


def _only_usage(offering: Offering) -> bool:
    components = offering.backend_components.values()
    billed = bool(components) and all(c.accounting_type == "usage" for c in components)
    return billed and offering.reports and offering.owns_accounts
