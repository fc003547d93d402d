"""SLURM as a kind of cluster: what a resource, its projects and members are there, and what the portal is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from reconciler.config import Component, Config, Offering
from reconciler.errors import ReconcileError
from reconciler.providers.base import Allocation, Allowance, Cluster, Conversion, Feature, Provision, Reading
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm import (
    account,
    coordinators,
    counters,
    defaults,
    emulator,
    kinds,
    limits,
    members,
    periodic,
    renewal,
)
from reconciler.providers.slurm.cluster import SlurmCluster
from reconciler.providers.slurm.names import RULES, clean_text
from reconciler.state import waldur
from reconciler.state.diff import Change
from reconciler.state.facts import Resource
from reconciler.state.managed import Managed
from reconciler.state.model import Desired, Note, Obj, State
from reconciler.state.names import fold
from reconciler.state.units import UnitError, to_amount, to_units
from reconciler.state.values import UNMANAGED, Refused, Unless, Value, Wanted, Within, numbers_of

_AMOUNTS = frozenset({"grp_tres_mins", "grp_tres", "max_tres_mins"})
_TOLD = ("qos", "fairshare", "grp_tres_mins")


class Slurm:
    """SLURM, by ``sacctmgr`` and its like."""

    name = "slurm"
    title = "SLURM"
    listing = "sacctmgr show assoc format=account"
    shape = kinds.SHAPE
    names = RULES

    def open(self, name: str | None, runner: CommandRunner, config: Config) -> SlurmCluster:
        """One cluster; nothing is asked yet."""
        urls = [
            about.emulator_base_url.rstrip("/")
            for o in config.offerings
            if o.cluster_name == fold(name or "")
            and (about := o.backend_settings.periodic_limits).emulator_mode
            and about.enabled is not False
        ]
        return SlurmCluster(runner, name, config.timezone, urls[0] if urls else "")

    # ------------------------------------------------------------------ what is wanted

    def objects(self, config: Config) -> State:
        """QoS that the configuration names."""
        return {
            kinds.qos(fold(name)): Obj({"flags": frozenset(policy.flags)}, f"reconcile.qos.{name} in the configuration")
            for name, policy in config.reconcile.qos.items()
        }

    def account(self, allocation: Allocation, config: Config) -> Provision:
        """An allocation's own account; where it is not known where it hangs, it stays there."""
        texts = _texts(allocation.above, allocation.resource.name, allocation.account, organization=allocation.above)
        if not allocation.above:
            texts = {"description": texts["description"]}
        found = account.provision(allocation, config)
        return replace(found, values={**texts, **found.values})

    def access(self, allocation: Allocation, config: Config) -> Mapping[str, Wanted]:
        """QoS alone, of an account that somebody else makes."""
        return account.qos(allocation, config)

    def container(self, name: str, title: str, above: str) -> Mapping[str, Wanted]:
        """A project's or a customer's account."""
        return _texts(above, title, name)

    def member(
        self, offering: Offering, config: Config, amounts: Mapping[str, object] | None, *, squeezed: bool
    ) -> Mapping[str, Wanted]:
        """An association; the user's own QoS would escape the account's where that is squeezed."""
        # 0 is how a leaving member is drained, so it has to go when one comes back
        values: dict[str, Wanted] = {"max_submit_jobs": Unless(None, frozenset({0}))}
        if isinstance(share := config.reconcile.member_fairshare, int) or share == "parent":
            values["fairshare"] = share
        if amounts is not None:
            values["max_tres_mins"] = limits.of_member(offering, amounts)
        if squeezed:
            values |= {"qos": frozenset(), "default_qos": ""}
        return values

    def allowance(self, allocation: Allocation) -> Allowance | None:
        """By the very code that makes the limits."""
        return account.allowance(allocation)

    def nothing(self, offering: Offering) -> Mapping[str, Wanted] | None:
        """Limits of 0 for an account that ended softly."""
        left = limits.nothing(offering)
        return {"grp_tres_mins": Within(left, frozenset(left))} if left is not None else None

    def explained(self, offering: Offering, resource: Resource) -> Sequence[Conversion]:
        """How amounts become GrpTRESMins."""
        return limits.conversions(offering, resource)

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
        """Default accounts, shares, coordinators and spelling; nothing is set where it cannot be read."""
        settings, actual = config.reconcile, reading.state
        desired.warnings += members.unlimited(desired, managed, actual)
        defaults.want(desired, managed, actual)
        if settings.member_fairshare is None:
            members.shares(desired, actual)
        coordinators.own(desired, managed, actual, take=settings.coordinators != "orphans" or settings.prune)
        keeps_case = isinstance(cluster, SlurmCluster) and members.cased(managed, actual) and cluster.keeps_case()
        if keeps_case:
            members.spell(desired, managed, actual)
        _unreadable(desired, actual)
        if isinstance(cluster, SlurmCluster):
            used = renewal.look(desired, reading, cluster.usage(config), allocations, today)
            _by_this_period(desired, allocations, used, config)
            emulator.want(desired, reading, allocations)
            desired.warnings += _forgotten(cluster, allocations)

    def settle(self, changes: Iterable[Change], actual: State) -> list[Change]:
        """Default accounts that have to move, or stay, now that guards have spoken."""
        return defaults.settle(changes, actual)

    # ------------------------------------------------------------------ what others are told

    def told(self, account: Mapping[str, Value]) -> Mapping[str, Wanted]:
        """QoS, fairshare and GrpTRESMins, but a limit that SLURM prints without a unit."""
        values: dict[str, Wanted] = {name: account.get(name) for name in _TOLD}
        if isinstance(values["grp_tres_mins"], str):
            values["grp_tres_mins"] = UNMANAGED
        return values

    def amounts(
        self, account: Mapping[str, Value], components: Mapping[str, Component], known: Mapping[str, object]
    ) -> Mapping[str, str | None]:
        """GrpTRESMins in Waldur's units, of components that have limits of their own.

        What Waldur knows already stays as it is written there; else up to two decimals, so that nobody is billed for
        less than the cluster gives.
        """
        have = account.get("grp_tres_mins")
        if not isinstance(have, Mapping):
            return {}
        found: dict[str, str | None] = {}
        for name, component in components.items():
            if not component.has_own_limit:
                continue
            minutes = numbers_of(have).get(fold(name))
            if minutes is None:
                found[name] = None
            elif name not in known or _units(known[name], component) != minutes:
                found[name] = to_amount(minutes, component.unit_factor)
        return found


def _by_this_period(
    desired: Desired, allocations: Sequence[Allocation], used: Mapping[str, Mapping[str, int]], config: Config
) -> None:
    """QoS of accounts whose counters are of an earlier period, by what they used in this one."""
    for one in (a for a in allocations if a.account in used):
        address = kinds.account(one.account)
        wanted = desired.objects[address]
        values = account.by_this_period(one, config, used[one.account])
        desired.objects[address] = replace(wanted, values={**wanted.values, **values})


def _forgotten(cluster: SlurmCluster, allocations: Sequence[Allocation]) -> list[Note]:
    """What follows from how slurmctld itself forgets usage, once for each offering."""
    ruled = {a.offering.name: a for a in allocations if a.terms is not None}
    if not ruled or Feature.COUNTERS not in cluster.features:
        return []
    try:
        by_itself = counters.forgetting(counters.settings_of(cluster.runner))
    except ReconcileError:
        return []  # who needs slurmctld says so
    return [
        Note(waldur.offering(name), text, name)
        for name, a in ruled.items()
        if a.terms is not None
        for text in periodic.forgotten(
            a.terms.span.kind, a.terms.rules.limit_type, by_itself, reset=a.terms.rules.reset
        )
    ]


def _units(amount: object, component: Component) -> int | None:
    """What Waldur knows in the cluster's units; None where that is no amount."""
    try:
        return to_units(amount or 0, component.unit_factor)
    except UnitError:
        return None


def _texts(parent: str, name: str, account: str, organization: str = "") -> dict[str, Wanted]:
    """Description is Waldur's name; organization the account's own name, or its project's."""
    return {
        "parent": parent,
        "description": clean_text(name) or account,
        "organization": organization or account,
    }


def _unreadable(desired: Desired, actual: State) -> None:
    """Refuse to set what the cluster itself prints without a unit: nobody knows what is there.

    Other fields of the object go on, and so does everything else.
    """
    for address, present in actual.items():
        wanted = desired.objects.get(address)
        odd = {n: v for n, v in present.values.items() if n in _AMOUNTS and isinstance(v, str)}
        if wanted is None or not odd:
            continue
        managed = {n: v for n, v in odd.items() if wanted.values.get(n, UNMANAGED) is not UNMANAGED}
        if managed:
            values = {n: _refuse(v, str(managed[n])) if n in managed else v for n, v in wanted.values.items()}
            desired.objects[address] = Obj(values, wanted.reason, wanted.offerings, wanted.inherited, wanted.needs)


def _refuse(value: Wanted, text: str) -> Wanted:
    if isinstance(value, Refused) or value is UNMANAGED:
        return value
    return Refused(
        value,
        f"SLURM prints {text}, a number without a unit, so it is not known what is set: set it by hand (sacctmgr)",
    )
