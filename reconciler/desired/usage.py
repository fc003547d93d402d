"""What a portal should hold of usage, compared with what it holds: ``waldur.usage`` as objects. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

from reconciler.config import Offering
from reconciler.state import waldur
from reconciler.state.diff import Change, values_of
from reconciler.state.facts import DONE, EXECUTING, OK, TERMINATING, UPDATING, Billing, Facts, Resource
from reconciler.state.model import Address, Desired, Note, Obj, State
from reconciler.state.names import fold, some
from reconciler.state.period import Period
from reconciler.state.usage import Accounted, Used, rounded
from reconciler.state.values import Refused, Value, Wanted, amounts_of

#: states in which Waldur takes usage of a resource
TAKING = (OK, UPDATING, TERMINATING)
ALLOW_DECREASE = "allow_decrease"
_NOTHING = "0.00"
_STEP = Decimal("0.01")
_UNTOLD = "its usage could not be read, and Waldur takes none of a resource that has ended"


@dataclass(frozen=True)
class Account:
    """One offering's usage in one period, as its source tells it and as the portal holds it."""

    offering: Offering
    facts: Facts
    period: Period
    source: str
    accounted: Accounted
    told: State
    current: bool = True  # the period is still running
    staff: bool = False  # the token may set past months of every component
    may_fall: bool = False  # less than before is no sign of trouble
    # by resource: components of ended resources that had its account in this period, as the portal holds them
    before: Mapping[str, Sequence[tuple[str, Obj]]] = field(default_factory=dict)


@dataclass
class _Notes:
    """What is said once per offering, not once per resource."""

    strangers: set[str] = field(default_factory=set)
    past: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)


def desired(account: Account) -> Desired:
    """The usage that the portal should hold, and what a person should know about it."""
    result = Desired()
    notes = _Notes()
    known = {fold(u.username) for u in account.facts.offering_users}
    for resource in account.facts.resources:
        used = account.accounted.used.get(resource.uuid)
        if used is None:
            continue
        used = _folded(less(used, account.before.get(resource.uuid, ())))
        if resource.state not in TAKING:
            if any(used.total.values()):
                text = f'"{resource.name}": its usage is not reported: Waldur takes none in state {resource.state}'
                result.waiting.append(Note(waldur.resource(resource.uuid), text, account.offering.name))
            continue
        for name in account.offering.backend_components:
            if name in used.total or used.incomplete:
                _component(result, notes, account, resource, name, used)
        notes.strangers |= {u for u, a in used.users.items() if any(a.values())} - known
    _summary(result, notes, account)
    return result


def _component(result: Desired, notes: _Notes, account: Account, resource: Resource, name: str, used: Used) -> None:
    address = waldur.usage(resource.uuid, str(account.period), name)
    have = account.told.get(address)
    held = values_of(have) if have is not None else {}
    plans = str(held.pop("plans", ""))
    values = _values(name, used, held)
    if not account.may_fall and not plans:
        values = _kept(values, held)
    if have is None and values["total"] == _NOTHING and not used.incomplete:
        return  # nothing was used and nothing is held
    if account.facts.billing and name not in account.facts.billing:
        notes.unknown.add(name)
        return
    if values == dict(held) and not used.incomplete:
        result.objects[address] = Obj(values)  # so that --target finds it
        return
    if not account.current and not _settable(account, name):
        notes.past.add(resource.name)
        return
    why = _why_not(account, name, used, values, held, plans)
    wanted: dict[str, Wanted] = {
        n: Refused(v, why) if why and (v != held.get(n) or used.incomplete) else v for n, v in values.items()
    }
    reason = f'resource "{resource.name}", account {resource.backend_id}: {account.source} of {account.period}'
    result.objects[address] = Obj(wanted, reason, frozenset({account.offering.name}))


def _folded(used: Used) -> Used:
    """Users in one spelling, as Waldur's are compared."""
    if all(user == fold(user) for user in used.users):
        return used
    users: dict[str, dict[str, Fraction]] = {}
    for user, amounts in used.users.items():
        mine = users.setdefault(fold(user), {})
        for name, amount in amounts.items():
            mine[name] = mine.get(name, Fraction(0)) + amount
    return replace(used, users=users)


def less(used: Used, told: Iterable[tuple[str, Obj]]) -> Used:
    """Usage without what was told already of an ended resource that had the same account in the same month."""
    total = dict(used.total)
    users = {fold(u): dict(a) for u, a in used.users.items()}
    nothing = Fraction(0)
    found = False
    for name, held in told:
        found = True
        values = values_of(held)
        if name in total:
            total[name] = max(nothing, total[name] - Fraction(str(values["total"])))
        for user, amount in amounts_of(values.get("users")).items():
            mine = users.setdefault(user, {})
            mine[name] = max(nothing, mine.get(name, nothing) - Fraction(amount))
    return replace(used, total=total, users=users) if found else used


def _values(name: str, used: Used, held: Mapping[str, Value]) -> dict[str, Value]:
    amounts = {user: rounded(found[name]) for user, found in used.users.items() if user and name in found}
    listed = amounts_of(held.get("users")).keys()
    # what nobody used need not be said, unless something else was said before
    users = {u: a for u, a in amounts.items() if a != _NOTHING or u in listed}
    users |= dict.fromkeys(listed - users.keys(), _NOTHING)
    return {"total": rounded(used.total.get(name, Fraction(0))), "users": users}


def _kept(values: Mapping[str, Value], held: Mapping[str, Value]) -> dict[str, Value]:
    """Amounts with those of the portal that are a single step of rounding above: who told it rounded otherwise."""
    users = amounts_of(held.get("users"))
    now = amounts_of(values["users"])
    return {
        "total": _not_below(str(values["total"]), str(held.get("total", _NOTHING))),
        "users": {u: _not_below(amount, users.get(u, _NOTHING)) for u, amount in now.items()},
    }


def _not_below(amount: str, held: str) -> str:
    return held if Decimal(0) < Decimal(held) - Decimal(amount) <= _STEP else amount


def _settable(account: Account, name: str) -> bool:
    """Whether the portal lets this token set a month that is over."""
    if not account.facts.takes_states:
        return False  # servers before 8 ignore the date: it would land in the current month
    return account.staff or account.facts.billing.get(name, Billing("limit")).type == "limit"


def _why_not(
    account: Account, name: str, used: Used, values: Mapping[str, Value], held: Mapping[str, Value], plans: str
) -> str:
    """Why an amount must not be sent, or nothing."""
    if used.incomplete:
        return f"incomplete, so not sent: {used.incomplete}"
    fallen = "" if account.may_fall else _fall(values, held, plans)
    if fallen:
        return (
            f"{fallen}: were accounting records purged, or did the query fail? Where a runaway job was mended it is "
            f"right, and --allow-decrease sends {values['total']} "
            f"(reconcile.guards.{ALLOW_DECREASE}, or --allow-decrease)"
        )
    billing = account.facts.billing.get(name)
    if billing is not None and billing.type == "usage" and billing.limit_amount is not None:
        monthly = billing.limit_period in ("", "month")
        if monthly and Decimal(str(values["total"])) > billing.limit_amount:
            return f"Waldur takes no more than the component's limit_amount of {billing.limit_amount}; raise that there"
    return ""


def _fall(values: Mapping[str, Value], held: Mapping[str, Value], plans: str) -> str:
    """What would sink below what the portal holds, or nothing.

    Rows of several plans of a month may hold the same usage twice, where a run died between two requests: their sum
    says nothing then, the largest of them does.
    """
    if plans:
        largest = max(Decimal(amount) for amount in plans.split(","))
        falls = Decimal(str(values["total"])) < largest
        return f"it would fall from {largest} to {values['total']}" if falls else ""
    if held and Decimal(str(values["total"])) < Decimal(str(held["total"])):
        return f"it would fall from {held['total']} to {values['total']}"
    after = amounts_of(values["users"])
    for user, amount in sorted(amounts_of(held.get("users")).items()):
        if Decimal(after.get(user, _NOTHING)) < Decimal(amount):
            return f"{user}'s would fall from {amount} to {after.get(user, _NOTHING)}"
    return ""


def _summary(result: Desired, notes: _Notes, account: Account) -> None:
    name = account.offering.name
    about = waldur.offering(name)
    accounted = account.accounted

    def warn(text: str) -> None:
        result.warnings.append(Note(about, f"usage of {account.period}: {text}", name))

    for text in accounted.notes:
        warn(text)
    if accounted.bad_count:
        quoted = "; ".join(repr(b) for b in accounted.bad)
        warn(f"{accounted.bad_count} records of {account.source} cannot be understood, like {quoted}")
    if "" in notes.strangers:
        warn("some belongs to no user; it counts in the totals")
    if strangers := sorted(notes.strangers - {""}):
        warn(f"users whom the offering does not know, counted and sent by name: {some(strangers)}")
    for component in sorted(notes.unknown):
        warn(f"Waldur has no component {component!r} (reconcile components push makes it): not sent")
    if notes.past:
        what = "a staff user's token sets them (reconcile usage backfill --token-file)"
        if not account.facts.takes_states:
            what = "this Waldur knows the current month only"
        text = f"usage of {account.period} differs, and that month is over: {what}: {some(sorted(notes.past))}"
        result.waiting.append(Note(about, text, name))


def reported_first(
    changes: Sequence[Change], facts: Mapping[str, Facts], unread: frozenset[str], reporting: frozenset[str]
) -> list[Change]:
    """An order that ends a resource is done after its usage was told; the apply reads that when its jobs have ended.

    ``unread``: offerings whose usage could not be read; ``reporting``: those that report any.
    """
    ending = {
        waldur.order(r.order.uuid): (r.uuid, offering)
        for offering, told in facts.items()
        for r in told.resources
        if r.order is not None and r.ends and offering in reporting
    }
    resources = {uuid for uuid, _ in ending.values()}
    usage: dict[str, set[Address]] = {}
    stuck: dict[str, str] = {}
    for change in changes:
        if change.address.kind == "waldur.usage" and change.blocked:
            stuck.setdefault(change.address.key[0], f"{change.address}: {change.blocked}")
        elif change.address.kind == "waldur.usage":
            usage.setdefault(change.address.key[0], set()).add(change.address)
    return [_ending(c, ending, resources, usage, stuck, unread) for c in changes]


def _ending(
    change: Change,
    ending: Mapping[Address, tuple[str, str]],
    resources: Collection[str],
    usage: Mapping[str, Collection[Address]],
    stuck: Mapping[str, str],
    unread: Collection[str],
) -> Change:
    """An order that ends a resource with what it needs, and usage that will have grown by then; others as they are."""
    if change.address.kind == "waldur.usage" and change.address.key[0] in resources:
        return replace(change, reason=f"{change.reason}; read once more when its jobs have ended")
    uuid, offering = ending.get(change.address, ("", ""))
    if not uuid or (change.after or {}).get("state") != DONE:
        return change
    why = _UNTOLD if offering in unread else stuck.get(uuid, "")
    # one that is not approved yet is taken on all the same: by the time its jobs have ended it is read anew
    why = why if (change.before or {}).get("state") == EXECUTING else ""
    needs = change.needs | frozenset(usage.get(uuid, ()))
    return replace(change, ends=uuid, needs=needs, blocked=change.blocked or why)
