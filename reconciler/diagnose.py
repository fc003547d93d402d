"""A plan restricted to one account, explained: what is expected, what is there, and the commands between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from reconciler.config import Offering
from reconciler.cycle import Planned
from reconciler.state import kinds
from reconciler.state.diff import Action, Change, equal
from reconciler.state.facts import Resource
from reconciler.state.kinds import KINDS
from reconciler.state.model import UNMANAGED, Address, Obj, Refused, Value, accepts, json_value, plain, target
from reconciler.state.naming import fold
from reconciler.state.units import UnitError, decimal

#: SLURM's spelling of the fields, as reports use it
LABELS = {
    "grp_tres_mins": "GrpTRESMins",
    "grp_tres": "GrpTRES",
    "max_tres_mins": "MaxTRESMins",
    "grp_submit_jobs": "GrpSubmitJobs",
    "max_submit_jobs": "MaxSubmitJobs",
    "default_qos": "DefaultQOS",
    "default_account": "DefaultAccount",
}


@dataclass(frozen=True)
class Comparison:
    """One field, or one TRES of a field. ``status``: ok, mismatch or blocked."""

    field: str
    expected: object
    actual: object
    status: str
    reason: str = ""
    address: str = ""
    units: str = ""


@dataclass(frozen=True)
class Conversion:
    """How one Waldur amount became SLURM's."""

    component: str
    waldur_value: str
    waldur_unit: str
    tres: str
    factor: str
    slurm_value: int
    slurm_unit: str = "TRES-minutes"

    def text(self) -> str:
        """The sentence of the report."""
        return (
            f"Waldur: {self.waldur_value} {self.waldur_unit} -> SLURM: {self.slurm_value} {self.slurm_unit} "
            f"(factor: {self.factor})"
        )


@dataclass
class Report:
    """Everything about one account. ``status``: ok, mismatch, missing, refused, unmanaged, unknown."""

    account: str
    cluster: str
    status: str = "unknown"
    actual: Obj | None = None
    resource: Resource | None = None
    offering: Offering | None = None
    policy: Mapping[str, object] | None = None
    users: list[str] = field(default_factory=list)
    expected: dict[str, object] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    conversions: list[Conversion] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: bool = False

    @property
    def issues(self) -> int:
        """Number of differences."""
        return sum(c.status != "ok" for c in self.comparisons)


def diagnose(planned: Planned, name: str) -> Report | None:
    """The report on one account, or None when neither the cluster nor Waldur knows it."""
    account = fold(name)
    address = kinds.account(account)
    actual = planned.reading.state.get(address)
    wanted = planned.desired.objects.get(address)
    report = Report(account, planned.reading.cluster, actual=actual)
    report.offering, report.resource = planned.built.resources.get(account, (None, None))
    report.users = sorted(
        a.key[1] for a in planned.reading.state if a.kind == "slurm.association" and a.key[0] == account
    )
    report.notes = _notes(planned, account)
    if actual is None and wanted is None and not report.notes:
        return None
    family = [address, *_ancestors(planned, account)]
    people = {
        a
        for s in (planned.reading.state, planned.desired.objects)
        for a in s
        if a.kind == "slurm.association" and a.key[0] == account
    }
    users = {kinds.user(a.key[1]) for a in people}
    related = {*family, *people, *users, *_qos(wanted)}
    report.changes = [c for c in planned.changes if c.address in related]
    by_address: dict[Address, list[Change]] = {}
    for change in report.changes:
        by_address.setdefault(change.address, []).append(change)
    report.conversions = conversions(report.offering, report.resource)
    for one in family:
        _compare_object(report, planned, one, by_address)
    _compare_members(report, planned, sorted(people), by_address)
    for one in sorted(users):
        _compare_object(report, planned, one, by_address)
    report.refused = account in planned.built.refused
    for user, why in planned.built.refused_members.get(account, ()):
        present = "member" if kinds.association(account, user) in planned.reading.state else "missing"
        report.comparisons.append(Comparison(f"user[{user}]", "member", present, "blocked", why))
    if wanted is not None:
        report.expected = _expected(planned, address, wanted)
    report.status = _status(report, wanted, actual)
    return report


def _status(report: Report, wanted: Obj | None, actual: Obj | None) -> str:
    if report.refused:
        return "refused"
    if wanted is not None and actual is None:
        return "missing"
    if report.changes or any(c.status != "ok" for c in report.comparisons):
        return "mismatch"
    return "ok" if wanted is not None else "unmanaged"


def _notes(planned: Planned, account: str) -> list[str]:
    desired = planned.desired
    found = [
        note.text
        for group in (
            desired.orphans,
            desired.refused,
            desired.waiting,
            desired.warnings,
            planned.plan.waiting,
        )
        for note in group
        if account in note.address.key
    ]
    held = desired.held.get(kinds.account(account))
    gone = desired.absent.get(kinds.account(account))
    return list(dict.fromkeys([*found, *([held] if held else []), *([gone.reason] if gone else [])]))


def _ancestors(planned: Planned, account: str) -> list[Address]:
    """Accounts above it that are ours as well."""
    found: list[Address] = []
    current = planned.desired.objects.get(kinds.account(account))
    while current is not None and len(found) < 10:
        parent = current.values.get("parent")
        if not isinstance(parent, str) or kinds.account(parent) not in planned.desired.objects:
            break
        found.append(kinds.account(parent))
        current = planned.desired.objects[kinds.account(parent)]
    return found


def _qos(wanted: Obj | None) -> list[Address]:
    value = wanted.values.get("qos") if wanted else None
    names = value if isinstance(value, frozenset) else getattr(value, "wanted", frozenset())
    return [kinds.qos(n) for n in names] if isinstance(names, frozenset) else []


def _compare_object(
    report: Report, planned: Planned, address: Address, changes: Mapping[Address, Sequence[Change]]
) -> None:
    wanted = planned.desired.objects.get(address)
    present = planned.reading.state.get(address)
    if wanted is None:
        _leaving(report, address, changes.get(address, ()))
        return
    if present is None:
        own = changes.get(address, ())
        blocked = next((c.blocked for c in own if c.blocked), "")
        report.comparisons.append(
            Comparison(
                str(address),
                "present",
                "missing",
                "blocked" if blocked else "mismatch",
                blocked,
                str(address),
            )
        )
        return
    prefix = "" if address.key[0] == report.account and address.kind == "slurm.account" else f"{address} "
    written = {n for c in changes.get(address, ()) for n in c.changed()}
    for name, want in wanted.values.items():
        if want is UNMANAGED:
            continue
        have = plain(present.values.get(name))
        # the plan decides; a field that it would write differs, whatever it looks like
        status = (
            "mismatch"
            if name in written or not (accepts(want, have) or equal(name, target(want, have), have))
            else "ok"
        )
        why = ""
        if status == "mismatch" and isinstance(want, Refused):
            status, why = "blocked", want.why
        _compare_field(report, prefix, address, name, target(want, have), have, status, why)


def _compare_field(
    report: Report, prefix: str, address: Address, name: str, want: Value, have: Value, status: str, why: str
) -> None:
    label = LABELS.get(name, name)
    if status == "ok" and not isinstance(have, Mapping):
        want = have
    if not isinstance(want, Mapping):
        report.comparisons.append(
            Comparison(prefix + label, json_value(want), json_value(have), status, why, str(address))
        )
        return
    present = have if isinstance(have, Mapping) else {}
    units = {c.tres: c.text() for c in report.conversions} if not prefix else {}
    for tres in sorted(want.keys() | present.keys()):
        same = want.get(tres) == present.get(tres)
        report.comparisons.append(
            Comparison(
                f"{prefix}{label}[{tres}]",
                want.get(tres),
                present.get(tres),
                "ok" if same else status,
                "" if same else why,
                str(address),
                units.get(tres, ""),
            )
        )


def _leaving(report: Report, address: Address, changes: Sequence[Change]) -> None:
    for change in changes:
        status = "blocked" if change.blocked else "mismatch"
        expected = "absent" if change.action is Action.DELETE else "draining"
        reason = change.blocked or change.reason
        report.comparisons.append(Comparison(str(address), expected, "present", status, reason, str(address)))


def _compare_members(
    report: Report, planned: Planned, people: Sequence[Address], changes: Mapping[Address, Sequence[Change]]
) -> None:
    for address in people:
        own = changes.get(address, ())
        label = f"user[{address.key[1]}]"
        if address in planned.desired.objects:
            if address in planned.reading.state and not own:
                report.comparisons.append(Comparison(label, "member", "member", "ok", "", str(address)))
                continue
            for change in own:
                status = "blocked" if change.blocked else "mismatch"
                if change.action is Action.CREATE:
                    text = change.blocked or change.reason
                    report.comparisons.append(Comparison(label, "member", "missing", status, text, str(address)))
                else:
                    _compare_object(report, planned, address, changes)
        elif own:
            for change in own:
                status = "blocked" if change.blocked else "mismatch"
                text = change.blocked or change.reason
                expected = "no member" if change.action is Action.DELETE else "draining"
                report.comparisons.append(Comparison(label, expected, "member", status, text, str(address)))


def _expected(planned: Planned, address: Address, wanted: Obj) -> dict[str, object]:
    present = planned.reading.state.get(address)
    result: dict[str, object] = {}
    for spec in KINDS[address.kind].fields:
        want = wanted.values.get(spec.name, UNMANAGED)
        if want is not UNMANAGED:
            have = plain(present.values.get(spec.name)) if present else spec.fresh
            value = have if accepts(want, have) else target(want, have)
            result[LABELS.get(spec.name, spec.name)] = json_value(value)
    result["users"] = sorted(
        a.key[1] for a in planned.desired.objects if a.kind == "slurm.association" and a.key[0] == address.key[0]
    )
    return result


def conversions(offering: Offering | None, resource: Resource | None) -> list[Conversion]:
    """The unit conversion of every component, with the numbers of this resource."""
    result: list[Conversion] = []
    if offering is None or resource is None:
        return result
    for name, component in offering.backend_components.items():
        amount: object = component.limit if component.accounting_type == "usage" else resource.limits.get(name)
        if amount is None:
            continue
        factors = {fold(t): c.factor for t, c in component.target_components.items()} or {
            fold(name): component.unit_factor
        }
        for tres, factor in factors.items():
            try:
                value = decimal(amount)
                result.append(
                    Conversion(
                        name,
                        _plain(value),
                        component.waldur_unit,
                        tres,
                        _plain(factor),
                        int(value * factor),
                    )
                )
            except UnitError:
                continue
    return result


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"
