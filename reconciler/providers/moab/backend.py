"""MOAB as a kind of cluster: what a resource, its projects and members are there, and what the portal is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from reconciler.config import Component, Config, MoabSettings, Offering
from reconciler.config.moab import UNNAMED
from reconciler.providers.base import Allocation, Cluster, Conversion, Provision, Reading
from reconciler.providers.moab import kinds, money, names
from reconciler.providers.moab.cluster import MoabCluster
from reconciler.providers.plain import PlainBackend
from reconciler.providers.runner import CommandRunner
from reconciler.state import waldur
from reconciler.state.facts import Resource
from reconciler.state.kinds import is_account, is_member
from reconciler.state.managed import Managed
from reconciler.state.model import Desired, Note, Obj, State
from reconciler.state.names import fold, some
from reconciler.state.units import UnitError, decimal, plain_text
from reconciler.state.values import UNMANAGED, Value, Wanted


class Moab(PlainBackend):
    """MOAB Accounting Manager, by ``mam-*``."""

    name = "moab"
    title = "MOAB"
    listing = "mam-list-accounts"
    shape = kinds.SHAPE
    names = names.RULES

    def open(self, name: str | None, runner: CommandRunner, config: Config) -> MoabCluster:
        """One accounting manager; nothing is asked yet."""
        return MoabCluster(runner, name or UNNAMED, settings_of(name or UNNAMED, config), config.timezone)

    # ------------------------------------------------------------------ what is wanted

    def account(self, allocation: Allocation, config: Config) -> Provision:
        """An allocation's account below its project's; a resource that is paused has one that is not active."""
        offering, resource = allocation.offering, allocation.resource
        values = {
            "organization": allocation.above or UNMANAGED,
            "description": resource.name,
            **self.access(allocation, config),
        }
        how = self.explained(offering, resource) if allocation.limited and not resource.limits_unsure else ()
        return Provision(values, tuple(f"{kinds.DEPOSIT} = {one.amount} {one.unit} ({one.source})" for one in how))

    def access(self, allocation: Allocation, config: Config) -> Mapping[str, Wanted]:
        """Whether it may be charged."""
        return {"active": kinds.NO if allocation.resource.paused else kinds.YES}

    def container(self, name: str, title: str, above: str) -> Mapping[str, Wanted]:
        """A project's or a customer's account; the outermost has an organization of its own name."""
        return {"organization": above, "description": title, "active": kinds.YES}

    def member(
        self, offering: Offering, config: Config, amounts: Mapping[str, object] | None, *, squeezed: bool
    ) -> Mapping[str, Wanted]:
        """A member who may charge the account; what rights beside it somebody gave is left alone."""
        return {"active": kinds.YES}

    def nothing(self, offering: Offering) -> Mapping[str, Wanted] | None:
        """An ended account that stays is not active; its money is taken first."""
        return {"active": kinds.NO} if offering.backend_settings.soft_delete else None

    def explained(self, offering: Offering, resource: Resource) -> Sequence[Conversion]:
        """The amount is money as it is."""
        return money.conversions(offering, resource)

    def complete(
        self,
        desired: Desired,
        reading: Reading,
        managed: Managed,
        config: Config,
        cluster: Cluster,
        allocations: Sequence[Allocation],
        today: date,
    ) -> None:
        """Funds, people whom MAM does not know yet, and what it cannot express, said once."""
        effective = cluster.effective if isinstance(cluster, MoabCluster) else dict
        purses = money.Purses(desired, reading.state, today, effective)
        settings = {o.name: o.backend_settings.moab for o in config.offerings}
        _spelled_otherwise(desired, reading.state)
        purses.want(allocations)
        purses.emptied(settings)
        purses.ended(settings)
        for one in allocations:
            if one.offering.backend_settings.moab.project_funds and one.above:
                _empty_fund(desired, one.above)
        _people(desired, reading.state, managed, create=settings_of(cluster.name, config).create_users)
        desired.warnings += _beyond(allocations)

    # ------------------------------------------------------------------ what others are told

    def told(self, account: Mapping[str, Value]) -> Mapping[str, Wanted]:
        """The allocated amount, in one spelling."""
        if kinds.MANY in str(account.get("id")):
            return {"allocated": UNMANAGED}
        try:
            return {"allocated": plain_text(decimal(account.get("allocated")))}
        except UnitError:
            return {"allocated": UNMANAGED}

    def amounts(
        self, account: Mapping[str, Value], components: Mapping[str, Component], known: Mapping[str, object]
    ) -> Mapping[str, str | None]:
        """The allocated amount as the limit, where it is not the one that is known."""
        if kinds.DEPOSIT not in components or kinds.MANY in str(account.get("id")):
            return {}
        try:
            allocated = decimal(account.get("allocated"))
        except UnitError:
            return {kinds.DEPOSIT: None}
        try:
            same = decimal(known.get(kinds.DEPOSIT)) == allocated
        except UnitError:
            same = False
        return {} if same else {kinds.DEPOSIT: plain_text(allocated)}


def settings_of(name: str, config: Config) -> MoabSettings:
    """How an accounting manager is asked: as the first of its offerings says."""
    here = (o.backend_settings.moab for o in config.offerings if o.kind_of_cluster == "moab" and o.cluster_name == name)
    return next(here, MoabSettings())


def _empty_fund(desired: Desired, project: str) -> None:
    wanted = desired.objects.get(kinds.ACCOUNT.at(project))
    if wanted is not None:
        desired.objects.setdefault(kinds.FUND.at(project), replace(wanted, values={}))


def _spelled_otherwise(desired: Desired, actual: State) -> None:
    """Hold what would be made beside an account whose name differs in capitals alone: it may be the very same."""
    there = {fold(a.key[0]): a.key[0] for a in actual if is_account(a)}
    for address in [a for a in desired.objects if is_account(a) and a not in actual]:
        name = address.key[0]
        if (other := there.get(name)) is None:
            continue
        why = (
            f"MAM has {other!r}, which differs from {name!r} in capitals alone: rename it, or the backend_id in Waldur"
        )
        offerings = desired.objects[address].offerings
        own = (kinds.ACCOUNT.name, kinds.MEMBER.name)
        for one in [a for a in desired.objects if a.kind in own and a.key[0] == name]:
            del desired.objects[one]
        desired.held[address] = why
        desired.refused.append(Note(address, why, min(offerings, default="")))


def _people(desired: Desired, actual: State, managed: Managed, *, create: bool) -> None:
    """People are known before they become members; capitals are kept where there are any."""
    for address, wanted in [(a, o) for a, o in desired.objects.items() if is_member(a) and a not in actual]:
        user = address.key[1]
        spelled = managed.spelling.get(user, user)
        named: dict[str, Wanted] = {"name": spelled} if spelled != user else {}
        if named:
            desired.objects[address] = replace(wanted, values={**wanted.values, **named})
        person = kinds.USER.at(user)
        if create and person not in actual:
            reason = f"{spelled} becomes a member of {address.key[0]}"
            desired.objects.setdefault(person, Obj(named, reason, wanted.offerings, needs=wanted.needs))


def _beyond(allocations: Sequence[Allocation]) -> list[Note]:
    """What MAM has no word for, once per offering."""
    notes = []
    for offering in {one.offering.name: one.offering for one in allocations}.values():
        mine = [one for one in allocations if one.offering.name == offering.name]
        about = waldur.offering(offering.name)
        elsewhere = bool(offering.reporting) and not offering.metered_there
        others = [
            name
            for name, component in offering.backend_components.items()
            if name != kinds.DEPOSIT and not (elsewhere and component.accounting_type == "usage")
        ]
        if others:
            text = f"MOAB knows no component but {kinds.DEPOSIT}: {some(others)} are left out"
            notes.append(Note(about, text, offering.name))
        if kinds.DEPOSIT not in offering.backend_components:
            text = f"it has no component {kinds.DEPOSIT!r}, so its funds hold what they hold"
            notes.append(Note(about, text, offering.name))
        elif offering.backend_components[kinds.DEPOSIT].unit_factor != 1:
            text = f"unit_factor of {kinds.DEPOSIT!r} is not used: money is money"
            notes.append(Note(about, text, offering.name))
        elif lacking := [one.account for one in mine if one.limited and money.limit(offering, one.resource)[0] is None]:
            text = f"no limit of {kinds.DEPOSIT!r}, so that the funds are left as they are: {some(lacking)}"
            notes.append(Note(about, text, offering.name))
        if slow := [one.account for one in mine if one.resource.downscaled]:
            text = f"downscaled, which MOAB cannot do (only pause): {some(slow)} are left as they are"
            notes.append(Note(about, text, offering.name))
    return notes
