"""A plan restricted to one account, explained: what is expected, what is there, and the commands between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from reconciler.config import Offering
from reconciler.cycle.scope import Planned
from reconciler.providers.base import Allocation, Allowance, Backend, Conversion
from reconciler.state import budget, compare
from reconciler.state.diff import Action, Change, same
from reconciler.state.facts import Resource
from reconciler.state.kinds import KINDS, Role, is_account, is_member, role_of
from reconciler.state.model import Address, Obj
from reconciler.state.names import fold
from reconciler.state.tree import Tree
from reconciler.state.values import UNMANAGED, Refused, Value, accepts, json_value, plain, target


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


@dataclass
class Report:
    """Everything about one account. ``status``: ok, mismatch, missing, refused, unmanaged, unknown."""

    account: str
    cluster: str
    backend: Backend
    status: str = "unknown"
    actual: Obj | None = None
    budget: Obj | None = None  # where that is an object of its own
    resource: Resource | None = None
    offering: Offering | None = None
    allocation: Allocation | None = None  # with the terms of a periodic policy, where there is one
    allowance: Allowance | None = None  # what these give it
    users: list[str] = field(default_factory=list)
    expected: dict[str, object] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    conversions: list[Conversion] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: bool = False
    remote: bool = False  # commands of this host go to another cluster

    def sentence(self, one: Conversion) -> str:
        """How an amount became a limit, in a line."""
        there = f"{self.backend.title}: {one.value} {one.cluster_unit}"
        return f"Waldur: {one.amount} {one.unit} -> {there} (factor: {one.factor})"

    @property
    def issues(self) -> int:
        """Number of differences."""
        return sum(c.status != "ok" for c in self.comparisons)


def diagnose(planned: Planned, name: str, backend: Backend) -> Report | None:
    """The report on one account, or None when neither the cluster nor Waldur knows it."""
    account, shape = fold(name), backend.shape
    address = shape.account_at(account)
    actual = planned.reading.state.get(address)
    wanted = planned.desired.objects.get(address)
    report = Report(account, planned.reading.cluster, backend, actual=actual, remote=planned.plan.remote)
    report.offering, report.resource = planned.built.resources.get(account, (None, None))
    report.users = Tree(planned.reading.state).people(account)
    report.notes = _notes(planned, address)
    if actual is None and wanted is None and not report.notes:
        return None
    own = [a for a in shape.budget_of(account) if a in planned.reading.state or a in planned.desired.objects]
    report.budget = next((planned.reading.state[a] for a in own if a in planned.reading.state), None)
    family = [address, *own, *_ancestors(planned, address)]
    people = {
        a for s in (planned.reading.state, planned.desired.objects) for a in s if is_member(a) and a.key[0] == account
    }
    users = {shape.person_at(a.key[1]) for a in people} if shape.person else set()
    related = {*family, *people, *users, *_catalogued(planned, address)}
    report.changes = [c for c in planned.changes if c.address in related]
    by_address: dict[Address, list[Change]] = {}
    for change in report.changes:
        by_address.setdefault(change.address, []).append(change)
    if report.offering is not None and report.resource is not None:
        report.allocation = next((a for a in planned.built.allocations if a.account == account), None)
        report.conversions = _conversions(report, report.offering, report.resource)
    for one in family:
        _compare_object(report, planned, one, by_address)
    _compare_members(report, planned, sorted(people), by_address)
    for one in sorted(users):
        _compare_object(report, planned, one, by_address)
    report.refused = account in planned.built.refused
    for user, why in planned.built.refused_members.get(account, ()):
        present = "member" if shape.member_at(account, user) in planned.reading.state else "missing"
        report.comparisons.append(Comparison(f"user[{user}]", "member", present, "blocked", why))
    if wanted is not None:
        report.expected = _expected(planned, address, wanted)
    report.status = _status(report, wanted, actual)
    return report


def _conversions(report: Report, offering: Offering, resource: Resource) -> list[Conversion]:
    """How amounts became limits; what a policy reckons is no product of amount and factor, but an allowance."""
    told, allocation = report.backend.explained(offering, resource), report.allocation
    if allocation is None or allocation.terms is None:
        return list(told)
    report.allowance = report.backend.allowance(allocation)
    return [c for c in told if c.component not in allocation.terms.balances]


def _status(report: Report, wanted: Obj | None, actual: Obj | None) -> str:
    if report.refused:
        return "refused"
    if wanted is not None and actual is None:
        return "missing"
    if report.changes or any(c.status != "ok" for c in report.comparisons):
        return "mismatch"
    return "ok" if wanted is not None else "unmanaged"


def _notes(planned: Planned, address: Address) -> list[str]:
    desired, account = planned.desired, address.key[0]
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
    held = desired.held.get(address)
    gone = desired.absent.get(address)
    return list(dict.fromkeys([*found, *([held] if held else []), *([gone.reason] if gone else [])]))


def _ancestors(planned: Planned, address: Address) -> list[Address]:
    """Accounts above it that are ours as well."""
    tree = Tree.after(planned.desired, {}, made=True)
    found: list[Address] = []
    for name in tree.lineage(address.key[0]):
        above = Address(address.kind, (name,))
        if above not in planned.desired.objects:
            break
        found.append(above)
    return found[1:]


def _catalogued(planned: Planned, address: Address) -> list[Address]:
    """Objects that the account's fields refer to by name, of which there may be several in a field."""
    wanted, found = planned.desired.objects.get(address), []
    for field_ in KINDS[address.kind].fields if wanted else ():
        catalog = planned.reading.catalogs.get(field_.names)
        if wanted is None or catalog is None or not catalog.kind or field_.compare is not compare.SET:
            continue
        value = wanted.values.get(field_.name)
        names = value if isinstance(value, frozenset) else getattr(value, "wanted", frozenset())
        found += [Address(catalog.kind, (n,)) for n in names] if isinstance(names, frozenset) else []
    return found


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
    prefix = "" if address.key[0] == report.account and is_account(address) else f"{address} "
    written = {n: c.blocked for c in changes.get(address, ()) for n in c.changed()}
    for name, want in wanted.values.items():
        have = plain(present.values.get(name))
        if want is UNMANAGED or (have is None and KINDS[address.kind].field(name).compare is compare.IF_KNOWN):
            continue
        # the plan decides; a field that it would write differs, whatever it looks like
        status = (
            "mismatch"
            if name in written or not (accepts(want, have) or same(address, name, target(want, have), have))
            else "ok"
        )
        why = wanted.reason if status == "mismatch" or role_of(address) is Role.PERSON else ""
        if status == "mismatch" and isinstance(want, Refused):
            status, why = "blocked", want.why
        elif status == "mismatch" and written.get(name):
            status, why = "blocked", written[name]
        _compare_field(report, prefix, address, name, target(want, have), have, status, why)


def _compare_field(
    report: Report, prefix: str, address: Address, name: str, want: Value, have: Value, status: str, why: str
) -> None:
    kind = KINDS[address.kind]
    label = kind.field(name).title
    if status == "ok" and not isinstance(have, Mapping):
        want = have
    own = address.key[0] == report.account
    units = {c.limit: report.sentence(c) for c in report.conversions} if own and not is_member(address) else {}
    sums = _sums(report.conversions) if own and name == kind.budget else {}
    if not isinstance(want, Mapping):
        amount = budget.amounts(kind, want).get(kind.component) if name == kind.budget else None
        why = _reason(sums.get(kind.component, ("", 0)), amount, status, why)
        sentence = units.get(kind.component, "") if amount is not None else ""
        report.comparisons.append(
            Comparison(prefix + label, json_value(want), json_value(have), status, why, str(address), sentence)
        )
        return
    present = have if isinstance(have, Mapping) else {}
    for tres in sorted(want.keys() | present.keys()):
        same = want.get(tres) == present.get(tres)
        report.comparisons.append(
            Comparison(
                f"{prefix}{label}[{tres}]",
                want.get(tres),
                present.get(tres),
                "ok" if same else status,
                _reason(sums.get(tres, ("", 0)), want.get(tres), status, "" if same else why),
                str(address),
                units.get(tres, ""),
            )
        )


def _sums(conversions_: Sequence[Conversion]) -> dict[str, tuple[str, int | Decimal]]:
    """By TRES, the arithmetic of its limit and what comes out."""
    found: dict[str, list[Conversion]] = {}
    for one in conversions_:
        found.setdefault(one.limit, []).append(one)
    return {
        tres: ("; and ".join(c.arithmetic() for c in several), sum(c.value for c in several))
        for tres, several in found.items()
    }


def _reason(summed: tuple[str, int | Decimal], wanted: object, status: str, why: str) -> str:
    """Why a limit should be so; the arithmetic only where it is what the plan wants."""
    arithmetic, total = summed
    if not arithmetic or total != wanted or status == "blocked":
        return why
    return f"{arithmetic}; {why}" if why else arithmetic


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
            result[spec.title] = json_value(value)
    result["users"] = Tree(planned.desired.objects).people(address.key[0])
    return result
